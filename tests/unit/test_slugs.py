"""Every slug is met by a test, or stands here with the reason why not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from scitex_ssh.cli.remote import ended_with_us
from scitex_ssh.errors import CATALOGUE, SSHError
from scitex_ssh.gateway import client
from scitex_ssh.gateway.machine import MachineName
from scitex_ssh.remote import SSHResult
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.words import failure

TESTS = Path(__file__).parents[1]

# What no test of this checkout makes happen, and why.
NOT_RAISED = {
    "gateway-install": "it takes a bastion whose sshd or accounts refuse a step",
    "gateway-packages": "the packages are there wherever the tests run",
    "gateway-session": "it takes a session that sshd does not end when its process is killed",
    "bastion-step": "it takes a bastion whose disk or accounts fail half-way",
    "revoke-failed": "the same, while a host is revoked",
    "no-bastion": "it takes an inventory of pyinfra, which the lab has, always with a bastion",
    "internal": "it is what no input is known to lead to: tests/property/test_fuzz.py looks for one",
}


def _interrupted() -> object:
    raise KeyboardInterrupt


RAISED: dict[str, Callable[[], object]] = {
    "bad-machine": lambda: MachineName("a b"),
    "call-interrupted": lambda: ended_with_us(_interrupted),
    "gateway-answer": lambda: client._granted({"bastion": 1}, "gw", 22, Path("/k")),
    "gateway-pending": lambda: client._checked({"state": "pending", "name": "lab1"}),
    "remote-status": lambda: SSHResult("lab1", 3).raise_for_error(),
}


@pytest.mark.parametrize("slug", sorted(RAISED))
def test_what_is_wrong_is_raised(slug: str) -> None:
    """With that slug, and no fact is missing in its words."""
    with pytest.raises(SSHError) as raised:
        RAISED[slug]()
    assert raised.value.slug == slug
    assert "?" not in str(raised.value)


def test_a_gateway_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    """Nobody listens on the first port of this machine."""
    with pytest.raises(SSHError) as raised:
        client.enrol("http://127.0.0.1:1", "token", key=tmp_path / "key")
    assert raised.value.slug == "gateway-unreachable"


def test_words_of_ssh_that_nobody_knows_are_told_as_they_are() -> None:
    """With the host that was asked for."""
    problem = failure(Way.of("lab1"), "ssh: it is raining\n")
    assert (problem.slug, problem.facts["why"]) == ("remote-unreachable", "ssh: it is raining")


def test_every_slug_is_met_by_a_test_or_says_why_not() -> None:
    """A slug that no test names is one whose page nobody has seen to be true."""
    named = set(RAISED)
    for path in TESTS.rglob("*.py"):
        if path != Path(__file__) and path.name != "test_errors.py":
            named |= set(re.findall(r"(?<![a-z-])[a-z]+(?:-[a-z]+)*(?![a-z-])", path.read_text("utf-8")))
    assert set(NOT_RAISED) <= set(CATALOGUE)
    # That one is met above.
    assert set(CATALOGUE) - named - set(NOT_RAISED) == {"remote-unreachable"}
    # A reason that has gone stale is none.
    assert set(NOT_RAISED) & named <= {"internal"}
