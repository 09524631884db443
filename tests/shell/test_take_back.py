"""The words on the bastion end the tunnel's own last session, and nobody else's."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from scitex_ssh.render.take_back import remote_command
from scitex_ssh.render.template import Template
from tests.shell.shells import Shell

KEY_ID = "0123456789abcdef0123456789abcdef"
needs_dash = pytest.mark.skipif(not shutil.which("dash"), reason="needs dash, to stand for sshd")


class Bastion:
    """An account on a bastion: a home, the shell that is its ``sh``, and a port nobody holds."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.home = folder / "ho me"
        self.home.mkdir()
        tools = folder / "bin"
        tools.mkdir()
        if shell.name == "busybox":
            tools = Path(shell.path.split(":")[0])
        else:
            (tools / "sh").symlink_to(shutil.which(shell.command[0]) or "")
        self.environment = {"PATH": f"{tools}:{shell.path}", "HOME": str(self.home)}
        self.port = free_port()
        self.note = self.home / ".cache/scitex-ssh" / f"{os.uname().nodename}-{self.port}-{KEY_ID}"
        # Named sshd, and no applet of busybox: that goes by its name.
        self.sshd = folder / "sshd-session"
        shutil.copy(shutil.which("dash") or "", self.sshd)

    def command(self, word: str, name: str = "") -> str:
        """What ssh sends for that word; ``name`` is the supervisor that speaks."""
        text = Template(remote_command(word)).fill({"mark": str(self.port), "key_id": KEY_ID})
        head, _, tail = text.replace("%%", "%").rpartition("' scitex-ssh ")
        return f"{head}' scitex-ssh{'-' + name if name else ''} {tail}"

    def release(self, name: str = "") -> str:
        """What ``release`` answers."""
        done = subprocess.run(
            ["sh", "-c", self.command("release", name)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.stderr, done.returncode) == ("", 0)
        return done.stdout

    @contextmanager
    def session(self, name: str = "", *, asked: bool = False) -> Iterator[subprocess.Popen[str]]:
        """A session that holds: an sshd, under it the account's shell, under it the program."""
        login = 'exec 3<&0; sh -c "$1" <&3 & wait $!'
        process = subprocess.Popen(
            [str(self.sshd), "-c", login, "sshd", self.command("hold", name)],
            env=self.environment,
            stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with ended(process):
            try:
                yield process
            finally:
                # What release leaves to end by itself, within half a minute.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)

    def write_note(self, text: str) -> None:
        """A note as an earlier ``hold`` left it."""
        self.note.parent.mkdir(parents=True, exist_ok=True)
        self.note.write_text(text)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """The process, and its output, end with the block."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks (proc(5), stat, field 22)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


def wait_for(condition: Callable[[], object], seconds: float = 10) -> bool:
    """True as soon as the condition is; False when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def living(program: str = "time.sleep(60)", *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this account, once it said that it is ready."""
    head = "import signal, socket, sys, time\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{head}{program}", *arguments], stdout=subprocess.PIPE, text=True
    )
    with ended(process):
        yield process


LISTEN = """
s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=getattr(socket, sys.argv[3]))
print(flush=True)
time.sleep(60)
"""
FAMILIES = [("127.0.0.1", "AF_INET"), ("::1", "AF_INET6"), ("0.0.0.0", "AF_INET"), ("::", "AF_INET6")]


@contextmanager
def listening(address: str, port: int, family: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the port on that address."""
    with living(LISTEN, address, str(port), family) as process:
        assert process.stdout
        assert process.stdout.readline() == "\n"
        yield process


@pytest.fixture
def bastion(shell: Shell, tmp_path: Path) -> Bastion:
    """An account whose sh is each of the shells."""
    return Bastion(shell, tmp_path)


@needs_dash
def test_hold_notes_the_sshd_of_its_session(bastion: Bastion) -> None:
    """The note names the nearest sshd above and when it started; only the account can read it."""
    with bastion.session() as sshd:
        assert sshd.stdout
        assert sshd.stdout.readline() == "scitex-ssh holds\n"
        assert bastion.note.read_text().split() == [str(sshd.pid), started(sshd.pid)]
        assert stat.S_IMODE(bastion.note.stat().st_mode) == 0o600
        assert stat.S_IMODE(bastion.note.parent.stat().st_mode) == 0o700
        assert [path.name for path in bastion.note.parent.iterdir()] == [bastion.note.name]


@needs_dash
def test_release_ends_the_session_that_holds(bastion: Bastion) -> None:
    """What hold wrote down, release ends, and the note is gone; the next hold may come."""
    for _ in range(2):
        with bastion.session() as sshd:
            assert sshd.stdout
            assert sshd.stdout.readline() == "scitex-ssh holds\n"
            assert bastion.release() == "scitex-ssh released \n"
            assert sshd.wait(timeout=5) != 0
        assert not bastion.note.exists()
    assert bastion.release() == "scitex-ssh nothing \n"


@needs_dash
def test_hold_ends_with_its_session(bastion: Bastion) -> None:
    """When nobody reads any more, the program ends: no process stays behind on the bastion."""
    quick = Path(bastion.environment["HOME"]) / "quick"
    quick.mkdir()
    (quick / "sleep").write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 0.1\n")
    (quick / "sleep").chmod(0o755)
    bastion.environment["PATH"] = f"{quick}:{bastion.environment['PATH']}"
    with bastion.session() as sshd:
        assert sshd.stdout
        assert sshd.stdout.readline() == "scitex-ssh holds\n"
        # Nothing listens here: it is no real session.
        assert sshd.stdout.readline() == "scitex-ssh bound\n"
        assert sshd.stdout.readline() == "scitex-ssh hears\n"
        # Nobody asks anything here.
        assert sshd.stdout.read(3) == "..."
        assert sshd.poll() is None
        sshd.stdout.close()
        sshd.wait(timeout=10)


@needs_dash
def test_hold_does_not_read_its_input(bastion: Bastion) -> None:
    """A unit's stdin is empty: a program that read it would end at once."""
    with bastion.session() as sshd:
        assert sshd.stdout
        assert sshd.stdout.readline() == "scitex-ssh holds\n"
        time.sleep(0.3)
        assert sshd.poll() is None


def test_hold_without_an_sshd_still_holds(bastion: Bastion, tmp_path: Path) -> None:
    """Where no sshd is found above, the port is held all the same, and it says so."""
    answer = tmp_path / "answer"
    orphan = f'(sh -c "$1" >"{answer}" 2>&1 & echo $!)'
    started_by = subprocess.run(
        ["sh", "-c", f"{orphan}; sleep 0.1", "sh", bastion.command("hold")],
        env=bastion.environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=10,
    )
    pid = int(started_by.stdout)
    try:
        assert wait_for(lambda: "\n" in answer.read_text())
        first = answer.read_text().splitlines()[0]
        assert first in ("scitex-ssh holds without a note", "scitex-ssh holds")
        assert bastion.note.exists() == (first == "scitex-ssh holds")
    finally:
        os.kill(pid, 9)


def test_release_without_a_note_does_nothing(bastion: Bastion) -> None:
    """No hold, no release: and no folder is made for it."""
    assert bastion.release() == "scitex-ssh nothing \n"
    assert list(bastion.home.iterdir()) == []


def test_a_process_is_ended_only_if_it_is_the_noted_one(bastion: Bastion) -> None:
    """A number that now belongs to another process, started at another time, is left alone."""
    with living() as process:
        right = int(started(process.pid))
        for wrong in (right - 1, right + 1, f"{right}0", "0", "", "x"):
            bastion.write_note(f"{process.pid} {wrong}\n")
            assert bastion.release() == "scitex-ssh nothing \n"
            assert process.poll() is None
            assert not bastion.note.exists()
        bastion.write_note(f"{process.pid} {right}\n")
        assert bastion.release() == "scitex-ssh released \n"
        assert process.wait(timeout=5) == -15


@pytest.mark.parametrize(
    "text", ["", "\n", "x", "x y", "-1 0", "0 0", "1", "../1 0", "$$ 0", "* *", "1 0 0 0"]
)
def test_a_note_that_says_nothing_ends_nobody(bastion: Bastion, text: str) -> None:
    """A broken note is no reason to signal anything, and goes."""
    bastion.write_note(text)
    assert bastion.release() == "scitex-ssh nothing \n"
    assert not bastion.note.exists()


def test_a_dead_process_that_nobody_buried_is_none(bastion: Bastion) -> None:
    """A zombie has its number and its time, but holds nothing."""
    with living("") as process:
        start = started(process.pid)
        zombie = Path(f"/proc/{process.pid}/stat")
        assert wait_for(lambda: ") Z " in zombie.read_text())
        bastion.write_note(f"{process.pid} {start}\n")
        assert bastion.release() == "scitex-ssh nothing \n"


def test_a_stubborn_session_is_killed(bastion: Bastion) -> None:
    """What does not end on SIGTERM within a second is killed."""
    with living("signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)") as process:
        assert process.stdout
        process.stdout.readline()
        bastion.write_note(f"{process.pid} {started(process.pid)}\n")
        began = time.monotonic()
        assert bastion.release() == "scitex-ssh released \n"
        assert process.wait(timeout=5) == -9
        assert time.monotonic() - began > 0.9


@needs_dash
@pytest.mark.parametrize("name", ["a) Z 1 (b", "x y) 1 2", "()", ") ) )"])
def test_a_process_may_be_called_anything(bastion: Bastion, name: str, tmp_path: Path) -> None:
    """The kernel writes a process's name into the middle of the line: parentheses do not mislead."""
    odd = tmp_path / name
    shutil.copy(shutil.which("dash") or "", odd)
    process = subprocess.Popen([str(odd), "-c", "read x"], stdin=subprocess.PIPE, text=True)
    with ended(process):
        assert wait_for(lambda: f"({name[:15]})" in Path(f"/proc/{process.pid}/stat").read_text())
        bastion.write_note(f"{process.pid} {started(process.pid)}\n")
        assert bastion.release() == "scitex-ssh released \n"
        assert process.wait(timeout=5) == -15
        assert process.stdin
        process.stdin.close()


@pytest.mark.parametrize(("address", "family"), FAMILIES)
def test_the_port_is_free_before_it_says_so(bastion: Bastion, address: str, family: str) -> None:
    """The listener of the noted process is gone when release answers, on IPv4 and IPv6 alike."""
    with listening(address, bastion.port, family) as process:
        bastion.write_note(f"{process.pid} {started(process.pid)}\n")
        assert bastion.release() == "scitex-ssh released \n"
        with socket.socket(getattr(socket, family)) as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((address, bastion.port))


@pytest.mark.parametrize(("address", "family"), FAMILIES)
def test_it_tells_when_somebody_else_holds_the_port(bastion: Bastion, address: str, family: str) -> None:
    """A listener that is not the noted session's is left alone, and the answer says that it is there."""
    with listening(address, bastion.port, family) as other:
        assert bastion.release() == "scitex-ssh nothing held\n"
        assert other.poll() is None


def test_it_waits_for_the_port_and_then_says_that_it_is_held(bastion: Bastion) -> None:
    """The session ended, but the port did not come free: that is not a success."""
    with listening("127.0.0.1", bastion.port, "AF_INET") as other, living() as process:
        bastion.write_note(f"{process.pid} {started(process.pid)}\n")
        assert bastion.release() == "scitex-ssh released held\n"
        assert other.poll() is None


def test_another_port_is_another_matter(bastion: Bastion) -> None:
    """Only a listener on this very port counts: not a longer number, not a mere connection."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        near = stack.enter_context(
            socket.create_connection(server.getsockname(), source_address=("127.0.0.1", bastion.port))
        )
        assert near.getsockname()[1] == bastion.port
        assert bastion.release() == "scitex-ssh nothing \n"


@needs_dash
def test_a_named_supervisor_ends_only_its_own_session(bastion: Bastion) -> None:
    """A machine with a copy of the key does not take the port away, and the holder gets to know."""
    with bastion.session("one") as sshd:
        assert sshd.stdout
        assert sshd.stdout.readline() == "scitex-ssh holds\n"
        assert bastion.release("two") == "scitex-ssh rival \n"
        assert sshd.poll() is None
        assert Path(f"{bastion.note}.rival").exists()
        assert bastion.note.exists()
        assert bastion.release("one") == "scitex-ssh released \n"
        assert sshd.wait(timeout=5) != 0


@needs_dash
def test_a_nameless_release_ends_whoever_holds(bastion: Bastion) -> None:
    """A supervisor that was started anew has no name yet and takes its key's port back."""
    with bastion.session("one") as sshd:
        assert sshd.stdout
        assert sshd.stdout.readline() == "scitex-ssh holds\n"
        assert bastion.release() == "scitex-ssh released \n"


@needs_dash
def test_hold_answers_each_question(bastion: Bastion) -> None:
    """A dot for a line; an exclamation mark once another machine wanted the port."""
    with bastion.session("one", asked=True) as sshd:
        assert sshd.stdout
        assert sshd.stdin
        while sshd.stdout.readline() != "scitex-ssh hears\n":
            pass
        assert sshd.stdout.read(1) == "."
        for _ in range(3):
            sshd.stdin.write("\n")
            sshd.stdin.flush()
            assert sshd.stdout.read(1) == "."
        assert bastion.release("two") == "scitex-ssh rival \n"
        sshd.stdin.write("\n")
        sshd.stdin.flush()
        assert sshd.stdout.read(1) == "!"
