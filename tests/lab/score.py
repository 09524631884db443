"""How many of the injected faults doctor named: of every test that injects one, whichever process ran it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

_PROPERTY = "doctor"
_TRIED = ("passed", "failed", "error")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "fault(harmless=False): injects a fault that doctor must name alone and first; a harmless "
        "one it must not mind.",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """What a test injects goes along with what is reported of it, even if it fails before it injects it."""
    mark = item.get_closest_marker("fault")
    if mark is not None:
        item.user_properties.append((_PROPERTY, "harmless" if mark.kwargs.get("harmless") else "fault"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The score, and by its name each fault that was not told rightly or not tried."""
    for line in score(terminalreporter.stats):
        terminalreporter.write_line(line)


def score(stats: Mapping[str, Iterable[Any]]) -> Iterator[str]:
    """The lines of the summary; none where no test injected anything."""
    tried: dict[str, dict[str, bool]] = {"fault": {}, "harmless": {}}
    for outcome in _TRIED:
        for report, kind in _injecting(stats.get(outcome, ())):
            tried[kind][report.nodeid] = outcome == "passed"
    faults, harmless = tried["fault"], tried["harmless"]
    if faults or harmless:
        yield (
            f"doctor named {sum(faults.values())} of {len(faults)} causes alone and first; "
            f"did not mind {sum(harmless.values())} of {len(harmless)} sets of what does no harm"
        )
    for name, right in {**faults, **harmless}.items():
        if not right:
            yield f"doctor was wrong: {name}"
    for report, _ in _injecting(stats.get("skipped", ())):
        yield f"doctor was not tried: {report.nodeid}"


def _injecting(reports: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    for report in reports:
        for name, kind in getattr(report, "user_properties", ()):
            if name == _PROPERTY:
                yield report, kind
