"""The back end for machines without Python: POSIX scripts."""

from __future__ import annotations

from collections.abc import Iterable

from scitex_ssh import __version__
from scitex_ssh.bastion import bastion_program
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Port, Tunnel, TunnelName
from scitex_ssh.plan.program import Binding, bind, program, which

# The generic scripts by file name, and the word that each stands for.
SCRIPTS = {
    "setup-autossh-service.sh": "setup",
    "remove-autossh-service.sh": "remove",
    "status-autossh-service.sh": "status",
}


# The modules of a program that is told its tunnel by flags.
_TOLD = ("generic", "take_forwards", "main")


def baked(word: str, tunnels: Iterable[Tunnel | TunnelName | Port]) -> str:
    """A script that does one thing for these tunnels.

    Args:
        word: ``setup``, ``status`` or ``remove``.
        tunnels: for ``setup`` their descriptions; their names or ports do for the others.
    """
    must_exist = " --must-exist" if word == "remove" else ""
    entry = f'main {word}{must_exist} "$@"'
    bindings = [bind(each) if isinstance(each, Tunnel) else which(each) for each in tunnels]
    return _program(entry, extra=("main",), tunnels=bindings)


def bastion() -> str:
    """The script of a bastion; its first argument is the word: setup, authorize, revoke, list, status."""
    return bastion_program()


def generic_program() -> str:
    """The script that does all three, told what by its arguments: the .pyz where there is no Python."""
    return _program("generic '' \"$@\"", extra=_TOLD)


def generic_scripts() -> dict[str, str]:
    """The generic scripts, text by file name."""
    return {name: _program(f'generic {word} "$@"', extra=_TOLD) for name, word in SCRIPTS.items()}


def _program(entry: str, *, extra: Iterable[str], tunnels: Iterable[Binding] = ()) -> str:
    return program(PLANS, FRAGMENTS, entry=entry, tunnels=tunnels, extra=extra, version=__version__)
