"""The key of a host is made there, and gives its place to a new one without a moment without any."""

from __future__ import annotations

import subprocess
from pathlib import Path

from scitex_ssh.render.tunnel_key import key_program
from tests.shell.shells import Shell


def say(shell: Shell, word: str, path: Path) -> str:
    """What the program says."""
    done = subprocess.run(
        [*shell.command, "-c", key_program(), "scitex-ssh", word, str(path), "", "scitex-ssh-lab1"],
        env={"PATH": shell.path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_new_key_takes_the_place_of_the_old_one(shell: Shell, tmp_path: Path) -> None:
    """Only public halves are said, making is done once, and the way back is open until it is dropped."""
    path = tmp_path / "some where" / "key"
    assert say(shell, "show", path) == ""
    first = say(shell, "make", path)
    assert first.startswith("public\tssh-ed25519 AAAA")
    assert say(shell, "make", path) == say(shell, "show", path) == first
    second = say(shell, "next", path)
    assert say(shell, "next", path) == second != first
    assert say(shell, "show", path) == first

    say(shell, "take", path)
    assert say(shell, "show", path) == second
    assert (path.parent / "key.pub").read_text() == second.partition("\t")[2]
    # Said again, it is nobody's turn.
    say(shell, "take", path)
    assert say(shell, "show", path) == second
    say(shell, "back", path)
    assert say(shell, "show", path) == first
    say(shell, "take", path)
    say(shell, "drop", path)
    say(shell, "back", path)
    assert say(shell, "show", path) == second
    assert sorted(each.name for each in path.parent.iterdir()) == ["key", "key.pub"]


def test_a_look_tells_who_the_user_is(shell: Shell, tmp_path: Path) -> None:
    """With the key, in one go."""
    public = say(shell, "make", tmp_path / "key")
    said = say(shell, "look", tmp_path / "key").splitlines(keepends=True)
    assert said[0].startswith("login\t")
    assert said[-1] == public
