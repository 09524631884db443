"""The score of doctor counts what was tried, and nothing twice."""

from __future__ import annotations

from types import SimpleNamespace

from tests.lab.score import score


def _report(name: str, kind: str = "fault") -> SimpleNamespace:
    return SimpleNamespace(nodeid=name, user_properties=[("doctor", kind)])


def test_what_failed_or_was_not_tried_is_told_by_name() -> None:
    """A test that ran and whose tidying failed is one that is wrong, and so is one that never began."""
    other = SimpleNamespace(nodeid="other", user_properties=[])
    stats = {
        "passed": [_report("a"), _report("b"), _report("h", "harmless"), other],
        "failed": [_report("c")],
        "error": [_report("b"), _report("d")],
        "skipped": [_report("e"), other],
    }
    assert list(score(stats)) == [
        "doctor named 1 of 4 causes alone and first; did not mind 1 of 1 sets of what does no harm",
        "doctor was wrong: b",
        "doctor was wrong: c",
        "doctor was wrong: d",
        "doctor was not tried: e",
    ]


def test_a_run_without_doctor_has_no_score() -> None:
    """Nothing is printed."""
    assert list(score({"passed": [SimpleNamespace(nodeid="other")]})) == []
