"""The Python API of a fleet that is described in one file; needs pyinfra."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scitex_ssh.errors import CATALOGUE, SSHError, error

__all__ = ["FleetResult", "apply", "plan", "status"]


@dataclass(frozen=True)
class FleetResult(Mapping[str, object]):
    """What a run over a fleet came to; also a mapping, with what ``scitex-ssh fleet --json`` prints.

    Attributes:
        returncode: the exit status of the command (`scitex_ssh.errors.Exit`).
        body: the mapping; ``body["machines"]`` has one entry a machine.
    """

    returncode: int
    body: Mapping[str, Any]

    @property
    def success(self) -> bool:
        """True when the exit status is 0."""
        return self.returncode == 0

    @property
    def changed(self) -> bool:
        """True when something was changed (or would be, of a plan)."""
        return bool(self.body.get("changed"))

    @property
    def error(self) -> SSHError | None:
        """The first error, or None."""
        for each in self.body.get("errors", ()):
            if each["slug"] in CATALOGUE:
                return error(each["slug"], **each["facts"])
        return None

    def raise_for_error(self) -> FleetResult:
        """This result, or its first error raised."""
        if self.error is not None:
            raise self.error
        return self

    def __getitem__(self, key: str) -> object:
        return self.body[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.body)

    def __len__(self) -> int:
        return len(self.body)


def plan(file: str | os.PathLike[str], *, sudo_password: str = "") -> FleetResult:
    """What `apply` would change, on every machine of the file; nothing is changed.

    Args:
        file: the fleet, as YAML (docs/how-to/fleet.md).
        sudo_password: of sudo on the machines.
    """
    return _run("plan", file, sudo_password)


def apply(file: str | os.PathLike[str], *, sudo_password: str = "") -> FleetResult:
    """Make the fleet of the file so: bastions, keys, tunnels, each proven. Arguments are those of `plan`.

    A machine that is down, or where something fails, stops no other.
    """
    return _run("apply", file, sudo_password)


def status(file: str | os.PathLike[str], *, sudo_password: str = "") -> FleetResult:
    """Every tunnel of the hosts of the file, each proven anew. Arguments are those of `plan`.

    The exit status is 50 when one is not verified, or a host is not reached.
    """
    return _run("status", file, sudo_password)


def _run(word: str, file: str | os.PathLike[str], sudo_password: str) -> FleetResult:
    # In a process of its own: gevent, on which pyinfra runs, changes the standard library of a whole process.
    command = [sys.executable, "-m", "scitex_ssh", "fleet", word, "--json"]
    if sudo_password:
        command += ["--sudo-password-file", "-"]
    with subprocess.Popen(
        [*command, "--", os.fspath(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said, words = process.communicate(sudo_password)
        except BaseException:
            process.terminate()
            raise
    try:
        body = json.loads(said)
    except ValueError as problem:
        why = words.strip().rpartition("\n")[2] or "it ended without a word"
        raise error("internal", why=f"fleet {word}: {why}") from problem
    return FleetResult(process.returncode, body)
