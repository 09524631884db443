"""Files of another machine by SFTP, version 3 (draft-ietf-secsh-filexfer-02), over ssh.

OpenSSH's own sftp takes its orders by line, and so cannot be told of a name with a newline; its scp does not
resume, and speaks SFTP from 9.0 on only. The protocol is small.
"""

from __future__ import annotations

import errno
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from scitex_ssh.remote.places import BLOCK, Entry
from scitex_ssh.remote.session import opened
from scitex_ssh.remote.way import Way

_INIT, _VERSION, _OPEN, _CLOSE, _READ, _WRITE = 1, 2, 3, 4, 5, 6
_SETSTAT, _OPENDIR, _READDIR, _REMOVE, _MKDIR, _REALPATH, _STAT, _RENAME = 9, 11, 12, 13, 14, 16, 17, 18
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED = 101, 102, 103, 104, 105, 200

_FLAG_READ, _FLAG_WRITE, _FLAG_CREATE, _FLAG_TRUNCATE = 1, 2, 8, 16
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 1, 2, 4, 8, 0x80000000

_OK, _EOF, _NO_SUCH_FILE, _DENIED = 0, 1, 2, 3

# So many requests are under way at once: two megabytes, enough for a fast line around the world.
_WINDOW = 64
# No answer is longer: 256 KiB is what OpenSSH's server keeps to.
_LONGEST = 1 << 20


