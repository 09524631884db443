"""The keeper cron: starts the tunnel at boot, and looks every minute whether it runs."""

from __future__ import annotations

from scitex_ssh.keepers import own
from scitex_ssh.keepers.ability import Ability
from scitex_ssh.plan.step import Plan, cron_block, no_cron_block
from scitex_ssh.render.block import CRONTAB

ABILITY = Ability(
    root=False,
    logout="yes",
    crash="yes, within a minute",
    reboot="yes",
    unattended="yes",
    needs="cron, running, and the right to a crontab",
)


def setup() -> Plan:
    """What must be true for a tunnel to stand."""
    return own.held(cron_block("crontab", CRONTAB), texts={"crontab": CRONTAB})


def remove() -> Plan:
    """What must be true for a tunnel to be gone without a trace."""
    return own.not_held(no_cron_block())
