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
from scitex_ssh.remote.wrap import LIFELINE, PARENT, wrapped


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
        sent, stdin = command, Stdin(data=b"") if stdin.is_lifeline else stdin
    else:
        sent = wrapped(command, watch)
    # Over a connection that stays, sshd's process stays, too, and its end tells nothing.
    share = share and (plain or watch == LIFELINE)
    status, error = run(way, [sent], stdin=stdin, out=out, err=err, timeout=timeout, share=share, stop=stop)
    return SSHResult(str(way.host), status, error=error)


def exec_many(
    ways: Sequence[Way],
    command: str,
    tell: Callable[[Way, str, bytes], object],
    *,
    parallel: int = 10,
    timeout: float | None = None,
    share: bool = False,
    plain: bool = False,
) -> list[SSHResult]:
    """Run a command on many machines at once; the results in the order of ``ways``.

    Args:
        tell: called with the way, ``stdout`` or ``stderr``, and a line, as soon as the line is whole.
            Never by two at a time.
        parallel: how many at once.
    """
    for way in ways:
        gate.check("exec", way, consent=True)
    lock, stop = threading.Lock(), threading.Event()

    def one(way: Way) -> SSHResult:
        with _Lines(way, "stdout", tell, lock) as out, _Lines(way, "stderr", tell, lock) as err:
            return perform(
                way,
                command,
                stdin=NOTHING,
                out=out.take,
                err=err.take,
                timeout=timeout,
                share=share,
                plain=plain,
                stop=stop,
            )

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

    def __init__(
        self, way: Way, stream: str, tell: Callable[[Way, str, bytes], object], lock: threading.Lock
    ) -> None:
        self.way, self.stream, self.tell, self.lock = way, stream, tell, lock
        self.rest = b""

    def take(self, data: bytes) -> None:
        """Take a piece, and tell the lines that are whole with it."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        with self.lock:
            for line in lines:
                self.tell(self.way, self.stream, line)

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        if self.rest:
            with self.lock:
                self.tell(self.way, self.stream, self.rest)


def shown(way: Way, command: str) -> Iterator[str]:
    """What a dry run says of a call."""
    yield f"would run on {way.host}: {command}"
    yield "  " + shlex.join(["ssh", *way.flags, *way.host.arguments])
