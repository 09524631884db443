"""What the tools do on other machines, planned first, and ended when its caller gives it up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from scitex_ssh.api import Result
from scitex_ssh.mcp import plans
from scitex_ssh.plan.report import Event, Report
from scitex_ssh.remote import CopyResult, SSHResult, copy_files, gate
from scitex_ssh.remote.command import perform
from scitex_ssh.remote.copy import Spot, permitted
from scitex_ssh.remote.effective import effective
from scitex_ssh.remote.session import NOTHING, Stdin
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.wrap import PARENT, wrapped

# What an answer holds of each stream, in bytes: it is read by somebody who has only so much room.
KEPT = 65536

T = TypeVar("T")


async def heeding(work: Callable[[threading.Event], T]) -> T:
    """Do it in a thread; when the call is given up, the event is set, and what was begun ends."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()


@dataclass
class _Kept:
    """The begin of a stream, and whether there was more of it."""

    data: bytearray = field(default_factory=bytearray)
    more: bool = False

    def take(self, data: bytes) -> None:
        """Take a piece."""
        room = KEPT - len(self.data)
        self.more = self.more or len(data) > room
        self.data += data[: max(0, room)]


@dataclass(frozen=True)
class Ran:
    """A command that was run; ``truncated`` names the streams of which only the begin is told."""

    result: SSHResult
    truncated: tuple[str, ...]

    @property
    def success(self) -> bool:
        """True when the command ended with 0."""
        return self.result.success

    def as_dict(self) -> dict[str, object]:
        """The result as ``exec --json`` has it, of one host."""
        host = {**self.result.as_dict(), "truncated": list(self.truncated)}
        return {"success": self.success, "status": self.result.returncode, "hosts": [host]}


def execution(
    host: str, command: str, given: str | None, jump: str | None, seconds: float, stop: threading.Event
) -> plans.Call:
    """Plan, or do, one command on one host."""
    way = Way.of(host, (), jump)
    gate.check("exec", way, consent=False)
    # What cannot be sent is not planned.
    wrapped(command, PARENT)

    def call(dry_run: bool) -> plans.Told:
        if dry_run:
            return _plan(f"run on {_address(way)}: {command}")
        out, err = _Kept(), _Kept()
        done = perform(
            way,
            command,
            stdin=NOTHING if given is None else Stdin(data=given.encode("utf-8", "surrogateescape")),
            out=out.take,
            err=err.take,
            timeout=seconds,
            consent=False,
            stop=stop,
        )
        result = SSHResult(done.host, done.returncode, bytes(out.data), bytes(err.data), done.error)
        return Ran(result, tuple(name for name, kept in (("stdout", out), ("stderr", err)) if kept.more))

    return call


@dataclass(frozen=True)
class Copied:
    """A copy that was made."""

    result: CopyResult

    @property
    def success(self) -> bool:
        """True when all was copied."""
        return self.result.success

    def as_dict(self) -> dict[str, object]:
        """The result as ``copy --json`` has it."""
        problem = self.result.error
        return {**self.result.as_dict(), "status": 0 if problem is None else int(problem.status)}


class _GivenUp(Exception):
    """Nobody waits for the copy any more."""


def copying(
    sources: Sequence[str],
    target: str,
    recursive: bool,
    preserve: bool,
    resume: bool,
    jump: str | None,
    stop: threading.Event,
) -> plans.Call:
    """Plan, or do, one copy."""
    *origins, into = permitted(sources, target, (), jump, consent=False)

    def progress(*_: object) -> None:
        if stop.is_set():
            raise _GivenUp

    def call(dry_run: bool) -> plans.Told:
        if dry_run:
            return _plan(*(f"copy {_told(each)} to {_told(into)}" for each in origins))
        return Copied(
            copy_files(
                sources,
                target,
                recursive=recursive,
                preserve=preserve,
                resume=resume,
                jump=jump,
                progress=progress,
                consent=False,
            )
        )

    return call


def _plan(*titles: str) -> Result:
    return Result(0, Report([Event("", "would-change", title) for title in titles]))


def _address(way: Way) -> str:
    """The host with what its name stands for now, so that a plan is of that."""
    about = effective(way)
    user, name, port = (about.get(each, ["?"])[0] for each in ("user", "hostname", "port"))
    return f"{way.host} ({user}@{name}:{port})"


def _told(spot: Spot) -> str:
    if spot.way is not None:
        return f"{_address(spot.way)}:{spot.path}"
    path = Path(spot.path)
    if not path.is_file():
        return str(path)
    seen = path.stat()
    return f"{path} ({seen.st_size} bytes, changed at {seen.st_mtime_ns / 1e9:.3f})"
