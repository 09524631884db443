"""The emitted programs are POSIX sh, whole."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from scitex_ssh.backends.shell import baked, bastion, generic_program, generic_scripts
from scitex_ssh.keepers.systemd import supervisor
from scitex_ssh.model import Port, Tunnel
from scitex_ssh.render.authorized_keys import session
from scitex_ssh.render.take_back import one_line, source
from tests.shell.shells import Shell

TUNNELS = [
    Tunnel.of(2222, "u@gw", '/it\'s $HOME/"k" `id` %h \\'),
    Tunnel.of(2223, "u@[fd95::1]:2200", "~/k", user="lab", target="[::1]:80", engine="autossh"),
]
PROGRAMS = {
    "generic": generic_program(),
    **generic_scripts(),
    "baked setup": baked("setup", TUNNELS),
    "baked remove": baked("remove", TUNNELS),
    "baked status": baked("status", [Port(2222), Port(2223)]),
    "baked for nobody": baked("setup", []),
    "bastion": bastion(),
    "session": session(),
    "supervisor": supervisor(),
    "take_back": one_line(source()),
}

# What shellcheck says of a program made of parts, each with the reason why it may.
WAIVED = {
    1003: "a key's path may hold a backslash, which then stands before the closing quote",
    2015: "A && B || C: C is the refusal, and is meant when B fails, too",
    2016: "the texts stand in single quotes because nothing in them is to be expanded",
    2030: "a subshell keeps its variables to itself on purpose",
    2031: "the same, seen from outside the subshell",
    2034: "the texts and steps use values that the functions set",
    2046: "take_back: ports and paths of sockets are words",
    2086: "take_back: the number of a field",
    2088: "a key's path may begin with ~/, which the program itself reads",
    2154: "values that eval sets under a name it makes",
    2317: "functions called by a name that is put together: test_1",
    2329: "the same, in the words of newer versions",
}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_shell_can_read_it(shell: Shell, name: str, tmp_path: Path) -> None:
    """No shell finds a syntax error, or has a word to say."""
    path = tmp_path / "program"
    path.write_text(PROGRAMS[name], "utf-8")
    done = subprocess.run([*shell.command, "-n", str(path)], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
@pytest.mark.parametrize("name", ["generic", "baked setup", "bastion", "session", "supervisor", "take_back"])
def test_shellcheck_finds_nothing_that_is_not_meant(name: str, tmp_path: Path) -> None:
    """Nothing beyond POSIX, nothing unquoted, nothing misspelt: only what is waived with a reason."""
    path = tmp_path / "program"
    path.write_text(PROGRAMS[name], "utf-8")
    command = ["shellcheck", "--norc", "-s", "sh", "-f", "json", str(path)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    lines = PROGRAMS[name].splitlines()
    found = [
        (each["code"], each["message"], lines[each["line"] - 1][:100])
        for each in said
        if each["code"] not in WAIVED
    ]
    assert found == []


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_shellcheck_would_find_it(tmp_path: Path) -> None:
    """The check above sees an unquoted path and a word of bash in the middle of a program."""
    path = tmp_path / "program"
    bad = generic_program().replace("\nbegin\n", "\nlocal x=1; rm -rf $f_path/*\nbegin\n")
    path.write_text(bad, "utf-8")
    command = ["shellcheck", "--norc", "-s", "sh", "-f", "json", str(path)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    assert {each["code"] for each in said} - set(WAIVED) >= {2115, 3043}


@pytest.mark.parametrize("word", ["setup", "remove", "status"])
def test_a_program_cut_short_does_nothing(shell: Shell, word: str, tmp_path: Path) -> None:
    """Whatever part of a download arrives, nothing is done: the command is the last line."""
    text = baked(word, TUNNELS).rpartition("{")[0]
    for cut in (len(text), len(text) - 2, len(text) // 2, 5000, 300):
        answer = shell.run(text[:cut], env={"TMPDIR": str(tmp_path)})
        assert answer.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_help_needs_nothing(shell: Shell) -> None:
    """--help and --version answer anybody, on stdout, before any test of the machine."""
    generic = generic_program()
    for arguments in (["--help"], ["-h"], ["setup", "--help"], ["status", "-h"], ["remove", "--help"]):
        answer = shell.run(generic, *arguments)
        assert (answer.stderr, answer.status) == ("", 0)
        assert answer.stdout.startswith("usage: sh script")
        assert "Exit statuses: 0 done" in answer.stdout
    assert shell.run(generic, "--version").stdout.startswith("scitex-ssh ")
    assert shell.run(generic, "setup", "--version").status == 0
