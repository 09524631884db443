"""What is put right one thing after the other, until nothing is left that is safe to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scitex_ssh.errors import error
from scitex_ssh.health.fixes import Fix, Way, fix
from scitex_ssh.plan.report import Check, Event, Report


def mend(
    seen: Report,
    examine: Callable[[], Report],
    way: Callable[[Check], Way | None],
    take: Callable[[Fix], bool],
    tell: Callable[[Event], object],
) -> Report:
    """What is so when no fix is left or one was declined, with an event for each that was done.

    Args:
        seen: what was examined.
        examine: another look, which follows each fix.
        way: what a check was about, as far as a fix needs it.
        take: whether a fix is to be done.
        tell: called with each that was.

    Raises:
        TunnelError: ``step-failed`` for a fix that could not be done.
    """
    tried: set[tuple[str, str]] = set()
    done: list[Event] = []
    while True:
        check, offer = next(_offers(seen, way, tried), (None, None))
        if check is None or offer is None or not take(offer):
            return Report([*done, *seen.lines], seen.status)
        why = offer.apply()
        if why:
            raise error("step-failed", title=offer.title, why=why)
        done.append(Event(check.tunnel, "changed", offer.title))
        tell(done[-1])
        seen = examine()


def _offers(
    seen: Report, way: Callable[[Check], Way | None], tried: set[tuple[str, str]]
) -> Iterator[tuple[Check, Fix]]:
    """The fixes for the cause alone, or for what could go wrong one day."""
    failed = [each for each in seen.checks if each.verdict == "failed"]
    for check in failed or [each for each in seen.checks if each.verdict == "warning"]:
        # What did not help once would not help again.
        if (check.tunnel, check.slug) in tried:
            continue
        tried.add((check.tunnel, check.slug))
        about = way(check)
        offer = fix(check.slug, about) if about else None
        if offer is not None:
            yield check, offer
