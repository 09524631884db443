"""What is asked before `doctor --fix` puts something right, and said after."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from scitex_ssh.health.fixes import Fix
from scitex_ssh.plan.report import Event, Line


def taken(offer: Fix, *, yes: bool, accept_new: bool, asking: bool) -> bool:
    """Whether it is to be done.

    Args:
        yes: take every fix but those that somebody has to see first.
        accept_new: take a host key that is not known, too.
        asking: there is a terminal to ask on.
    """
    print(f"Can be fixed: {offer.title}.\n{offer.shown}", end="", file=sys.stderr)
    if accept_new if offer.shown else yes:
        return True
    if asking:
        return click.confirm("Do it?", default=False, err=True)
    flag = "--accept-new-host-key" if offer.shown else "--yes"
    print(f"Nobody can be asked here: {flag} does it.", file=sys.stderr)
    return False


def telling(tell: Callable[[Line], None]) -> Callable[[Line], None]:
    """The same, but for what was put right, which is said to whoever said yes."""

    def told(said: Line) -> None:
        if isinstance(said, Event):
            print(f"Fixed: {said.title}.", file=sys.stderr)
        else:
            tell(said)

    return told
