"""Files from here to there, from there to here, and from there to elsewhere."""

from __future__ import annotations

import fnmatch
import hashlib
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from scitex_ssh.errors import InputError, SSHError, error
from scitex_ssh.model.text import shown
from scitex_ssh.remote import gate
from scitex_ssh.remote.places import Entry, Here, Place
from scitex_ssh.remote.results import CopyResult
from scitex_ssh.remote.sftp import connected
from scitex_ssh.remote.way import Way

# Called with a file as it is shown, its bytes that are there, and all of them.
Progress = Callable[[str, int, int], object]

# What a part must have in common with the file to be gone on with: this much at its begin and at its end.
_COMPARED = 65536


@dataclass(frozen=True)
class Spot:
    """A path, here (``way`` is None) or on another machine."""

    way: Way | None
    path: str

    @classmethod
    def of(cls, text: str, ssh_opts: Sequence[str] = (), jump: str | None = None) -> Spot:
        """Read ``PATH`` or ``HOST:PATH`` as scp does: a colon with a slash before it is a part of a name."""
        if not text or "\0" in text:
            raise InputError("usage", why=f"{shown(text)} is no path", command="scitex-ssh copy")
        match = re.match(r"((?:[^/@:]+@)?\[[^/\]]+\]|[^/:\[][^/:]*):(.*)\Z", text, re.DOTALL)
        if match is None:
            return cls(None, text)
        return cls(Way.of(match[1], ssh_opts, jump), _at_home(match[2]))

    def __str__(self) -> str:
        return f"{self.way.host}:{self.path}" if self.way else self.path


def _at_home(path: str) -> str:
    """A path as SFTP takes it: what is not from the root is from the home."""
    if path in ("", "~"):
        return "."
    if path.startswith("~/"):
        return path[2:].lstrip("/") or "."
    return path


def copy_to(host: str, paths: str | Sequence[str], target: str = ".", **options: object) -> CopyResult:
    """Copy files of this machine to another one. Options and errors are those of `copy_files`."""
    sources = [paths] if isinstance(paths, str) else list(paths)
    return copy_files([_local(each) for each in sources], f"{host}:{target}", **options)  # type: ignore[arg-type]


def copy_from(host: str, paths: str | Sequence[str], target: str = ".", **options: object) -> CopyResult:
    """Copy files of another machine to this one. Options and errors are those of `copy_files`."""
    sources = [paths] if isinstance(paths, str) else list(paths)
    return copy_files([f"{host}:{each}" for each in sources], _local(target), **options)  # type: ignore[arg-type]


def _local(path: str) -> str:
    return path if path.startswith("/") else f"./{path}"


def copy_files(
    sources: Sequence[str],
    target: str,
    *,
    recursive: bool = False,
    preserve: bool = False,
    resume: bool = False,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    progress: Progress | None = None,
    check: bool = False,
    consent: bool = True,
) -> CopyResult:
    """Copy files, each ``PATH`` or ``HOST:PATH``, to one of these; between two machines through this one.

    A file is written beside its target and put into its place when it is whole. What fails is told, and the
    rest is copied.

    Args:
        sources: what is copied. A pattern (``*.dat``) of another machine is looked up there, unless a file
            has that very name.
        target: an existing folder, or the new name.
        recursive: folders, too, with links followed.
        preserve: give the copies the modes and times of the originals.
        resume: go on with what an interrupted copy has left, where its begin and end agree.
        ssh_opts: flags for ssh; they win over everything.
        jump: hosts on the way, the nearest first, parted by commas.
        progress: called with a file, its bytes that are there, and all of them.
        check: raise the first error instead of returning it.
        consent: False refuses where no policy allows it, as for a caller who may not decide that.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    *spots, into = permitted(sources, target, ssh_opts, jump, consent)
    work = _Copy(recursive, preserve, resume, progress)
    host = next(str(each.way.host) for each in (into, *spots) if each.way)
    try:
        work.run(spots, into)
    except SSHError as problem:
        work.failed.append(problem)
    result = CopyResult(
        host,
        1 if work.failed else 0,
        error=work.failed[0] if work.failed else None,
        files=work.files,
        sent=work.sent,
        failed=tuple(work.failed),
    )
    if check:
        result.raise_for_error()
    return result


def permitted(
    sources: Sequence[str], target: str, ssh_opts: Sequence[str], jump: str | None, consent: bool
) -> list[Spot]:
    """The sources and the target of a copy that may be made; nothing is connected to.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    spots = [Spot.of(each, ssh_opts, jump) for each in (*sources, target)]
    if not sources or not any(each.way for each in spots):
        why = "neither a source nor the target is on another machine (HOST:PATH)"
        raise InputError("usage", why=why, command="scitex-ssh copy")
    for way in dict.fromkeys(each.way for each in spots if each.way):
        gate.check("copy", way, consent)
    return spots


