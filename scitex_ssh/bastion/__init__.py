"""A bastion: sshd's part, an account and a key's line for each host, as plans and one program."""

from __future__ import annotations

from functools import cache

from scitex_ssh import __version__
from scitex_ssh.bastion.plans import PLANS, TEXTS
from scitex_ssh.plan.program import program

MODULES = ("base", "steps", "proof", "sshd", "hostkeys", "accounts", "gate")


@cache
def bastion_program(entry: str = 'gate "$@"') -> str:
    """The program of a bastion: its first argument is the word (plan/shell/gate.sh)."""
    return program(PLANS, TEXTS, entry=entry, modules=MODULES, version=__version__)
