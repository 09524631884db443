"""Files to, from and between other machines."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from scitex_ssh.cli import present
from scitex_ssh.cli.app import SETTINGS
from scitex_ssh.cli.remote import way_flags
from scitex_ssh.errors import Exit, error
from scitex_ssh.remote import gate
from scitex_ssh.remote.copy import copy_files, permitted
from scitex_ssh.remote.sync import Pair, deletions, rsync_flags

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
_dry_run = click.option("--dry-run", is_flag=True, help="Change nothing; show what would be done.")
_quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")


@click.command("copy", context_settings=SETTINGS)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.argument("target")
@way_flags
@click.option("-r", "--recursive", is_flag=True, help="Copy folders, too; links are followed.")
@click.option("-p", "--preserve", is_flag=True, help="Keep modes and times.")
@click.option("--resume", is_flag=True, help="Go on with what an interrupted copy has left.")
@_quiet
@click.option("--dry-run", is_flag=True, help="Connect to nothing; show what would be done.")
@_json
def copy(
    sources: tuple[str, ...], target: str, quiet: bool, dry_run: bool, as_json: bool, **flags: Any
) -> int:
    """Copy files: each SOURCE and TARGET is a PATH here, or HOST:PATH, as for scp.

    Between two other machines the bytes go through this one. A file comes into its place when it is whole.
    What fails is told, and the rest is copied; then this ends with 1.
    """
    if dry_run:
        *spots, into = permitted(sources, target, flags["ssh_opts"], flags["jump"], consent=True)
        return present.plan("copy", [f"would copy {each} to {into}" for each in spots], as_json)
    meter = None if quiet or as_json or not sys.stderr.isatty() else _Meter()
    result = copy_files(sources, target, progress=meter, **flags)
    if meter:
        meter.end()
    if as_json:
        present.envelope("copy", {**result.as_dict(), "status": _status(result.error)})
        return _status(result.error)
    for problem in result.failed:
        present.error(problem)
    return _status(result.error)


def _status(problem: Any) -> int:
    return Exit.DONE if problem is None else int(problem.status)


class _Meter:
    """One line that tells how far a copy is."""

    def __init__(self) -> None:
        self.name, self.began, self.shown = "", 0.0, 0.0

    def __call__(self, name: str, done: int, size: int) -> None:
        now = time.monotonic()
        if name != self.name:
            self.end()
            self.name, self.began, self.shown = name, now, 0.0
        if done < size and now - self.shown < 0.2:
            return
        self.shown = now
        share = 100 * done // size if size else 100
        speed = done / max(now - self.began, 0.001) / 1e6
        width = max(20, os.get_terminal_size(2).columns - 34)
        plain = "".join(each if each.isprintable() else "?" for each in name)[-width:]
        sys.stderr.write(f"\r{plain:<{width}} {share:3d} % {done / 1e6:10.1f} MB {speed:7.1f} MB/s")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line to whatever comes next."""
        if self.name:
            sys.stderr.write("\n")
            self.name = ""


@click.command("sync", context_settings=SETTINGS)
@click.argument("source")
@click.argument("target")
@way_flags
@click.option("--exclude", metavar="PATTERN", multiple=True, help="Leave this alone, as rsync reads it.")
@click.option("--delete", is_flag=True, help="Delete in TARGET what is not in SOURCE, shown first.")
@click.option("--yes", is_flag=True, help="Delete without a question.")
@click.option("--partial", is_flag=True, help="Keep half a file, and go on with it the next time.")
@_quiet
@_dry_run
@_json
def sync(
    source: str,
    target: str,
    jump: str | None,
    ssh_opts: list[str],
    exclude: tuple[str, ...],
    delete: bool,
    yes: bool,
    partial: bool,
    quiet: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Make a folder equal to another one by rsync; one of them here, the other HOST:PATH.

    A slash at the end of SOURCE means what is in it; without one it is the folder itself.
    """
    pair = Pair.of(source, target, ssh_opts, jump)
    gate.check("copy", pair.way, consent=True)
    if delete and not yes and not dry_run:
        _ask_for_deletions(pair, rsync_flags(exclude, delete, partial, True))
    flags = rsync_flags(exclude, delete, partial, dry_run)
    out = bytearray()
    if not quiet and not as_json and sys.stderr.isatty():
        flags.append("--info=progress2")
    status, problem = pair.run(
        flags, out.extend if as_json else _to(1), (lambda _: None) if as_json else _to(2)
    )
    if as_json:
        changes = out.decode("utf-8", "replace").splitlines()
        facts = {"success": status == 0, "host": str(pair.way.host), "changes": changes, "dry_run": dry_run}
        slug = problem.slug if problem else None
        present.envelope("sync", {**facts, "error": slug, "status": _status(problem)})
    elif problem:
        present.error(problem)
    return _status(problem)


def _ask_for_deletions(pair: Pair, flags: list[str]) -> None:
    out = bytearray()
    _, problem = pair.run(flags, out.extend, lambda _: None)
    if problem:
        raise problem
    doomed = deletions(out.decode("utf-8", "replace"))
    if not doomed:
        return
    if not sys.stdin.isatty():
        raise error("sync-deletes", count=len(doomed), path=str(pair.target))
    for each in doomed:
        print(f"would delete  {each}", file=sys.stderr)
    if not click.confirm(f"Delete these {len(doomed)} in {pair.target}?", default=False, err=True):
        raise error("call-interrupted")


def _to(number: int) -> Any:
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(number, data) :]

    return write
