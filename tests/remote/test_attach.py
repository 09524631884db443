"""A terminal on another machine, from a terminal of its own: what is typed, its size, its end, its return."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.remote.terminal import Terminal, terminal
from tests.remote.there import There, commands, standing, unique, wait_for

# Without what the host's configuration has for its user's one session, of which there are several here.
OWN = ("-o", "ClearAllForwardings=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none")


def attached(there: There, *words: str, **size: int) -> AbstractContextManager[Terminal]:
    """A terminal with `attach` in it."""
    return terminal(*there.argv("attach", *OWN, *words), **size)


def test_a_terminal_is_one(there: There) -> None:
    """What is typed is read there, the size is that of here and follows it; the status is the shell's."""
    with attached(there, "there", "exec sh", rows=31, columns=97) as screen:
        screen.type("stty size; tty; echo be''gun\n")
        screen.expect("31 97\r\n")
        screen.expect("/dev/")
        screen.expect("begun")
        screen.resize(40, 111)
        screen.type("sleep 1; stty size; echo re''sized\n")
        screen.expect("40 111\r\n")
        screen.expect("resized")
        screen.type("exit 42\n")
        assert screen.end() == 42


def test_ctrl_c_is_for_the_far_side(there: There) -> None:
    """It ends what runs there, and not the terminal."""
    sleep = f"sleep {unique()}"
    with attached(there, "there", "exec sh") as screen:
        screen.type(f"{sleep}\n")
        assert wait_for(1, sleep)
        screen.type("\x03")
        assert wait_for(0, sleep)
        screen.type("echo still''here\n")
        screen.expect("stillhere")
        screen.type("exit\n")
        assert screen.end() in (0, 130)


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM])
def test_a_terminal_that_is_closed_leaves_nothing(there: There, how: signal.Signals) -> None:
    """As when its window is closed, or it is killed: what ran in it there ends."""
    sleep = f"sleep {unique()}"
    with attached(there, "there", f"exec {sleep}") as screen:
        assert wait_for(1, sleep)
        os.kill(screen.pid, how)
        assert wait_for(0, sleep), commands(sleep)


@pytest.mark.parametrize("program", ["tmux", "screen"])
def test_a_session_is_come_back_to(program: str, tmp_path: Path) -> None:
    """What was begun in it is there when the connection was lost and made again; it ends with its shell."""
    place = shutil.which(program)
    if not place:
        pytest.skip(f"{program} is not installed")
    # The other one is not found there, and nobody else's sessions are.
    only = tmp_path / "bin"
    only.mkdir()
    (only / program).symlink_to(place)
    (only / "sh").symlink_to("/bin/sh")
    sockets = tmp_path / "sockets"
    sockets.mkdir(mode=0o700)
    env = {"PATH": only, "TMUX_TMPDIR": sockets, "SCREENDIR": sockets, "SHELL": "/bin/sh"}
    with standing(account=True, env=env) as there:
        with attached(there, "there", "--session", "work") as screen:
            screen.type("marker=kept; echo be''gun\n")
            screen.expect("begun")
            os.kill(screen.pid, signal.SIGHUP)
        with attached(there, "there", "--session", "work") as screen:
            screen.type("echo marker is $marker\n")
            screen.expect("marker is kept")
            screen.type("exit\n")
            assert screen.end() == 0


def test_without_either_there_is_no_session(tmp_path: Path) -> None:
    """It says so, and ends with what a shell ends with for a command that is not there."""
    (tmp_path / "sh").symlink_to("/bin/sh")
    with (
        standing(account=True, env={"PATH": tmp_path}) as there,
        attached(there, "there", "--session", "work") as screen,
    ):
        screen.expect("there is neither tmux nor screen here")
        assert screen.end() == 127


def test_what_is_no_session_is_refused(there: There) -> None:
    """Nothing of it reaches tmux."""
    for name in ("a:b", "a.b", "-x", "a b", "", "$(id)"):
        done = there.cli("attach", "there", f"--session={name}")
        assert (done.returncode, done.stderr.endswith(b"[usage]\n")) == (2, True), done.stderr


def test_an_unreachable_host_is_ssh_s_own_status(there: There) -> None:
    """255, with ssh's words on the terminal."""
    with attached(there, "nowhere.invalid") as screen:
        screen.expect("nowhere.invalid")
        assert screen.end() == 255