class Sftp:
    """The files of one host. Each method raises `OSError` for what the far side refuses."""

    def __init__(self, host: str, to: IO[bytes], back: IO[bytes]) -> None:
        self.host = host
        self._to, self._back = to, back
        self._last = 0
        self._answers: dict[int, tuple[int, bytes]] = {}
        self._send(_INIT, struct.pack(">I", 3))
        kind, body = self._packet()
        if kind != _VERSION:
            raise ConnectionError(errno.EPROTO, "it does not speak SFTP")
        self._extensions = b"posix-rename@openssh.com" in body

    def shown(self, path: str) -> str:
        """The path as a person calls it."""
        return f"{self.host}:{path}"

    def stat(self, path: str) -> Entry | None:
        """What is there, a link followed; None for nothing."""
        try:
            kind, body = self._ask(_STAT, _text(path))
        except FileNotFoundError:
            return None
        return _entry(body) if kind == _ATTRS else None

    def real(self, path: str) -> str:
        """The path with all links followed, from the root."""
        _, body = self._ask(_REALPATH, _text(path))
        return _take_text(body, 4)[0]

    def children(self, path: str) -> list[str]:
        """The names in a folder, in order."""
        names: list[str] = []
        with self._handle(_OPENDIR, _text(path)) as handle:
            while True:
                try:
                    _, body = self._ask(_READDIR, handle)
                except EOFError:
                    break
                (count,) = struct.unpack_from(">I", body)
                at = 4
                for _ in range(count):
                    name, at = _take_text(body, at)
                    _, at = _take_text(body, at)
                    at = _skip_attributes(body, at)
                    names.append(name)
        return sorted(name for name in names if name not in (".", ".."))

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file, in blocks, from an offset on."""
        with self._handle(_OPEN, _text(path) + struct.pack(">II", _FLAG_READ, 0)) as handle:
            waiting: deque[tuple[int, int, int]] = deque()
            asked, ended = start, False
            while True:
                while not ended and len(waiting) < _WINDOW:
                    waiting.append(
                        (self._request(_READ, handle + struct.pack(">QI", asked, BLOCK)), asked, BLOCK)
                    )
                    asked += BLOCK
                if not waiting:
                    return
                number, at, length = waiting.popleft()
                try:
                    _, body = self._answer(number)
                except EOFError:
                    ended = True
                    continue
                block = body[4:]
                yield block
                # A server may give less than it was asked for: what is missing comes before what follows.
                if len(block) < length:
                    at, length = at + len(block), length - len(block)
                    waiting.appendleft(
                        (self._request(_READ, handle + struct.pack(">QI", at, length)), at, length)
                    )

    @contextmanager
    def write(self, path: str, start: int, mode: int) -> Iterator[Callable[[bytes], None]]:
        """Give what takes the bytes of a file, from an offset on; from 0 on the file is made anew.

        Args:
            mode: of a file that is new, but for what the far side's umask takes.
        """
        flags = _FLAG_WRITE | _FLAG_CREATE | (0 if start else _FLAG_TRUNCATE)
        opening = _text(path) + struct.pack(">III", flags, _HAS_MODE, mode)
        with self._handle(_OPEN, opening) as handle:
            waiting: deque[int] = deque()
            at = start

            def put(data: bytes) -> None:
                nonlocal at
                for begin in range(0, len(data), BLOCK):
                    piece = data[begin : begin + BLOCK]
                    body = handle + struct.pack(">QI", at, len(piece)) + piece
                    waiting.append(self._request(_WRITE, body))
                    at += len(piece)
                    while len(waiting) > _WINDOW:
                        self._answer(waiting.popleft())

            try:
                yield put
                while waiting:
                    self._answer(waiting.popleft())
            except OSError as problem:
                if problem.errno == errno.EIO and self._is_full(path):
                    raise OSError(errno.ENOSPC, "no space left there") from problem
                raise

    def _is_full(self, path: str) -> bool:
        """Whether there is no space left; this version of the protocol has no word for it."""
        try:
            _, body = self._ask(_EXTENDED, _text("statvfs@openssh.com") + _text(path))
        except OSError:
            return False
        block, _, _, _, free, _, files = struct.unpack_from(">7Q", body)
        return bool(free * block < _WINDOW * BLOCK or not files)

    def make_folder(self, path: str) -> None:
        """Make a folder."""
        self._ask(_MKDIR, _text(path) + struct.pack(">II", _HAS_MODE, 0o777))

    def dress(self, path: str, mode: int, times: tuple[int, int] | None) -> None:
        """Give a file its mode, and the times (seconds) of its last use and change."""
        attributes = struct.pack(">II", _HAS_MODE | (_HAS_TIMES if times else 0), mode)
        self._ask(_SETSTAT, _text(path) + attributes + (struct.pack(">II", *times) if times else b""))

    def replace(self, path: str, new: str) -> None:
        """Rename a file, in place of another one if there is one."""
        if self._extensions:
            self._ask(_EXTENDED, _text("posix-rename@openssh.com") + _text(path) + _text(new))
            return
        if self.stat(new) is not None:
            self.remove(new)
        self._ask(_RENAME, _text(path) + _text(new))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._ask(_REMOVE, _text(path))

    @contextmanager
    def _handle(self, kind: int, body: bytes) -> Iterator[bytes]:
        _, handle = self._ask(kind, body)
        try:
            yield handle
        except (KeyboardInterrupt, SystemExit):
            # Perhaps in the middle of a packet: there is no talking any more.
            raise
        except BaseException:
            self._shut(handle)
            raise
        self._shut(handle)

    def _shut(self, handle: bytes) -> None:
        self._ask(_CLOSE, handle)
        # Of what was asked for and is not wanted any more.
        self._answers.clear()

    def _ask(self, kind: int, body: bytes) -> tuple[int, bytes]:
        return self._answer(self._request(kind, body))

    def _request(self, kind: int, body: bytes) -> int:
        self._last = (self._last + 1) & 0xFFFFFFFF
        self._send(kind, struct.pack(">I", self._last) + body)
        return self._last

    def _answer(self, number: int) -> tuple[int, bytes]:
        """The answer to a request; `OSError` for a refusal, `EOFError` for an end of file."""
        while number not in self._answers:
            kind, body = self._packet()
            self._answers[struct.unpack_from(">I", body)[0]] = kind, body[4:]
        kind, body = self._answers.pop(number)
        if kind == _STATUS:
            _raise(body)
        return kind, body

    def _send(self, kind: int, body: bytes) -> None:
        rest = memoryview(struct.pack(">IB", len(body) + 1, kind) + body)
        while rest:
            rest = rest[self._to.write(rest) :]

    def _packet(self) -> tuple[int, bytes]:
        (length,) = struct.unpack(">I", self._exactly(4))
        if not 1 <= length <= _LONGEST:
            raise ConnectionError(errno.EPROTO, "it does not speak SFTP")
        data = self._exactly(length)
        return data[0], data[1:]

    def _exactly(self, count: int) -> bytes:
        pieces = []
        while count:
            piece = self._back.read(count)
            if not piece:
                raise ConnectionError(errno.ECONNRESET, "the connection ended")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


@contextmanager
def connected(way: Way) -> Iterator[Sftp]:
    """The files of a host while the block runs; raises `SSHError` when the connection fails."""
    with opened(way, "sftp") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Sftp(str(way.host), process.stdin, process.stdout)


def _raise(body: bytes) -> None:
    (code,) = struct.unpack_from(">I", body)
    if code == _OK:
        return
    if code == _EOF:
        raise EOFError
    if code == _NO_SUCH_FILE:
        raise FileNotFoundError(errno.ENOENT, "no such file or directory")
    if code == _DENIED:
        raise PermissionError(errno.EACCES, "permission denied")
    # All the rest is "failure" in this version.
    raise OSError(errno.EIO, _take_text(body, 4)[0].lower() or "failure")


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(raw)) + raw


def _take_text(body: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", body, at)
    at += 4
    return body[at : at + length].decode("utf-8", "surrogateescape"), at + length


def _entry(body: bytes) -> Entry:
    (flags,) = struct.unpack_from(">I", body)
    at, size, mode, times = 4, 0, 0, (0, 0)
    if flags & _HAS_SIZE:
        (size,) = struct.unpack_from(">Q", body, at)
        at += 8
    if flags & _HAS_OWNER:
        at += 8
    if flags & _HAS_MODE:
        (mode,) = struct.unpack_from(">I", body, at)
        at += 4
    if flags & _HAS_TIMES:
        times = struct.unpack_from(">II", body, at)
    return Entry(mode, size, times)


def _skip_attributes(body: bytes, at: int) -> int:
    (flags,) = struct.unpack_from(">I", body, at)
    at += 4
    for flag, length in ((_HAS_SIZE, 8), (_HAS_OWNER, 8), (_HAS_MODE, 4), (_HAS_TIMES, 8)):
        at += length if flags & flag else 0
    if flags & _HAS_MORE:
        (count,) = struct.unpack_from(">I", body, at)
        at += 4
        for _ in range(2 * count):
            _, at = _take_text(body, at)
    return at
