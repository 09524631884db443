"""A call that says what it does as it does it, as the result of it."""

from __future__ import annotations

from collections.abc import Callable

from scitex_ssh.api import Result, Tell
from scitex_ssh.errors import InputError, PolicyError, SSHError, error
from scitex_ssh.plan.report import Event, Line, Report

# Says one step: its kind (`Event`) and its title.
Say = Callable[[str, str], None]


def silent(line: Line) -> None:
    """Nobody listens."""


def told(work: Callable[[Tell], None], tell: Tell) -> Result:
    """The result of ``work``; an error that it raises is the last thing that is in it.

    Raises:
        InputError, PolicyError: as they come, since nothing was touched.
    """
    report = Report()

    def take(line: Line) -> None:
        report.lines.append(line)
        tell(line)

    try:
        work(take)
    except (InputError, PolicyError):
        raise
    except SSHError as problem:
        take(problem)
    except OSError as problem:
        take(error("file-failed", path=problem.filename, why=(problem.strerror or str(problem)).lower()))
    if report.errors:
        report.status = int(report.errors[0].status)
    return Result(report.status, report)


def saying(tell: Tell) -> Say:
    """The same for steps that belong to no tunnel."""
    return lambda kind, title: tell(Event("", kind, title))
