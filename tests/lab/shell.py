"""Scripts run on a host."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, NamedTuple

from tests.met import MEETING

from .container import descendants

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# A fixed environment and no login: what root does to a host leaves no session on it.
ROOT = (
    "env",
    "-i",
    "-C",
    "/root",
    "HOME=/root",
    "USER=root",
    "LOGNAME=root",
    "SHELL=/bin/bash",
    "LANG=C.UTF-8",
    f"PATH={PATH}",
)


class Result(NamedTuple):
    """What a script printed, and its exit status."""

    stdout: str
    stderr: str
    status: int


class ScriptFailed(AssertionError):
    """A script on a host failed, or did not end in time."""

    def __init__(self, host: str, user: str, script: str, what: str, result: Result) -> None:
        self.result = result
        super().__init__(
            f"{user}@{host}: the script {what}.\n--- script\n{script}\n"
            f"--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}"
        )


class Running(subprocess.Popen[str]):
    """A script that runs on a host; signals reach the processes of the script itself."""

    def send_signal(self, sig: int) -> None:
        """Signal everything the script started, but not what only leads into the host."""
        if self.poll() is None:
            _signal(descendants(self.pid) or [self.pid], sig)

    def terminate(self) -> None:
        """Ask the script to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the script with everything it started."""
        _signal([*descendants(self.pid), self.pid], signal.SIGKILL)

    def __exit__(self, *raised: Any) -> None:
        self.kill()
        super().__exit__(*raised)


def words(script: str, user: str, env: Mapping[str, str] | None) -> list[str]:
    """Return the command that runs a script: as root plainly, as anybody else in a login."""
    pairs = (env or {}).items()
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in pairs)
    # The script is one word of the command from end to end: no shell on the way reads it.
    if user == "root":
        return [*ROOT, "/bin/bash", "-c", exports + script]
    return ["su", "-", user, "-c", exports + script]


def execute(argv: list[str], input: str | bytes | None, timeout: float) -> tuple[Result, bool]:
    """Run a command, return its result and whether it ended in time."""
    # No pipes: a process that the script leaves behind would hold them open, and us with it.
    file = tempfile.TemporaryFile
    with file() as stdin, file() as out, file() as err:
        stdin.write(input.encode() if isinstance(input, str) else input or b"")
        stdin.seek(0)
        process = subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=err, start_new_session=True)
        ended = _wait(process, timeout)
        result = Result(_text(out), _text(err), process.returncode)
        MEETING.hear(result.stdout + result.stderr)
        return result, ended


def _wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    try:
        process.wait(timeout)
    except BaseException as reason:
        _signal([*descendants(process.pid), process.pid], signal.SIGKILL)
        process.wait()
        if not isinstance(reason, subprocess.TimeoutExpired):
            raise
        return False
    return True


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _signal(pids: list[int], sig: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sig)
