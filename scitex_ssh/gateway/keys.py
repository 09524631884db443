"""The lines of authorized_keys: for sshd that asks, and as a block of a file where it does not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from scitex_ssh.errors import error
from scitex_ssh.render.authorized_keys import LINE, SESSION, PublicKey

BEGIN = "# BEGIN scitex-ssh gateway: do not edit between these lines"
END = "# END scitex-ssh gateway"


def line(name: str, port: int, key: PublicKey, bind: str) -> str:
    """The line that lets ``key`` hold and dial its port; the same as a bastion without a gateway has."""
    return LINE.fill(
        {
            "permits": f'permitlisten="{bind}:{port}",permitopen="localhost:{port}"',
            "session": SESSION,
            "ports": str(port),
            "key_id": key.id,
            "public": str(key),
            "name": name,
        }
    )


def write_block(path: Path, wanted: Callable[[], list[str]]) -> bool:
    """Have exactly these lines in our block of a file, whatever else is in it; True when it changed.

    Written beside and renamed: sshd reads the former file or the new one, never half of one. The lines are
    asked for when nobody else writes, so that nobody's older ones come last.

    Raises:
        SSHError: ``file-failed``.
    """
    try:
        with _alone(path):
            return _write(path, wanted())
    except OSError as problem:
        raise error("file-failed", path=path, why=(problem.strerror or "").lower()) from problem


def _write(path: Path, lines: list[str]) -> bool:
    former = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    block = "".join(f"{text}\n" for text in (BEGIN, *lines, END)) if lines else ""
    wanted = _others(former) + block
    if wanted == former:
        return False
    about = path.stat() if path.exists() else None
    handle, beside = tempfile.mkstemp(prefix=".authorized_keys-", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(wanted)
            file.flush()
            if about is not None:
                os.fchmod(file.fileno(), about.st_mode & 0o7777)
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), about.st_uid, about.st_gid)
            os.fsync(file.fileno())
        os.replace(beside, path)  # noqa: PTH105  # the name is text
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return True


def _others(text: str) -> str:
    """What is in the file besides our block; a block without an end is ours up to the end of the file."""
    kept, ours = [], False
    for one in text.splitlines():
        if one == BEGIN:
            ours = True
        elif one == END and ours:
            ours = False
        elif not ours:
            kept.append(one + "\n")
    return "".join(kept)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One writer at a time; the lock is a file of its own, since the file itself is replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
