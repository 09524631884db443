"""What a terminal with colours shows."""

from __future__ import annotations

import pytest

from scitex_ssh.cli import present
from scitex_ssh.plan.report import LEVELS, Check, Observation


@pytest.mark.parametrize("verdict", ["ok", "failed", "warning", "not-reached"])
def test_every_verdict_can_be_shown_in_colour(
    verdict: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor on a terminal shows each of them, the ones without a colour, too."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    present.line(Check("key", "the key can be used", verdict, "", "", "", ""))
    assert "the key can be used" in capsys.readouterr().out


@pytest.mark.parametrize("level", LEVELS)
def test_the_table_can_be_shown_in_colour(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head has no colour, each level its own."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    head, row = present.rows([Observation("2222", level, {})])
    assert "\x1b" not in head
    assert f"m{level}" in row
