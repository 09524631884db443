"""What lies in a folder of a host, in a form that two moments can be compared in."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Entry(NamedTuple):
    """One path: its kind, its mode as octal digits, `owner:group`, its digest or link target."""

    kind: str
    mode: str
    owner: str
    content: str


def collect(root: Path, paths: tuple[str, ...]) -> dict[str, Entry]:
    """Return the entries at and below paths of a host whose `/` is at root."""
    users = _names(root / "etc/passwd")
    groups = _names(root / "etc/group")
    return {
        f"/{path.relative_to(root)}": _entry(path, users, groups)
        for start in paths
        for path in _walk(root / start.lstrip("/"))
    }


def _walk(path: Path) -> Iterator[Path]:
    if not os.path.lexists(path):
        return
    yield path
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir()):
            yield from _walk(child)


def _entry(path: Path, users: dict[int, str], groups: dict[int, str]) -> Entry:
    facts = path.lstat()
    owner = f"{users.get(facts.st_uid, facts.st_uid)}:{groups.get(facts.st_gid, facts.st_gid)}"
    kind = KINDS[stat.S_IFMT(facts.st_mode)]
    return Entry(kind, f"{stat.S_IMODE(facts.st_mode):04o}", owner, _content(path, kind))


def _content(path: Path, kind: str) -> str:
    if kind == "file":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if kind == "link":
        return str(path.readlink())
    return ""


def _names(database: Path) -> dict[int, str]:
    """Return the names by number of a passwd or group file."""
    fields = (line.split(":") for line in database.read_text().splitlines())
    return {int(number): name for name, _, number, *_ in fields}
