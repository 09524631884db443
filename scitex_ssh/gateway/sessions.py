"""The tunnels that stand on this bastion: which ports their sessions hold, and how one is ended."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_LISTEN = "0A"


def uid(account: str) -> int | None:
    """The number of an account, or None where there is none of that name."""
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return None


def listening(account: str) -> dict[int, set[int]]:
    """The ports on which processes of the tunnels' account listen, with the inodes of their sockets.

    sshd opens a tunnel's port as the account that logged in, and the key's line lets only one key have this
    port: who holds it is known by its number. Anybody may read this; no root is needed.
    """
    number = str(uid(account))
    found: dict[int, set[int]] = {}
    for port, user, inode in _listeners():
        if user == number:
            found.setdefault(port, set()).add(int(inode))
    return found


def taken() -> set[int]:
    """The ports on which any process of this machine listens."""
    return {port for port, _, _ in _listeners()}


def _listeners() -> Iterator[tuple[int, str, str]]:
    """Each socket that listens: its port, the number of its user, its inode."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTEN:
                yield int(words[1].rpartition(":")[2], 16), words[7], words[9]


def end(account: str, port: int, before: float) -> bool:
    """End the session of this account that holds the port and began before a time; True when it is gone.

    It takes root: sshd shows its open sockets to nobody else. Only a process of the tunnels' account is
    ever ended, and only one that began before.
    """
    deadline = time.monotonic() + 5
    while True:
        sockets = listening(account).get(port, set())
        holders = [pid for pid in _holders(sockets, uid(account)) if _began(pid) <= before]
        if not holders:
            # Nobody, or a session that began later, or one that only root can see.
            return not sockets or os.geteuid() == 0
        if time.monotonic() > deadline:
            return False
        for pid in holders:
            late = time.monotonic() > deadline - 3
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.1)


def _holders(sockets: set[int], number: int | None) -> Iterator[int]:
    """The processes of a user that have one of these sockets open."""
    wanted = {f"socket:[{inode}]" for inode in sockets}
    if not wanted or number is None:
        return
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != number and _owner(folder) != number:
                continue
            if any(str(link.readlink()) in wanted for link in (folder / "fd").iterdir()):
                yield int(folder.name)


def _owner(folder: Path) -> int:
    """Whose process it is; what cannot be dumped seems to be root's by its folder."""
    for line in (folder / "status").read_text().splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return -1


def _began(pid: int) -> float:
    """When a process began, in seconds since 1970, or never."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = next(
            int(line.split()[1])
            for line in (_PROC / "stat").read_text().splitlines()
            if line.startswith("btime")
        )
    except (OSError, StopIteration, ValueError, IndexError):
        return float("inf")
    return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
