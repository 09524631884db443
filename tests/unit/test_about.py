"""What the command says of itself: completion, the Python API, the manual page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

import scitex_ssh
from scitex_ssh.cli.app import app

ARGV = [sys.executable, "-m", "scitex_ssh"]


def said(*words: str, **env: str) -> str:
    """What a command prints, and nothing else."""
    done = subprocess.run(
        [*ARGV, *words], capture_output=True, text=True, env={**os.environ, **env}, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_with_what_it_is_given(shell: str) -> None:
    """It is a program of that shell, which asks ours by the variable that ours answers to."""
    text = said("completion", shell)
    assert "_SCITEX_SSH_COMPLETE=" + shell + "_complete" in text
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_commands_and_flags_are_completed() -> None:
    """What bash asks while one types `key r`, and `exec --pl`."""
    asked = {"_SCITEX_SSH_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
    assert said(**asked, COMP_WORDS="scitex-ssh key ro") == "plain,rotate\n"
    assert said(**asked, COMP_WORDS="scitex-ssh exec --pl") == "plain,--plain\n"


def test_every_public_name_is_listed() -> None:
    """With its kind and, for functions, its signature."""
    names = set(said("list-python-apis").split())
    assert {f"scitex_ssh.{name}" for name in scitex_ssh.__all__} <= names
    assert {"scitex_ssh.keys.rotate", "scitex_ssh.forwards.hold", "scitex_ssh.fleets.plan"} <= names
    listed = {each["name"]: each for each in json.loads(said("list-python-apis", "--json"))["apis"]}
    assert set(listed) == names
    assert listed["scitex_ssh.exec_remote"]["signature"].startswith("(host: object, command: str, *,")
    assert listed["scitex_ssh.SSHResult"]["kind"] == "class"
    assert all(each["about"] for each in listed.values())
    # What differs from one run to the next is no signature.
    assert not any("0x" in each["signature"] for each in listed.values())
    assert "scitex_ssh.probe_remote(host: object," in said("list-python-apis", "-v")


def test_the_manual_page_has_every_command() -> None:
    """And no line of it means anything to roff that was not meant."""
    text = said("man")
    for name, command in app.each():
        if not hasattr(command, "commands"):
            escaped = name.replace("-", "\\-")
            assert f".SS scitex\\-ssh {escaped}\n" in text
    macros = {line.split()[0] for line in text.splitlines() if line.startswith((".", "'"))}
    assert macros == {".TH", ".SH", ".SS", ".B", ".PP", ".TP", ".nf", ".fi"}
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-ww", "-man", "-Tutf8"], input=text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
