"""Results for people, and for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import click

import scitex_ssh
from scitex_ssh.errors import Exit, SSHError
from scitex_ssh.plan.report import Caution, Check, Diff, Event, Kept, Line, Observation, Proof, Report

VERSION = 1
_COLOURS = {
    "changed": "yellow",
    "would-change": "yellow",
    "restored": "yellow",
    "failed": "red",
    "ok": "green",
    "warning": "yellow",
    "not-reached": "",
    "verified": "green",
    "listening": "yellow",
    "running": "yellow",
    "down": "red",
}


def envelope(command: str, body: dict[str, object]) -> None:
    """The one versioned object that ``--json`` prints."""
    print(json.dumps({"version": VERSION, "command": command, **body}, indent=2, ensure_ascii=False))


def plan(command: str, lines: Sequence[str], as_json: bool) -> int:
    """What would be done, a line each; nothing is, and that is no failure."""
    if as_json:
        envelope(command, {"success": True, "status": int(Exit.DONE), "would": list(lines)})
    else:
        print("\n".join(lines))
    return Exit.DONE


@dataclass(frozen=True)
class Failure:
    """How an error that ends the command is shown: in words, or as the same JSON as a result.

    Attributes:
        arguments: the command line.
        groups: the commands that have others below them.
    """

    arguments: Sequence[str]
    groups: Container[str] = ()

    def show(self, problem: SSHError) -> int:
        """Show it; returns its exit status."""
        if "--json" in self.arguments:
            report = Report([problem], int(problem.status))
            envelope(self._command(), scitex_ssh.Result(report.status, report).as_dict())
        else:
            error(problem)
        return int(problem.status)

    def _command(self) -> str:
        """The command as its results call it: of a group, with the word after it."""
        words = [word for word in self.arguments if word != "tunnel" and not word.startswith("-")]
        return " ".join(words[: 2 if words and words[0] in self.groups else 1])


def error(problem: SSHError) -> None:
    """One error, to stderr: what and why, the next move, the slug."""
    head = _paint("scitex-ssh:", "red", sys.stderr)
    print(f"{head} {problem}", file=sys.stderr)


def line(said: Line) -> None:
    """One line of a report, as it comes."""
    if isinstance(said, Event):
        print(f"{_paint(said.kind.ljust(13), said.kind)} {said.title}", flush=True)
    elif isinstance(said, Diff):
        print(_paint(said.line, {"+": "green", "-": "red"}.get(said.line[:1], "")))
    elif isinstance(said, Proof):
        print(_proof(said), flush=True)
    elif isinstance(said, Check):
        print(_paint(said.verdict, said.verdict) + said.text[len(said.verdict) :], flush=True)
    elif isinstance(said, Kept):
        # systemd survives all of it, and the steps have named it.
        if said.keeper != "systemd":
            print(f"Kept by {said.keeper}, which survives: {said.survives}.", flush=True)
    elif isinstance(said, Caution):
        sys.stdout.flush()
        print(f"{_paint('warning:', 'warning', sys.stderr)} {said.problem}", file=sys.stderr)
    elif isinstance(said, SSHError):
        sys.stdout.flush()
        error(said)


def finish(command: str, result: scitex_ssh.Result, as_json: bool) -> int:
    """What remains to be said of a finished command; returns its exit status."""
    if as_json:
        envelope(command, result.as_dict())
    return result.status


def table(seen: Iterable[Observation]) -> None:
    """The tunnels as a table."""
    lines = rows(seen)
    if not lines:
        print("There is no tunnel on this machine. scitex-ssh setup makes one.", file=sys.stderr)
    for text in lines:
        print(text)


def rows(seen: Iterable[Observation]) -> list[str]:
    """The lines of the table; none where there is no tunnel."""
    cells = [["NAME", "LEVEL", "BASTION", "FORWARDS", "KEEPER", "SINCE", "RESTARTS", "DETAIL"]]
    for one in seen:
        facts = one.facts
        cells.append(
            [
                one.tunnel,
                one.level,
                facts.get("bastion") or "?",
                leads_to(facts),
                facts.get("keeper", "") + (" (adopted)" if facts.get("adopted") else ""),
                _ago(facts.get("since", "")),
                facts.get("restarts", ""),
                _detail(facts),
            ]
        )
    if len(cells) == 1:
        return []
    return _aligned(cells)


def columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells, one below the other."""
    for text in _aligned(rows):
        print(text)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of as many cells each, one below the other; a level in the second has its colour."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [_row(row, [*widths, 0]) for row in rows]


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths)]
    cells[1] = _paint(cells[1], row[1] if row[1] in _COLOURS else "")
    return "  ".join(cells).rstrip()


def _detail(facts: dict[str, str]) -> str:
    """What is so, what went wrong in the last hour, and when it is tried again."""
    parts = [(f"[{facts['cause']}] " if facts.get("cause") else "") + facts.get("detail", "")]
    error, at = facts.get("error", ""), facts.get("error_at", "")
    if error and at.isdigit() and time.time() - int(at) < 3600:
        parts.append(f"{_ago(at)} ago: {error.rstrip('.')}")
    if facts.get("next_retry"):
        parts.append(f"next try in {max(0, int(facts['next_retry']) - int(time.time()))} s")
    return "; ".join(part for part in parts if part)


def _proof(proof: Proof) -> str:
    if proof.level == "verified":
        return _paint(f"Verified: {proof.says}.", "verified")
    return _paint(
        f"Listening, not proven: {proof.says}, but the bastion does not let this key dial it.",
        "listening",
    )


def leads_to(facts: Mapping[str, str]) -> str:
    """What a tunnel forwards: the target alone for the usual one, else each forward in short."""
    forwards = facts.get("forwards", "").split(",")
    if len(forwards) == 1 and forwards[0].startswith("remote localhost:"):
        return facts.get("target") or "?"
    shorts = {"remote": "R", "socks": "R", "local": "L", "dynamic": "D"}
    parts = [each.split(" ") for each in forwards if each]
    return ", ".join(f"-{shorts[kind]} " + "->".join(rest) for kind, *rest in parts) or "?"


def _ago(since: str) -> str:
    if not since.isdigit():
        return "-"
    seconds = max(0, int(time.time()) - int(since))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def paint(text: str, kind: str, stream: object = None) -> str:
    """``text`` in the colour of its kind, for the commands that print by themselves."""
    return _paint(text, kind, stream)


def _paint(text: str, kind: str, stream: object = None) -> str:
    """``text`` in the colour of its kind, where the stream shows colours (no-color.org)."""
    colour = _COLOURS.get(kind, kind)
    return click.style(text, fg=colour) if colour and _colourful(stream or sys.stdout) else text


def _colourful(stream: object) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and bool(getattr(stream, "isatty", lambda: False)())
