"""The keeper systemd-user: a service of the user's own systemd, which lingering starts at boot."""

from __future__ import annotations

from scitex_ssh.keepers import own
from scitex_ssh.keepers.ability import Ability
from scitex_ssh.plan.step import (
    Plan,
    absent,
    linger,
    linger_returned,
    no_empty_folder,
    sole_keeper,
    unit_absent,
    unit_current,
    unit_enabled,
    units_loaded,
    verified,
)
from scitex_ssh.render.systemd_unit import USER_UNIT

ABILITY = Ability(
    root=False,
    logout="yes",
    crash="yes, within seconds",
    reboot="yes",
    unattended="yes",
    needs="systemd, and the right to linger (loginctl enable-linger)",
)


def setup() -> Plan:
    """What must be true for a tunnel to stand."""
    return Plan(
        (
            *own.folder(),
            linger(),
            own.own_file("@unit_file@", "user_unit", USER_UNIT),
            # Of a keeper that was there before.
            absent("@folder@/start"),
            units_loaded(),
            sole_keeper(),
            unit_enabled(),
            unit_current(),
            verified(),
        ),
        {**own.TEXTS, "user_unit": USER_UNIT},
    )


def remove() -> Plan:
    """What must be true for a tunnel to be gone without a trace."""
    return Plan(
        (
            unit_absent(),
            absent("@unit_file@"),
            *own.no_folder(),
            *(
                no_empty_folder(f"@config@/{path}")
                for path in ("systemd/user/default.target.wants", "systemd/user", "systemd")
            ),
            no_empty_folder("@config@"),
            units_loaded(),
            linger_returned(),
        ),
        {},
    )
