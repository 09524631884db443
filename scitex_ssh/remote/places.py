"""Where files are: here, or on another machine by the same few calls (`scitex_ssh.remote.sftp.Sftp`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# What every SFTP server takes in one packet.
BLOCK = 32768


@dataclass(frozen=True)
class Entry:
    """What is under a path.

    Attributes:
        mode: as in ``st_mode``.
        size: bytes.
        times: of its last use and its last change, in seconds since 1970.
    """

    mode: int
    size: int
    times: tuple[int, int]

    @property
    def is_folder(self) -> bool:
        """A folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """A regular file."""
        return stat.S_ISREG(self.mode)


class Place(Protocol):
    """Files, here or there. Each call raises `OSError` for what cannot be."""

    def shown(self, path: str) -> str:
        """The path as a person calls it."""

    def stat(self, path: str) -> Entry | None:
        """What is there, a link followed; None for nothing."""

    def real(self, path: str) -> str:
        """The path with all links followed, from the root."""

    def children(self, path: str) -> list[str]:
        """The names in a folder, in order."""

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file, in blocks, from an offset on."""

    def write(self, path: str, start: int, mode: int) -> AbstractContextManager[Callable[[bytes], None]]:
        """Give what takes the bytes of a file, from an offset on; from 0 on the file is made anew."""

    def make_folder(self, path: str) -> None:
        """Make a folder."""

    def dress(self, path: str, mode: int, times: tuple[int, int] | None) -> None:
        """Give a file its mode, and the times (seconds) of its last use and change."""

    def replace(self, path: str, new: str) -> None:
        """Rename a file, in place of another one if there is one."""

    def remove(self, path: str) -> None:
        """Remove a file."""


class Here:
    """The files of this machine."""

    def shown(self, path: str) -> str:
        """The path as it is."""
        return path

    def stat(self, path: str) -> Entry | None:
        """What is there, a link followed; None for nothing."""
        try:
            seen = Path(path).stat()
        except FileNotFoundError:
            return None
        return Entry(seen.st_mode, seen.st_size, (int(seen.st_atime), int(seen.st_mtime)))

    def real(self, path: str) -> str:
        """The path with all links followed, from the root."""
        return os.path.realpath(path)

    def children(self, path: str) -> list[str]:
        """The names in a folder, in order."""
        return sorted(each.name for each in Path(path).iterdir())

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file, in blocks, from an offset on."""
        with open(path, "rb", buffering=0) as file:
            if start:
                file.seek(start)
            while block := file.read(BLOCK):
                yield block

    @contextmanager
    def write(self, path: str, start: int, mode: int) -> Iterator[Callable[[bytes], None]]:
        """Give what takes the bytes of a file, from an offset on; from 0 on the file is made anew."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if start else os.O_TRUNC)
        with open(os.open(path, flags, mode), "wb", buffering=0) as file:
            if start:
                file.seek(start)

            def put(data: bytes) -> None:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]

            yield put

    def make_folder(self, path: str) -> None:
        """Make a folder."""
        Path(path).mkdir()

    def dress(self, path: str, mode: int, times: tuple[int, int] | None) -> None:
        """Give a file its mode, and the times (seconds) of its last use and change."""
        Path(path).chmod(mode)
        if times:
            os.utime(path, times)

    def replace(self, path: str, new: str) -> None:
        """Rename a file, in place of another one if there is one."""
        Path(path).replace(new)

    def remove(self, path: str) -> None:
        """Remove a file."""
        Path(path).unlink()