@dataclass
class _Copy:
    """One copy, under way."""

    recursive: bool
    preserve: bool
    resume: bool
    progress: Progress | None
    files: int = 0
    sent: int = 0
    failed: list[SSHError] = field(default_factory=list)

    def run(self, sources: Sequence[Spot], into: Spot) -> None:
        with ExitStack() as stack:
            ends: dict[tuple[str, Way | None], Place] = {}

            def place(end: str, way: Way | None) -> Place:
                # One machine that is both is two connections: each does one thing at a time.
                if (end, way) not in ends:
                    ends[end, way] = stack.enter_context(connected(way)) if way else Here()
                return ends[end, way]

            there = place("target", into.way)
            found = [
                (origin, path)
                for spot in sources
                for origin in [place("source", spot.way)]
                for path in self._found(origin, spot)
            ]
            target = self._seen(there, into.path)
            is_folder = target is not None and target.is_folder
            if not is_folder and (len(found) > 1 or into.path.endswith("/")):
                raise error("copy-failed", path=there.shown(into.path), why="it is no folder")
            for origin, path in found:
                name = _name(origin, path)
                self._copy(
                    origin, path, there, posixpath.join(into.path, name) if is_folder else into.path, ()
                )

    def _found(self, place: Place, spot: Spot) -> list[str]:
        """The path, or what its pattern finds on another machine."""
        if spot.way is None or not re.search(r"[*?\[]", spot.path) or self._seen(place, spot.path):
            return [spot.path]
        folder, name = posixpath.split(spot.path)
        try:
            names = place.children(folder or ".")
        except OSError as problem:
            self._tell(place, spot.path, problem)
            return []
        hidden = name.startswith(".")
        found = [each for each in names if fnmatch.fnmatchcase(each, name) and (hidden or each[0] != ".")]
        if not found:
            self._tell(place, spot.path, FileNotFoundError(2, "no such file or directory"))
        return [posixpath.join(folder, each) for each in found]

    def _seen(self, place: Place, path: str) -> Entry | None:
        try:
            return place.stat(path)
        except ConnectionError:
            raise
        except OSError:
            return None

    def _copy(self, origin: Place, path: str, there: Place, target: str, above: tuple[str, ...]) -> None:
        try:
            entry = origin.stat(path)
            if entry is None:
                raise FileNotFoundError(2, "no such file or directory")
            if entry.is_folder:
                self._folder(origin, path, entry, there, target, above)
            elif entry.is_file:
                self._file(origin, path, entry, there, target)
            else:
                raise OSError(22, "neither a file nor a folder, and left out")
        except _Told:
            pass
        except ConnectionError:
            raise
        except OSError as problem:
            self._tell(origin, path, problem)

    def _folder(
        self, origin: Place, path: str, entry: Entry, there: Place, target: str, above: tuple[str, ...]
    ) -> None:
        if not self.recursive:
            raise OSError(21, "it is a folder: add -r")
        real = origin.real(path)
        if real in above:
            raise OSError(40, "it leads back to a folder above it")
        with self._blaming(there, target):
            seen = there.stat(target)
            if seen is None:
                there.make_folder(target)
            elif not seen.is_folder:
                raise NotADirectoryError(20, "it is no folder")
        for name in origin.children(path):
            self._copy(
                origin, posixpath.join(path, name), there, posixpath.join(target, name), (*above, real)
            )
        if self.preserve:
            with self._blaming(there, target):
                there.dress(target, entry.mode & 0o7777, entry.times)

    def _file(self, origin: Place, path: str, entry: Entry, there: Place, target: str) -> None:
        with self._blaming(there, target):
            seen = there.stat(target)
            if seen is not None and seen.is_folder:
                raise IsADirectoryError(21, "it is a folder")
            # A link stays one: what it leads to is written anew.
            final = there.real(target) if seen else target
            part = _part(final) if seen is None or seen.is_file else final
            start = self._agreed(origin, path, entry, there, part) if self.resume and part != final else 0
            writing = there.write(part, start, entry.mode & 0o777)
            try:
                put = writing.__enter__()
            except PermissionError:
                # The folder is not ours to write to, but perhaps the file is.
                if seen is None or part == final:
                    raise
                part, start = final, 0
                writing = there.write(part, start, entry.mode & 0o777)
                put = writing.__enter__()
        done = start
        try:
            with self._blaming(there, target), ExitStack() as stack:
                stack.push(writing.__exit__)
                for block in self._read(origin, path, start):
                    put(block)
                    done += len(block)
                    if self.progress:
                        self.progress(origin.shown(path), done, max(done, entry.size))
        except (OSError, _Told) as problem:
            # Kept only for who may go on with it.
            if part != final and not self.resume and not isinstance(problem, ConnectionError):
                with suppress(OSError):
                    there.remove(part)
            raise
        with self._blaming(there, target):
            if self.preserve:
                there.dress(part, entry.mode & 0o7777, entry.times)
            elif seen and part != final:
                there.dress(part, seen.mode & 0o7777, None)
            if part != final:
                there.replace(part, final)
        if self.progress and not done:
            self.progress(origin.shown(path), 0, 0)
        self.files += 1
        self.sent += done - start

    def _read(self, origin: Place, path: str, start: int) -> Iterator[bytes]:
        with self._blaming(origin, path):
            yield from origin.read(path, start)

    def _agreed(self, origin: Place, path: str, entry: Entry, there: Place, part: str) -> int:
        """How many bytes of a part are as in the file, as far as its begin and its end can tell."""
        left = self._seen(there, part)
        if left is None or not 0 < left.size <= entry.size:
            return 0
        end = max(0, left.size - _COMPARED)
        for start, length in ((0, min(_COMPARED, left.size)), (end, left.size - end)):
            if _bytes(origin, path, start, length) != _bytes(there, part, start, length):
                return 0
        return left.size

    def _blaming(self, place: Place, path: str) -> _Blame:
        return _Blame(self, place, path)

    def _tell(self, place: Place, path: str, problem: OSError) -> None:
        why = (problem.strerror or str(problem)).lower()
        self.failed.append(error("copy-failed", path=shown(place.shown(path)), why=why))


class _Told(Exception):
    """What failed stands in the list already."""


@dataclass
class _Blame:
    """What fails inside failed at this path, not where it is read from."""

    work: _Copy
    place: Place
    path: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, problem: object, _: object) -> None:
        if isinstance(problem, OSError) and not isinstance(problem, ConnectionError):
            self.work._tell(self.place, self.path, problem)
            raise _Told from problem


def _bytes(place: Place, path: str, start: int, length: int) -> bytes:
    found = b""
    reading = place.read(path, start)
    for block in reading:
        found += block
        if len(found) >= length:
            break
    reading.close()  # type: ignore[attr-defined]  # both are generators
    return found[:length]


def _name(place: Place, path: str) -> str:
    """What a copy is called in a folder."""
    name = posixpath.basename(path.rstrip("/"))
    return name if name not in ("", ".", "..") else posixpath.basename(place.real(path)) or "root"


def _part(path: str) -> str:
    """Where a file is written before it is whole: the same name for the same file, however often."""
    folder, name = posixpath.split(path)
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) > 230:
        name = hashlib.sha256(raw).hexdigest()
    return posixpath.join(folder, f".{name}.scitex-ssh-part")
