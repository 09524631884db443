"""Operations and facts by cases in pyinfra's own form: a folder for each, a JSON file a case.

Run by test_fixtures.py. What a command carries, the program, is tried elsewhere; here it is one line that
says what it is about.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import TestCase

import pytest

pytest.importorskip("pyinfra_testing")

from pyinfra_testing import facts as fact_cases
from pyinfra_testing.facts import make_fact_tests
from pyinfra_testing.operations import make_operation_tests

from scitex_ssh.facts import bastion, tunnels

HERE = Path(__file__).parent
# Of what a host's program is told of a tunnel, what these cases are about.
TOLD = ("name", "port", "bastion_host", "forwards", "keepalive")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each program be a line, and each fact what pyinfra's command prints of it."""

    def ending(entry: str, bindings: tuple[dict[str, str], ...]) -> str:
        told = (" ".join(f"{key}={each[key]}" for key in TOLD if each.get(key)) for each in bindings)
        return f"{entry.split()[1]}: {'; '.join(told)}"

    monkeypatch.setattr(tunnels, "ending", ending)
    monkeypatch.setattr(tunnels, "unpacking", lambda text, own: own)
    monkeypatch.setattr(bastion, "unpacking", str)
    monkeypatch.setattr(bastion, "bastion_program", lambda: "bastion")
    monkeypatch.setattr(bastion, "key_program", lambda: "key")
    # It takes a dataclass apart before it asks for its own form.
    monkeypatch.setattr(fact_cases, "_to_jsonable", lambda data: getattr(data, "to_json", lambda: data)())


def _made(kind: str, make: Callable[[str, str, Path], Any]) -> dict[str, type[TestCase]]:
    folders = sorted(each for each in (HERE / kind).iterdir() if each.is_dir())
    return {f"Test_{each.name}": make(f"scitex_ssh.{kind}", each.name, each) for each in folders}


globals().update(_made("operations", make_operation_tests))
globals().update(_made("facts", make_fact_tests))


def test_there_are_cases_for_each_that_people_use() -> None:
    """Every operation and fact that an inventory or the command line may name."""
    operations = {each.name for each in (HERE / "operations").iterdir()}
    assert operations == {
        *("tunnel.present", "tunnel.absent", "bastion.ready", "bastion.authorized", "bastion.revoked"),
        "gateway.installed",
    }
    facts = {each.name for each in (HERE / "facts").iterdir()}
    assert facts == {
        *("tunnels.Tunnels", "bastion.Bastion", "bastion.Standing", "bastion.TunnelKey"),
        "gateway.GatewayDrift",
    }
