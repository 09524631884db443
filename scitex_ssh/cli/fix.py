"""What `doctor --fix` offers: one fix after the other, until nothing is left that is safe to put right."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from scitex_ssh import api
from scitex_ssh.errors import error
from scitex_ssh.health import standing
from scitex_ssh.health.fixes import Fix, Way, fix
from scitex_ssh.model import Destination
from scitex_ssh.plan.report import Check


def mend(
    result: api.Result,
    examine: Callable[[], api.Result],
    given: Mapping[str, str | None],
    wanted: str | None,
    *,
    yes: bool,
    accept_new: bool,
    asking: bool,
) -> api.Result:
    """What is so when no offer is left or one was declined; each fix is followed by another look.

    Args:
        given: bastion, key and user, as flags.
        wanted: the port or the name of one that stands.
        yes: take every fix but those that somebody has to see first.
        accept_new: take a host key that is not known, too.
        asking: there is a terminal to ask on.
    """
    tried: set[tuple[str | None, str]] = set()
    while True:
        # What did not help once would not help again.
        left = (each for each in _found(result) if (each.tunnel, each.slug) not in tried)
        for check in left:
            tried.add((check.tunnel, check.slug))
            way = _way(given, check.tunnel or wanted)
            offer = fix(check.slug, way) if way else None
            if offer is not None:
                break
        else:
            return result
        if not _taken(offer, accept_new if offer.shown else yes, asking):
            return result
        why = offer.apply()
        if why:
            raise error("step-failed", title=offer.title, why=why)
        print(f"Fixed: {offer.title}.", file=sys.stderr)
        result = examine()


def _found(result: api.Result) -> list[Check]:
    """The cause alone, or what could go wrong one day."""
    checks = result.report.checks
    failed = [each for each in checks if each.verdict == "failed"]
    return failed or [each for each in checks if each.verdict == "warning"]


def _taken(offer: Fix, yes: bool, asking: bool) -> bool:
    print(f"Can be fixed: {offer.title}.\n{offer.shown}", end="", file=sys.stderr)
    if yes:
        return True
    if asking:
        return click.confirm("Do it?", default=False, err=True)
    flag = "--accept-new-host-key" if offer.shown else "--yes"
    print(f"Nobody can be asked here: {flag} does it.", file=sys.stderr)
    return False


def _way(given: Mapping[str, str | None], wanted: str | None) -> Way | None:
    """What the checks were about."""
    if given["bastion"] is None and given["key"] is None:
        for each in standing.tunnels():
            if each.description and wanted in (each.name, *each.ports):
                said: Mapping[str, Any] = each.description
                bastion = Destination.parse(said["bastion"])
                own = each.keeper != "systemd"
                return Way(bastion, said["key"], said["user"], each.unit, own)
        return None
    tunnel = api.described(65535, given["bastion"], given["key"], user=given["user"])
    return Way(tunnel.bastion, str(standing.expanded(tunnel.key, tunnel.user)), tunnel.user or "")
