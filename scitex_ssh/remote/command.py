"""A command on other machines: exec_remote, and the same on many at once."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from scitex_ssh.remote import gate
from scitex_ssh.remote.results import SSHResult
from scitex_ssh.remote.session import NOTHING, Sink, Stdin, run
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.wrap import LIFELINE, PARENT, sendable, wrapped

# Takes a host, ``stdout`` or ``stderr``, and a line.
Tell = Callable[[str, str, bytes], object]


def exec_remote(
    host: object,
    command: str,
    *,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    input: bytes | str | None = None,
    timeout: float | None = None,
    check: bool = False,
    multiplex: bool = False,
    plain: bool = False,
    consent: bool = True,
) -> SSHResult:
    """Run a command on another machine, without a terminal, and return what it said and ended with.

    The command is for the shell of the account there. When the caller ends first, by Ctrl-C, a timeout or
    a kill, the command is ended with all that it started.

    Args:
        host: a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``.
        command: one line or many, for the account's shell.
        ssh_opts: flags for ssh (``["-i", "key"]``); they win over everything.
        jump: hosts on the way, the nearest first, parted by commas.
        input: what the command reads; without it, nothing.
        timeout: seconds after which it is ended; then ``returncode`` is 124.
        check: raise the error, or ``remote-status`` for a status that is not 0.
        multiplex: keep the connection for the next call, until it was idle for a minute.
        plain: send the command as it is, for a host without a POSIX sh. Then it outlives its caller.
        consent: False refuses where no policy allows it, as for a caller who may not decide that.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    data = input.encode("utf-8", "surrogateescape") if isinstance(input, str) else input
    out, err = bytearray(), bytearray()
    result = perform(
        Way.of(host, ssh_opts, jump),
        command,
        stdin=NOTHING if data is None else Stdin(data=data),
        out=out.extend,
        err=err.extend,
        timeout=timeout,
        share=multiplex,
        plain=plain,
        consent=consent,
    )
    result = SSHResult(result.host, result.returncode, bytes(out), bytes(err), result.error)
    return result.raise_for_error() if check else result


def perform(
    way: Way,
    command: str,
    *,
    stdin: Stdin,
    out: Sink | None,
    err: Sink,
    timeout: float | None = None,
    share: bool = False,
    plain: bool = False,
    consent: bool = True,
    stop: threading.Event | None = None,
) -> SSHResult:
    """The same with its output handed on as it comes; the result holds none of it.

    Args:
        stop: once set, ends it; whoever gives it sets it in the end.
    """
    gate.check("exec", way, consent)
    watch = LIFELINE if stdin.is_lifeline else PARENT
    if plain:
        sent, stdin = sendable(command), Stdin(data=b"") if stdin.is_lifeline else stdin
    else:
        sent = wrapped(command, watch)
    # Over a connection that stays, sshd's process stays, too, and its end tells nothing.
    share = share and (plain or watch == LIFELINE)
    status, error = run(way, [sent], stdin=stdin, out=out, err=err, timeout=timeout, share=share, stop=stop)
    return SSHResult(str(way.host), status, error=error)


def exec_many(
    hosts: Sequence[object],
    command: str,
    *,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    timeout: float | None = None,
    parallel: int = 10,
    multiplex: bool = False,
    plain: bool = False,
    consent: bool = True,
    tell: Tell | None = None,
) -> list[SSHResult]:
    """Run a command on many machines at once; the results in the order of ``hosts``.

    It has no input. When the caller is interrupted, what has begun is ended, there too, and the rest is
    not begun. Arguments that are not named here are those of `exec_remote`.

    Args:
        hosts: each a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``.
        timeout: seconds that each has.
        parallel: how many at once.
        tell: called with the host, ``stdout`` or ``stderr``, and a line without its end, as soon as the
            line is whole; never by two at a time. The results then hold no output.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it on one of them; nothing is begun then.
    """
    ways = [Way.of(host, ssh_opts, jump) for host in hosts]
    for way in ways:
        gate.check("exec", way, consent)
    lock, stop = threading.Lock(), threading.Event()

    def perform_on(way: Way, out: Sink, err: Sink) -> SSHResult:
        return perform(
            way,
            command,
            stdin=NOTHING,
            out=out,
            err=err,
            timeout=timeout,
            share=multiplex,
            plain=plain,
            consent=consent,
            stop=stop,
        )

    def one(way: Way) -> SSHResult:
        if tell is None:
            out, err = bytearray(), bytearray()
            done = perform_on(way, out.extend, err.extend)
            return SSHResult(done.host, done.returncode, bytes(out), bytes(err), done.error)
        host = str(way.host)
        with _Lines(host, "stdout", tell, lock) as lines, _Lines(host, "stderr", tell, lock) as others:
            return perform_on(way, lines.take, others.take)

    pool = ThreadPoolExecutor(max_workers=max(1, parallel))
    try:
        futures = [pool.submit(one, way) for way in ways]
        _await(futures)
        return [future.result() for future in futures]
    finally:
        # Interrupted: what waits does not begin, what has begun ends, there too.
        stop.set()
        pool.shutdown(cancel_futures=True)


def _await(futures: Sequence[Future[SSHResult]]) -> None:
    pending = set(futures)
    while pending:
        # In slices, so that Ctrl-C is heard.
        _, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)


class _Lines:
    """Whole lines of what comes in pieces."""

    def __init__(self, host: str, stream: str, tell: Tell, lock: threading.Lock) -> None:
        self.host, self.stream, self.tell, self.lock = host, stream, tell, lock
        self.rest = b""

    def take(self, data: bytes) -> None:
        """Take a piece, and tell the lines that are whole with it."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        with self.lock:
            for line in lines:
                self.tell(self.host, self.stream, line)

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        if self.rest:
            with self.lock:
                self.tell(self.host, self.stream, self.rest)


def shown(way: Way, command: str) -> Iterator[str]:
    """What a dry run says of a call."""
    yield f"would run on {way.host}: {command}"
    base = ["-F", way.base] if way.base else []
    yield "  " + shlex.join(["ssh", *base, *way.flags, *way.host.arguments])
