"""One run of ssh: started, fed, read, and ended with its caller."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

from scitex_ssh.errors import InputError, SSHError, error
from scitex_ssh.remote import multiplex
from scitex_ssh.remote.results import SSH_FAILED, TIMED_OUT
from scitex_ssh.remote.way import Folder, Way
from scitex_ssh.remote.words import failure

Sink = Callable[[bytes], object]

# How much of the far side's last words is kept to find a cause in: a jump host's ssh says its own there.
_TAIL = 8192
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Stdin:
    """Where the command's input comes from: nowhere (then stdin is the lifeline), bytes, or a descriptor."""

    data: bytes | None = None
    descriptor: int | None = None

    @property
    def is_lifeline(self) -> bool:
        """True when the command has no input of ours."""
        return self.data is None and self.descriptor is None


NOTHING = Stdin()


def run(
    way: Way,
    words: Sequence[str],
    *,
    stdin: Stdin = NOTHING,
    out: Sink | None = None,
    err: Sink,
    timeout: float | None = None,
    share: bool = False,
    stop: threading.Event | None = None,
) -> tuple[int, SSHError | None]:
    """Run ``ssh HOST WORDS`` and hand on what it says; its status, and the error if ssh itself failed.

    Args:
        words: flags and the remote command.
        out: takes the standard output; None hands our own to ssh, byte by byte its own.
        err: takes the standard error.
        timeout: seconds until it is ended; then the status is 124.
        share: over one connection that stays for the next call.
        stop: once set, ends it; whoever gives it sets it in the end.

    Raises:
        InputError: ``usage`` for a timeout that is no time.
    """
    if timeout is not None and not 0 < timeout < math.inf:
        why = f"a command cannot end within {timeout:g} s"
        raise InputError("usage", why=why, command="scitex-ssh exec")
    with way.opened() as folder, ExitStack() as stack:
        flags: list[str] = []
        if share:
            try:
                flags = ["-o", f"ControlPath={multiplex.shared(way)}"]
            except SSHError as problem:
                return SSH_FAILED, problem
        tail = bytearray()
        process = stack.enter_context(_started(way, folder, flags, words, stdin, out is None))
        readers = [_reader(process.stderr, _teed(err, tail))]
        if out is not None:
            readers.append(_reader(process.stdout, out))
        if stdin.data is not None:
            readers.append(_writer(process, stdin.data))
        if stop is not None:
            _thread(lambda: end(process) if stop.wait() else None)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            end(process)
            _join(readers)
            return TIMED_OUT, error("remote-timeout", host=str(way.host), seconds=f"{timeout:g}")
        _join(readers)
        said = tail.decode("utf-8", "replace")
        if status < 0 or (status == SSH_FAILED and itself(folder.words(), said)):
            return SSH_FAILED, failure(way, folder.words() + said)
        return status, None


# What ssh says of a connection that ended is not in its log.
_LOST = re.compile(
    r"(Connection to \S+ closed by remote host\.|Read from remote host .*|.*: Broken pipe)\s*\Z"
)
# Nor what it says of its own flags and configuration, before it has a log.
_UNFIT = re.compile(
    r"command-line:? line 0: |\S*[^\s:] line \d+: |\S+: line \d+: Bad configuration option: "
    r"|Bad owner or permissions on |Only a single -J option |unknown option -- |Missing argument\.$"
)
_IDLE_TALK = re.compile(r"(Warning: |\*\* |debug\d: |Transferred: |Bytes per second: |Authenticated to )")


def itself(log: str, stderr: str) -> bool:
    """Whether a status of 255 is of ssh itself; without a word of it, the command ended so."""
    words = [line for line in log.splitlines() if line.strip() and not _IDLE_TALK.match(line)]
    return bool(words or _LOST.search(stderr) or _UNFIT.match(stderr))


@contextmanager
def opened(way: Way, subsystem: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a subsystem and give its pipes to the block; what ends the connection is raised as `SSHError`."""
    with way.opened() as folder:
        tail = bytearray()
        with _started(way, folder, ["-s"], [subsystem], Stdin(data=b""), False) as process:
            reader = _reader(process.stderr, _teed(lambda _: None, tail))
            try:
                yield process
            except ConnectionError as problem:
                end(process)
                # A process of ssh's (a jump) may hold the pipe for longer than it matters.
                reader.join(2)
                said = folder.words() + tail.decode("utf-8", "replace")
                if problem.errno == errno.EPROTO or "subsystem request failed" in said:
                    why = (
                        "what answers does not speak it"
                        if problem.errno == errno.EPROTO
                        else "sshd refuses it"
                    )
                    raise error("sftp-missing", host=str(way.host), why=why) from problem
                raise failure(way, said) from problem


@contextmanager
def _started(
    way: Way, folder: Folder, flags: list[str], words: Sequence[str], stdin: Stdin, inherit: bool
) -> Iterator[subprocess.Popen[bytes]]:
    command = ["ssh", *way.flags, *flags, *folder.arguments, *way.host.arguments, *words]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin.descriptor is None else stdin.descriptor,
            stdout=None if inherit else subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Where stdin is ours to hold, its end is what ends ssh when we are killed.
            preexec_fn=None if stdin.is_lifeline else die_with_parent,
        )
    except FileNotFoundError as problem:
        raise error("ssh-missing", program="ssh", package="openssh-client") from problem
    try:
        yield process
    finally:
        end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End ssh, and with it what it runs; the far side sees its end and does the same."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_libc: ctypes.CDLL | None = None


def die_with_parent() -> None:
    """In the child, before ssh starts: be ended when the parent is killed (Linux; elsewhere nothing)."""
    global _libc
    if sys.platform == "linux":
        _libc = _libc or ctypes.CDLL(None)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _reader(pipe: IO[bytes] | None, sink: Sink) -> threading.Thread:
    assert pipe is not None

    def read() -> None:
        while data := os.read(pipe.fileno(), 65536):
            try:
                sink(data)
            except OSError:
                # Whoever read us has gone; ssh is told so by its next write.
                os.close(pipe.detach())  # type: ignore[attr-defined]  # a raw file, as bufsize is 0
                return

    return _thread(read)


def _writer(process: subprocess.Popen[bytes], data: bytes) -> threading.Thread:
    pipe = process.stdin
    assert pipe is not None

    def write() -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[pipe.write(rest) :]
        except BrokenPipeError:
            # It ended without having read all of it.
            pass
        pipe.close()

    return _thread(write)


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def _teed(sink: Sink, tail: bytearray) -> Sink:
    def take(data: bytes) -> None:
        tail.extend(data)
        del tail[:-_TAIL]
        sink(data)

    return take
