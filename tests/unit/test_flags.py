"""Flags that would be of no effect are refused: whoever gives them means something by them."""

from __future__ import annotations

import json

import click
import pytest

from scitex_ssh.cli.app import GROUPS, app
from scitex_ssh.cli.entry import run
from scitex_ssh.errors import CATALOGUE, Exit

MISUSED = [
    ("status", "-p", "2222", "-n", "lab"),
    ("remove", "-p", "2222", "-n", "lab"),
    ("doctor", "-p", "2222", "-n", "lab"),
    ("doctor", "-p", "2222", "--target", "h:1"),
    ("doctor", "-n", "lab", "-J", "gate"),
    ("doctor", "-n", "lab", "-R", "1080"),
    ("doctor", "-p", "2222", "--yes"),
    ("doctor", "-p", "2222", "--accept-new-host-key"),
    ("status", "--every", "3"),
    ("status", "--every", "0", "--watch"),
    ("status", "--wait", "-1"),
    ("status", "extra"),
    ("explain", "no-such-slug"),
    ("explain", "port-taken", "usage"),
]


@pytest.mark.parametrize("words", MISUSED, ids=" ".join)
def test_it_is_one_usage_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """To stderr, with exit status 2, and nothing was looked at."""
    assert run(list(words)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("  [usage]\n")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("key", "authorize", "--json", "there", "extra"), "key authorize"),
        (("fleet", "plan", "--json", "/none"), "fleet plan"),
        (("tunnel", "status", "--json", "-p", "0"), "status"),
        (("--json",), ""),
    ],
)
def test_a_failure_in_json_names_its_command(
    words: tuple[str, ...], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As its results do, with the group that it is of."""
    run(list(words))
    body = json.loads(capsys.readouterr().out)
    assert (body["command"], body["success"]) == (command, False)


def test_the_groups_are_known() -> None:
    """Those that a failure is named by are those that there are."""
    assert {name for name, each in app.each() if isinstance(each, click.Group)} == {*GROUPS, "tunnel"}


def test_every_error_can_be_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """By its slug, with its exit status and both of its sentences; without one, all of them are listed."""
    for slug, problem in CATALOGUE.items():
        assert run(["explain", slug]) == Exit.DONE
        said = capsys.readouterr().out
        assert said.startswith(f"[{slug}]  exit status {int(problem.status)}\n")
        assert problem.sentence in said
        assert problem.next_move in said
    assert run(["explain"]) == Exit.DONE
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(CATALOGUE)
