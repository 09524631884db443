"""What version 1 called a command still answers, or says what it is now."""

from __future__ import annotations

import json

import pytest

from scitex_ssh.cli.app import app
from scitex_ssh.cli.entry import run


@pytest.mark.parametrize(
    ("former", "slug"),
    [
        (("setup-tunnel", "-p", "0", "-b", "u@gw", "-s", "/k"), "bad-port"),
        (("remove-tunnel", "-p", "0"), "bad-port"),
        (("show-status", "-p", "0"), "bad-port"),
        (("tunnel", "check-status", "-p", "0"), "bad-port"),
        (("tunnel", "render-argv", "--profile", "{}"), "gone"),
        (("tunnel", "forward", "--discovery", "x.json", "--dry-run"), "gone"),
    ],
)
def test_a_former_name_answers(
    former: tuple[str, ...], slug: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the words of the command that it is now, or with the next move."""
    assert run(list(former)) == 2
    assert capsys.readouterr().err.endswith(f"[{slug}]\n")


def test_a_former_name_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same object as the command's own."""
    run(["tunnel", "check-status", "--json"])
    assert json.loads(capsys.readouterr().out)["command"] == "status"


def test_no_help_lists_a_former_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever begins today learns one name for each."""
    names = {name for name, _ in app.each()}
    assert {"setup", "remove", "status"} <= names
    assert names & {"setup-tunnel", "remove-tunnel", "show-status"} == set()


def test_the_umbrella_finds_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    """``scitex ssh ...`` is looked up as `_cli.main`, and takes whatever ours takes."""
    from scitex_ssh._cli import main

    for words, status in ((["--version"], 0), (["setup", "-p", "0", "-b", "u@gw", "-s", "/k"], 2)):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == status
    assert capfd.readouterr().err.endswith("[bad-port]\n")
