"""Whatever is typed: an error of the catalogue, no traceback, no hang, no change on refusal."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scitex_ssh import config
from scitex_ssh.backends.shell import generic_scripts
from scitex_ssh.cli.app import app
from scitex_ssh.cli.entry import run
from scitex_ssh.errors import CATALOGUE, Exit
from scitex_ssh.health import standing
from tests.shell.sandbox import tree
from tests.shell.shells import NAMES, PATH, Shell, busybox_applets, missing

# It plays a whole tunnel.
NOT_RUN = {("demo",)}
# The gateway keeps a database, for which tests/gateway has a machine that tries every sequence; what mcp
# takes is the protocol's, and its packages need not be there.
NOT_OURS = {"gateway", "mcp"}

_ODD = st.sampled_from(
    [
        *("", "0", "-1", "65536", "2222", "99999999999999999999", "02", "u@gw", "gw:", "[::1", "[::1]:22"),
        *("-oProxyCommand=touch pwned", "$(touch pwned)", "`touch pwned`", "a b", "a\nb", "a\tb", "\x1b[2J"),
        *(
            "'",
            '"',
            "\\",
            "%h",
            "~",
            "~/k",
            "~nobody/k",
            "/no/such/key",
            "..",
            "localhost:22",
            "/tmp/s",
            "all",
        ),
        *("1080", "0:localhost:22", "*:80:a:1", "9000:db:1", "cron", "auto", "nohup", "ssh", "fast", "5x2"),
        *("SHA256:x", "é", "\u2028", "\U0001f511", "x" * 5000, "default", "lab1", "unit", "argv", "--", "-"),
    ]
)
_VALUE = st.one_of(_ODD, _ODD, st.text(st.characters(exclude_categories=["Cs"]), max_size=12))


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if name in NOT_OURS and not path:
            continue
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        elif (*path, name) not in NOT_RUN:
            yield (*path, name), command


COMMANDS = dict(_commands(app))
_FLAGS = {
    path: sorted({flag for each in command.params if isinstance(each, click.Option) for flag in each.opts})
    for path, command in COMMANDS.items()
}


def _lines(path: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """Command lines of one command: its own flags, sometimes of others, with values or without."""
    flag = st.sampled_from([*_FLAGS[path], "--json", "--nonsense", "-x"])
    word = st.one_of(
        st.tuples(flag),
        st.tuples(flag, _VALUE),
        st.tuples(flag, _VALUE).map("=".join).map(lambda w: (w,)),
        st.tuples(_VALUE),
    )
    return st.lists(word, max_size=6).map(lambda words: [*path, *(each for word in words for each in word)])


LINES = st.sampled_from(sorted(COMMANDS)).flatmap(_lines)


class _Nobody(subprocess.Popen):  # type: ignore[type-arg]  # of text or of bytes: there is none
    """In place of a process: nothing on this machine can be started."""

    _child_created = False

    def __init__(self, command: Any, *_: object, **__: object) -> None:
        first = command if isinstance(command, (str, os.PathLike)) else command[0]
        raise FileNotFoundError(2, "No such file or directory", os.fspath(first))


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of one's own on a machine where no program can be started, and nobody at the terminal."""
    for name in [*os.environ]:
        if name.startswith(("SCITEX", "XDG", "SUDO")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setattr(config, "SYSTEM", tmp_path / "etc/config.yaml")
    monkeypatch.setattr(standing, "SYSTEM", tmp_path / "etc/tunnels")
    monkeypatch.setattr(subprocess, "Popen", _Nobody)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.chdir(home)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    yield home
    for number, handler in zip(numbers, handlers):
        signal.signal(number, handler)


def test_there_are_commands_to_try() -> None:
    """The reader of the commands sees them all, those of groups too."""
    assert {("setup",), ("tunnel", "remove"), ("policy", "allow"), ("render",), ("bastion", "list")} <= {
        *COMMANDS
    }
    assert "--secret-key" in _FLAGS["setup",]


@given(line=LINES)
@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
def test_any_command_line_ends_well(alone: Path, line: list[str]) -> None:
    """With an exit status of ours and, where it is an error, with a slug; a wrong use changes nothing."""
    before = tree(alone)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run(line)
    assert status in set(Exit) or line[0] == "exec"
    assert "Traceback" not in err.getvalue()
    assert "[internal]" not in err.getvalue()
    assert '"internal"' not in out.getvalue()
    if status == Exit.USAGE and "--json" not in line:
        assert re.search(r"^  \[([a-z-]+)\]$", err.getvalue(), re.MULTILINE)
        assert tree(alone) == before
    assert not (alone / "pwned").exists()


SHELLS = [name for name in NAMES if not missing(name)]
SCRIPTS = generic_scripts()
_SHELL_FLAG = st.sampled_from(
    [
        *(
            "-p",
            "-b",
            "-s",
            "-n",
            "-R",
            "-L",
            "-D",
            "--port",
            "--bastion",
            "--secret-key",
            "--target",
            "--user",
        ),
        *("--remote-socket", "--name", "--keeper", "--engine", "--keepalive", "--host-key-fingerprint"),
        *("--dry-run", "--accept-new-host-key", "--nonsense", "-x", "--port=", "--text=id", "--machine"),
    ]
)
_SHELL_WORDS = st.lists(st.one_of(_SHELL_FLAG, _SHELL_FLAG, _VALUE), max_size=7).map(
    lambda words: [word.replace("\0", "") for word in words]
)
# What a shell itself says of a program that is not one.
_CRASH = re.compile(
    r"(line|program): \d+: |not found|yntax error|parameter not set|unbound|bad (subst|number)"
)


@given(words=_SHELL_WORDS, name=st.sampled_from(sorted(SCRIPTS)), shell=st.sampled_from(SHELLS))
@settings(max_examples=40, deadline=None, database=None)
def test_any_flags_of_a_script_end_well(words: list[str], name: str, shell: str) -> None:
    """Denied by the policy at the latest, so nothing can come of it but a refusal or an answer."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "config.yaml").write_text("default:\n  tunnels: deny\n")
        (folder / "home").mkdir()
        before = tree(folder)
        env = {"HOME": f"{folder}/home", "SCITEX_SSH_CONFIG": f"{folder}/config.yaml", "PATH": PATH}
        (applets := Path(made + ".applets")).mkdir()
        try:
            run_by = Shell.named(shell, busybox_applets(applets) if shell == "busybox" else None)
            done = run_by.run(SCRIPTS[name], *words, cwd=folder / "home", env=env, timeout=60)
        finally:
            for link in applets.iterdir():
                link.unlink()
            applets.rmdir()
        assert done.status in set(Exit), done
        assert not _CRASH.search(done.stderr), done
        if done.status not in (Exit.DONE, Exit.UNHEALTHY) and "--machine" not in words:
            slugs = re.findall(r"^  \[([a-z-]+)\]$", done.stderr, re.MULTILINE)
            assert slugs, done
            assert set(slugs) <= set(CATALOGUE) - {"internal"}
        assert tree(folder) == before
