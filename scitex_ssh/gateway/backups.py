"""Copies of the database, made and put back while the gateway runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from scitex_ssh.errors import error
from scitex_ssh.gateway import tables
from scitex_ssh.gateway.service import opened
from scitex_ssh.gateway.settings import Settings

_SQLITE = "sqlite:///"


def save(settings: Settings, file: Path) -> None:
    """Copy the database, as it is at one moment, to a file that is not there yet.

    Raises:
        SSHError: ``gateway-storage`` where it is no SQLite, ``file-failed``.
    """
    here = _path(settings)
    opened(settings).engine.dispose()
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as problem:
        why = "it is there already" if isinstance(problem, FileExistsError) else problem.strerror or ""
        raise error("file-failed", path=file, why=why.lower()) from problem
    try:
        _copy(here, file)
        with closing(_connect(file, "rw")) as db:
            # One file, which can be read where nothing can be written.
            db.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as problem:
        file.unlink()
        raise error("file-failed", path=file, why=str(problem)) from problem


def restore(settings: Settings, file: Path) -> Path:
    """Have the database be a copy that was saved, in one transaction: who asks meanwhile sees either.

    Returns:
        Where the former state was saved, beside the database.

    Raises:
        SSHError: ``gateway-storage`` where it is no SQLite, or the file is none of ours or of a newer
            version, ``file-failed``. Nothing has changed then.
    """
    here = _path(settings)
    _check(file)
    former = here.with_name(f"before-{datetime.now():%Y%m%d-%H%M%S-%f}.db")
    save(settings, former)
    try:
        _copy(file, here)
    except sqlite3.Error as problem:
        raise error("gateway-storage", url=here, why=str(problem)) from problem
    # Of an older version, or with another range of ports: brought to the present ones, as at a start.
    opened(settings).engine.dispose()
    return former


def _copy(source: Path, target: Path) -> None:
    with closing(_connect(source, "ro")) as one, closing(_connect(target, "rw")) as other:
        one.backup(other)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A file that has to be there; SQLite by itself would make an empty one."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=20)


def _check(file: Path) -> None:
    """See that a file is the whole database of a gateway, of a version that is known."""
    try:
        with closing(_connect(file, "ro")) as db:
            whole = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            found = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    except sqlite3.Error as problem:
        raise error("gateway-storage", url=file, why=str(problem)) from problem
    if whole != "ok":
        raise error("gateway-storage", url=file, why="it is damaged")
    if found is None:
        raise error("gateway-storage", url=file, why="it is no gateway's")
    if int(found[0]) > tables.VERSION:
        why = f"it was written by a newer version (tables {found[0]}, known {tables.VERSION})"
        raise error("gateway-storage", url=file, why=why)


def _path(settings: Settings) -> Path:
    if not settings.database.startswith(_SQLITE):
        kind = settings.database.partition(":")[0]
        raise error("gateway-storage", url=kind, why="only SQLite is copied; use pg_dump and pg_restore")
    return Path(settings.database[len(_SQLITE) :])
