"""The program that changes one line of an authorized_keys, under every shell that may run it."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from tests.shell.shells import Shell

SOURCE = files("scitex_ssh.keys").joinpath("lines.sh").read_text(encoding="utf-8")
OLD, NEW = "A" * 64 + "=", "B" * 64 + "="
OTHERS = f'# ssh-ed25519 {OLD} not this\nfrom="10.0.0.1",command="echo \\"a  b\\" \\\\ %" ssh-rsa CCCC me\n'


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Give the file, with lines of others in it."""
    path = tmp_path / ".ssh/authorized_keys"
    path.parent.mkdir()
    path.write_text(OTHERS)
    return path


def run(shell: Shell, home: Path, *words: str) -> str:
    """What the program says, without its mark."""
    done = shell.run(SOURCE, *words, env={"HOME": str(home)})
    assert done.stderr == ""
    return done.stdout.removeprefix("scitex-ssh key ").strip()


def test_a_line_is_added_changed_followed_and_taken_away(shell: Shell, keys: Path) -> None:
    """Each once, with all that a line may hold; nobody else's line is touched."""
    home = keys.parents[1]
    options = 'restrict,command="printf \\"%s  %s\\\\n\\" `id` $HOME"'
    add = ("add", "0", OLD, "", f"ssh-ed25519 {OLD}", "a  'comment'")
    assert run(shell, home, "add", "1", *add[2:]) == "would-change the key is in .ssh/authorized_keys"
    assert keys.read_text() == OTHERS
    assert run(shell, home, *add) == "changed the key is in .ssh/authorized_keys"
    assert keys.read_text() == f"{OTHERS}ssh-ed25519 {OLD} a  'comment'\n"
    assert run(shell, home, *add) == "ok the key is in .ssh/authorized_keys"
    limited = (*add[:3], options, *add[4:])
    assert run(shell, home, *limited).startswith("changed")
    assert keys.read_text() == f"{OTHERS}{options} ssh-ed25519 {OLD} a  'comment'\n"
    assert run(shell, home, *limited).startswith("ok")
    assert run(shell, home, *add).startswith("ok the key is in .ssh/authorized_keys, with restrict,command=")
    swap = ("swap", "0", OLD, "ssh-rsa", NEW, "0123", "4567")
    assert run(shell, home, *swap).startswith("changed")
    former, new = keys.read_text().splitlines()[-2:]
    assert (former, new) == (
        f"{options} ssh-ed25519 {OLD} a  'comment'",
        f"{options} ssh-rsa {NEW} a  'comment'",
    )
    assert run(shell, home, *swap).startswith("ok")
    assert run(shell, home, "drop", "0", OLD).startswith("changed")
    assert keys.read_text() == f"{OTHERS}{new}\n"
    assert run(shell, home, "drop", "0", OLD).startswith("ok")
    assert run(shell, home, *swap) == "missing .ssh/authorized_keys"
    assert [each.name for each in keys.parent.iterdir()] == ["authorized_keys"]


def test_a_link_stays_one(shell: Shell, keys: Path) -> None:
    """What it leads to is changed."""
    home = keys.parents[1]
    keys.rename(home / "elsewhere")
    keys.symlink_to("../elsewhere")
    assert run(shell, home, "add", "0", OLD, "", f"ssh-ed25519 {OLD}", "").startswith("changed")
    assert keys.is_symlink()
    assert (home / "elsewhere").read_text() == f"{OTHERS}ssh-ed25519 {OLD}\n"


def test_on_a_full_disk_the_file_is_as_it_was(shell: Shell, full_disk: Path) -> None:
    """And the program says so."""
    folder = full_disk / ".ssh"
    folder.mkdir()
    (folder / "authorized_keys").write_text(OTHERS)
    subprocess.run(["dd", "if=/dev/zero", f"of={full_disk}/filler"], capture_output=True)
    words = ("add", "0", OLD, "", f"ssh-ed25519 {OLD}", "")
    done = shell.run(SOURCE, *words, env={"HOME": str(full_disk)})
    assert done.stdout.startswith("scitex-ssh key failed .ssh/authorized_keys cannot be written")
    assert (folder / "authorized_keys").read_text() == OTHERS
    assert [each.name for each in folder.iterdir()] == ["authorized_keys"]
