"""Every slug is raised by a test: those here, and those of which another test says that it was met."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from scitex_ssh import gateways
from scitex_ssh.cli import entry
from scitex_ssh.cli.remote import ended_with_us
from scitex_ssh.errors import CATALOGUE, SSHError
from scitex_ssh.gateway import client, install
from scitex_ssh.gateway.machine import MachineName
from scitex_ssh.remote import SSHResult
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.words import failure

TESTS = Path(__file__).parents[1]
# They name slugs without having met the error.
NO_WITNESS = {"unit/test_slugs.py", "unit/test_errors.py", "unit/test_causes.py", "met.py"}


def _interrupted() -> object:
    raise KeyboardInterrupt


def _without_packages() -> None:
    with gateways.packages():
        raise ImportError("No module named 'sqlalchemy'")


RAISED: dict[str, Callable[[], object]] = {
    "bad-machine": lambda: MachineName("a b"),
    "call-interrupted": lambda: ended_with_us(_interrupted),
    "gateway-answer": lambda: client._granted({"bastion": 1}, "gw", 22, Path("/k")),
    "gateway-install": lambda: install._run("/nonexistent/systemctl", "daemon-reload"),
    "gateway-packages": _without_packages,
    "gateway-pending": lambda: client._checked({"state": "pending", "name": "lab1"}),
    "gateway-unreachable": lambda: client.enrol("http://127.0.0.1:1", "token", key=Path("/nonexistent/key")),
    "remote-status": lambda: SSHResult("lab1", 3).raise_for_error(),
}


@pytest.mark.parametrize("slug", sorted(RAISED))
def test_what_is_wrong_is_raised(slug: str) -> None:
    """With that slug, and no fact is missing in its words."""
    with pytest.raises(SSHError) as raised:
        RAISED[slug]()
    assert raised.value.slug == slug
    assert "?" not in str(raised.value)


def test_words_of_ssh_that_nobody_knows_are_told_as_they_are() -> None:
    """With the host that was asked for."""
    problem = failure(Way.of("lab1"), "ssh: it is raining\n")
    assert (problem.slug, problem.facts["why"]) == ("remote-unreachable", "ssh: it is raining")


def test_a_session_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is revoked, and its port is listened on all the same."""
    from scitex_ssh.gateway import sessions, upkeep

    machine = SimpleNamespace(name="lab1", port=20001, bastion="here")
    store = SimpleNamespace(revoke=lambda *_: machine, bastion=SimpleNamespace(name="here"))
    here = SimpleNamespace(ssh_user="tunnel")
    monkeypatch.setattr(gateways, "_gateway", lambda: nullcontext((here, store)))
    monkeypatch.setattr(upkeep, "tick", lambda *_: None)
    monkeypatch.setattr(sessions, "listening", lambda _: {20001})
    with pytest.raises(SSHError) as raised:
        gateways.revoke("lab1")
    assert raised.value.slug == "gateway-session"


def test_a_fault_of_ours_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said to be one, with what Python has to say."""

    def main(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.delenv("SCITEX_SSH_DEBUG_MODE", raising=False)
    monkeypatch.setattr(entry.app, "main", main)
    assert entry.run(["status"]) == 1
    said = capsys.readouterr().err
    assert "[internal]" in said
    assert "Traceback" not in said


def test_an_inventory_without_a_bastion_is_no_fleet() -> None:
    """The words of the error are pyinfra's to print."""
    pytest.importorskip("pyinfra")
    from pyinfra.api.exceptions import PyinfraError

    from scitex_ssh import fleet

    with pytest.raises(PyinfraError, match="the inventory has no bastion"):
        fleet.read([])


def test_every_slug_is_a_word_that_a_test_expects() -> None:
    """As a text of its own, "slug" or [slug]; tests/met.py tells which ones a run really met."""
    told = {"remote-unreachable", "gateway-session", "no-bastion", "internal"} | set(RAISED)
    for path in TESTS.rglob("*.py"):
        if path.relative_to(TESTS).as_posix() not in NO_WITNESS:
            found = re.findall(r'"([a-z]+(?:-[a-z]+)*)"|\[([a-z]+(?:-[a-z]+)*)\]', path.read_text("utf-8"))
            told |= {one or other for one, other in found}
    assert set(CATALOGUE) - told == set()
