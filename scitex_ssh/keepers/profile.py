"""The keeper profile: the user's login starts the tunnel, once a host."""

from __future__ import annotations

from scitex_ssh.keepers import own
from scitex_ssh.keepers.ability import OF_A_LOGIN, Ability
from scitex_ssh.plan.step import Plan, block_in_file, no_block_in_file
from scitex_ssh.render.block import FISH, PROFILE

ABILITY = Ability(
    root=False,
    logout=OF_A_LOGIN,
    crash="at the next login",
    reboot="at the next login",
    unattended="no",
    needs="bash, zsh, fish or a plain POSIX shell as the user's login shell",
)


def setup() -> Plan:
    """What must be true for a tunnel to stand."""
    return own.held(
        block_in_file("@login_file@", "profile", PROFILE, where="shell_is_posix"),
        block_in_file("@shell_file@", "profile", PROFILE, where="shell_has_file"),
        block_in_file("@fish_file@", "fish", FISH, where="shell_is_fish"),
        texts={"profile": PROFILE, "fish": FISH},
    )


def remove() -> Plan:
    """What must be true for a tunnel to be gone without a trace."""
    return own.not_held(
        *(
            no_block_in_file(f"@home@/{name}")
            for name in (".profile", ".bash_profile", ".bash_login", ".bashrc", ".zprofile", ".zshrc")
        ),
        *(no_block_in_file(f"@zdot@/{name}") for name in (".zprofile", ".zshrc")),
        no_block_in_file("@fish_file@"),
    )
