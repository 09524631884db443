"""The back end for this machine: the program is run by its sh, as root through sudo where it must be."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scitex_ssh import __version__
from scitex_ssh.errors import error
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.plan.program import Binding, program
from scitex_ssh.plan.report import Line, Report, read_line


def run(
    word: str,
    bindings: Iterable[Binding] = (),
    flags: Iterable[str] = (),
    tell: Callable[[Line], None] = lambda line: None,
    granted: str = "",
) -> Report:
    """Run ``setup``, ``remove`` or ``status`` here, for these tunnels.

    Args:
        bindings: the tunnels, as `scitex_ssh.plan.program.bind` gives them.
        flags: flags of the program (plan/shell/main.sh).
        tell: called with each line as soon as it is said.
        granted: what the policy was found to say (see `scitex_ssh.plan.program.program`).

    Raises:
        SSHError: ``ssh-missing`` where there is no sh to run it, ``disk-full`` where there is no
            place for the program.
    """
    text = program(
        PLANS,
        FRAGMENTS,
        entry=f'main {word} "$@"',
        tunnels=bindings,
        extra=("main",),
        granted=granted,
        version=__version__,
    )
    return run_program(text, ["--machine", *flags], tell, looks=word == "status")


def run_program(
    text: str,
    arguments: Iterable[str],
    tell: Callable[[Line], None] = lambda line: None,
    looks: bool = False,
) -> Report:
    """Run a program of ours here with these arguments, ``--machine`` being among them.

    One that only ``looks`` has nothing to put back, and ends as soon as we are told to.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="scitex-ssh-") as folder:
            path = Path(folder) / "program"
            path.write_text(text, encoding="utf-8")
            command = [*_shell(), str(path), *arguments]
            return _report(command, tell, Path(folder) / "stop", looks)
    except OSError as problem:
        if problem.filename is None or "scitex-ssh" in str(problem.filename):
            raise error("disk-full", path=tempfile.gettempdir()) from problem
        raise error("ssh-missing", program=str(problem.filename), package="dash") from problem


@contextmanager
def _heeding(stop: Path, running: list[subprocess.Popen[str]]) -> Iterator[None]:
    """While the program runs, a signal to end us makes the file that ends it, and we wait for it.

    It may run as root, where no signal of ours reaches it, and puts back what was there before. A
    terminal that hangs up tells it by itself. What only looks (``running``) is told to end at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heed(*_: object) -> None:
        stop.touch()
        for process in running:
            process.terminate()

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, heed)
    if former[signal.SIGHUP] is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _unheard(_: Line) -> None:
    """Nobody listens any more."""


def _shell() -> list[str]:
    return ["sh", "-x"] if os.environ.get("SCITEX_SSH_DEBUG_MODE") == "1" else ["sh"]


def _report(command: list[str], tell: Callable[[Line], None], stop: Path, looks: bool) -> Report:
    report = Report()
    running: list[subprocess.Popen[str]] = []
    with (
        _heeding(stop, running),
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "SCITEX_SSH_STOP": str(stop)},
        ) as process,
    ):
        assert process.stdout is not None
        if looks:
            running.append(process)
        for text in process.stdout:
            line = read_line(text)
            if line is not None:
                report.lines.append(line)
                try:
                    tell(line)
                except BrokenPipeError:
                    # Whoever reads us has enough; the program must not end half-way for that.
                    tell = _unheard
    report.status = process.returncode
    # It may have ended by itself before it could be told.
    if report.status < 0 or (looks and stop.exists()):
        report.status = 130
    return report
