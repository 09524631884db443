"""Folders made equal by rsync, here and on another machine."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence

from scitex_ssh.errors import InputError, SSHError, error
from scitex_ssh.remote import gate
from scitex_ssh.remote.copy import Spot
from scitex_ssh.remote.results import SSHResult
from scitex_ssh.remote.session import die_with_parent, end
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.words import failure


def sync_dir(
    source: str,
    target: str,
    *,
    exclude: Sequence[str] = (),
    delete: bool = False,
    partial: bool = False,
    dry_run: bool = False,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    check: bool = False,
    consent: bool = True,
) -> SSHResult:
    """Make a folder there equal to one here, or the other way round, by rsync; each ``[HOST:]PATH``.

    A slash at the end of ``source`` means what is in it, without one the folder itself, as rsync has it.

    Args:
        exclude: patterns of what is left alone, as rsync reads them.
        delete: take away in ``target`` what is not in ``source``.
        partial: keep what an interrupted run has of a file, and go on with it.
        dry_run: change nothing; the result's `stdout` has a line for each change.
        ssh_opts: flags for ssh; they win over everything.
        jump: hosts on the way, the nearest first, parted by commas.
        check: raise the error instead of returning it.
        consent: False refuses where no policy allows it, as for a caller who may not decide that.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    pair = Pair.of(source, target, ssh_opts, jump)
    gate.check("copy", pair.way, consent)
    out, err = bytearray(), bytearray()
    flags = rsync_flags(exclude, delete, partial, dry_run)
    status, problem = pair.run(flags, out.extend, err.extend)
    result = SSHResult(str(pair.way.host), status, bytes(out), bytes(err), problem)
    return result.raise_for_error() if check else result


def rsync_flags(exclude: Sequence[str], delete: bool, partial: bool, dry_run: bool) -> list[str]:
    """The flags of rsync for these wishes."""
    return [
        # --protect-args: no shell there reads the names.
        *("--archive", "--itemize-changes", "--protect-args"),
        *(f"--exclude={each}" for each in exclude),
        *(["--delete"] if delete else []),
        *(["--partial-dir=.rsync-partial"] if partial else []),
        *(["--dry-run"] if dry_run else []),
    ]


def deletions(itemized: str) -> list[str]:
    """What rsync says it would delete."""
    return re.findall(r"^\*deleting +(.*)$", itemized, re.MULTILINE)


class Pair:
    """Two folders, one of them on another machine."""

    def __init__(self, source: Spot, target: Spot, way: Way) -> None:
        self.source, self.target, self.way = source, target, way

    @classmethod
    def of(cls, source: str, target: str, ssh_opts: Sequence[str] = (), jump: str | None = None) -> Pair:
        """Read two of ``[HOST:]PATH``; raises `InputError`."""
        spots = Spot.of(source, ssh_opts, jump), Spot.of(target, ssh_opts, jump)
        ways = [each.way for each in spots if each.way]
        if len(ways) != 1:
            why = "one of the two must be on another machine (HOST:PATH), and one here"
            raise InputError("usage", why=why, command="scitex-ssh sync")
        return cls(*spots, ways[0])

    def run(
        self, flags: Sequence[str], out: Callable[[bytes], object], err: Callable[[bytes], object]
    ) -> tuple[int, SSHError | None]:
        """Run rsync and hand on what it says; its status, and the error if it is not 0."""
        with self.way.opened() as folder, tempfile.TemporaryFile() as said:
            ssh = ["ssh", *self.way.flags, *folder.arguments, *self.way.host.arguments]
            # rsync parts the words of its -e by rules of its own, and wants to name the host itself.
            remote_shell = folder.path / "rsh"
            remote_shell.write_text(f'#!/bin/sh\nshift\nexec {shlex.join(ssh)} "$@"\n', encoding="utf-8")
            command = [
                "rsync",
                *flags,
                "-e",
                f"sh {remote_shell}",
                "--",
                *map(self._word, (self.source, self.target)),
            ]
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    preexec_fn=die_with_parent,
                )
            except FileNotFoundError:
                return 127, error("rsync-missing", host="this machine")
            try:
                assert process.stdout is not None
                with process.stdout:
                    while data := process.stdout.read1(65536):  # type: ignore[attr-defined]  # buffered
                        out(data)
                status = process.wait()
            finally:
                end(process)
            said.seek(0)
            words = said.read()
            problem = self.problem(status, folder.words(), words.decode("utf-8", "replace"))
            # Where its ssh failed, rsync's own words are about that, and say less.
            if problem is None or problem.slug == "sync-failed":
                err(words)
            return status, problem

    def problem(self, status: int, log: str, words: str) -> SSHError | None:
        """What a status of rsync means, by what its ssh and it said; None for success."""
        host = str(self.way.host)
        if status == 0:
            return None
        if re.search(r"rsync: (command )?not found|command not found: rsync|rsync: No such file", words):
            return error("rsync-missing", host=host)
        # What rsync ends with when its ssh did.
        if status == 255 or (status == 12 and log.strip()):
            return failure(self.way, log + words)
        lines = [line for line in words.splitlines() if line.strip() and "rsync error:" not in line]
        why = (lines[0].removeprefix("rsync: ") if lines else "it said nothing").rstrip(".")
        return error("sync-failed", host=host, code=status, why=why)

    @staticmethod
    def _word(spot: Spot) -> str:
        if spot.way:
            return f"there:{spot.path}"
        # What rsync could take for a host or a flag.
        return spot.path if spot.path.startswith("/") else f"./{spot.path}"
