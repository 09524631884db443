"""The keeper tmux: a process in a detached terminal of tmux, to be looked at."""

from __future__ import annotations

from scitex_ssh.keepers import own
from scitex_ssh.keepers.ability import Ability
from scitex_ssh.plan.step import Plan

ABILITY = Ability(
    root=False,
    logout="yes, but where logind has KillUserProcesses=yes only if the user lingers",
    crash="no",
    reboot="no",
    unattended="no",
    needs="tmux",
)


def setup() -> Plan:
    """What must be true for a tunnel to stand."""
    return own.held(texts={})


def remove() -> Plan:
    """What must be true for a tunnel to be gone without a trace."""
    return own.not_held()
