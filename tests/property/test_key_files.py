"""A key with any name that a file can have is found, checked and linked to."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property.strategies import file_names
from tests.shell.shells import Answer, Shell, prelude

NASTY = [
    "it's",
    'a "b"',
    "$(id)",
    "`id`",
    "${HOME}",
    "100%",
    "%h%%",
    "a\\b",
    "*",
    "-k",
    " ",
    "@key@",
    "~",
    "#k",
    "é🔑",
]
NAMES = st.lists(file_names(), min_size=1, max_size=8, unique=True)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key without a passphrase."""
    path = tmp_path_factory.mktemp("key") / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def key_id(key: Path) -> str:
    """What the programs call a key: its MD5 fingerprint without colons."""
    command = ["ssh-keygen", "-l", "-E", "md5", "-f", str(key)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said.split()[1].removeprefix("MD5:").replace(":", "") if said else ""


def each(shell: Shell, script: str, keys: Sequence[Path]) -> Answer:
    """The script, run for each key in one process, with $t_key set and $n counting."""
    bastion = "t_bastion_host=bastion t_bastion_port=22 t_login=me@bastion"
    lines = [prelude(), "forget", f"t_user=$me t_name=2222 {bastion}", f"step() {{ {script}\n}}"]
    lines += [f"n={number} t_key={shlex.quote(str(key))} && step" for number, key in enumerate(keys)]
    return shell.run("\n".join(lines))


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs the OpenSSH client")
@settings(max_examples=8)
@given(names=NAMES)
@example(names=NASTY)
def test_the_key_is_checked_under_any_name(shell: Shell, key: Path, names: list[str]) -> None:
    """ssh-keygen and the tests of the program see the file that was meant."""
    with tempfile.TemporaryDirectory() as folder:
        keys = [Path(folder) / f"in {name}" / name for name in names]
        for path in keys:
            path.parent.mkdir()
            shutil.copy(key, path)
        answer = each(shell, 't_key_id=none; check_key; echo "$? $t_key_id"', keys)
    assert (answer.stderr, answer.stdout) == ("", f"0 {key_id(key)}\n" * len(names))


@settings(max_examples=8)
@given(names=NAMES)
@example(names=NASTY)
def test_the_link_leads_to_the_key_under_any_name(shell: Shell, names: list[str]) -> None:
    """A link is not true, is made, is true, and is the path byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        keys = [Path(folder) / name for name in names]
        steps = 'link_is "$l" "$t_key"; a=$?; put_link "$l" "$t_key"; b=$?; link_is "$l" "$t_key"'
        answer = each(shell, f'l={folder}/.link.$n; {steps}; echo "$a$b$?"', keys)
        links = [str(Path(f"{folder}/.link.{number}").readlink()) for number, _ in enumerate(names)]
    assert (answer.stderr, answer.stdout) == ("", "100\n" * len(names))
    assert links == [str(path) for path in keys]


@settings(max_examples=8)
@given(names=NAMES)
@example(names=NASTY)
def test_a_file_is_written_under_any_name(shell: Shell, names: list[str]) -> None:
    """A file step writes the path that it was given, and no other."""
    owner = f"{os.getuid()}:{os.getgid()}"
    with tempfile.TemporaryDirectory() as folder:
        keys = [Path(folder) / name for name in names]
        steps = (
            'o=$(stat -c %U:%G .); text_t() { printf %s "$t_key"; }; '
            'file_is "$t_key" 640 "$o" text_t; a=$?; put_file "$t_key" 640 "$o" text_t; b=$?; '
            'file_is "$t_key" 640 "$o" text_t; echo "$a$b$?"'
        )
        answer = each(shell, f"cd {folder} && {steps}", keys)
        written = {path.name: path.read_text("utf-8") for path in Path(folder).iterdir()}
        owners = {f"{path.stat().st_uid}:{path.stat().st_gid}" for path in keys}
    assert (answer.stderr, answer.stdout) == ("", "100\n" * len(names))
    assert written == {path.name: str(path) for path in keys}
    assert owners == {owner}
