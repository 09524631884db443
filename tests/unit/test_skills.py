"""The guides: each says what it is for, and they are read, and written where they are wanted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scitex_ssh import skills
from scitex_ssh.cli.entry import run

NAMES = [each.name for each in skills.skills()]


def test_there_is_one_for_each_task() -> None:
    """The tasks that people come with."""
    assert [
        *("diagnose-tunnel", "fleet", "forward-database", "gateway", "jump-hosts", "keys"),
        *("setup-tunnel", "socks-proxy", "transfers"),
    ] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_guide_says_what_it_is_for(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its front matter is what agents choose by: two lines, one name, one description with a use."""
    assert run(["skills", "get", name]) == 0
    text = capsys.readouterr().out
    assert re.match(rf"---\nname: {name}\ndescription: [^\n]{{60,400}} Take it [^\n]+\.\n---\n# ", text)
    assert max(map(len, text.split("---\n", 2)[2].splitlines())) <= 120


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    """In words and as JSON."""
    run(["skills", "list", "--json"])
    listed = json.loads(capsys.readouterr().out)["skills"]
    assert [each["name"] for each in listed] == NAMES
    run(["skills", "list"])
    said = capsys.readouterr().out
    assert all(f"\n{name} " in said for name in NAMES)


def test_one_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The others are named."""
    assert run(["skills", "get", "nonsense"]) == 2
    said = capsys.readouterr().err
    assert "setup-tunnel" in said
    assert said.endswith("[no-such-skill]\n")


def test_they_are_installed_and_brought_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once; an older one is replaced; a file of somebody else keeps all from being written."""
    folder = tmp_path / "skills"
    assert run(["skills", "install", str(folder)]) == 0
    path = folder / "scitex-ssh-keys/SKILL.md"
    text = path.read_text("utf-8")
    assert text == skills.skill("keys").text
    path.write_text(text + "old\n", "utf-8")
    capsys.readouterr()
    run(["skills", "install", str(folder)])
    assert capsys.readouterr().out.count("changed") == 1
    assert path.read_text("utf-8") == text
    path.write_text("mine\n", "utf-8")
    assert run(["skills", "install", str(folder)]) == 1
    assert capsys.readouterr().err.endswith("[skill-differs]\n")
    assert path.read_text("utf-8") == "mine\n"
