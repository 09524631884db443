"""One connection for many calls: opened when asked for, private to its user, gone when idle."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

from scitex_ssh.errors import SSHError, error
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.words import failure

# How long the connection stays when nothing uses it. Then ssh ends it and takes the socket away.
IDLE_SECONDS = 60


def shared(way: Way) -> Path:
    """The socket of a connection to the host, which is opened if there is none.

    Raises:
        SSHError: when the host cannot be reached.
    """
    path = _folder() / _name(way)
    if not _answers(path):
        _open(way, path)
    return path


def close(way: Way) -> bool:
    """End the connection to the host; False when there is none."""
    path = _folder() / _name(way)
    if not _answers(path):
        return False
    command = ["ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "scitex-ssh"]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    return True


def _folder() -> Path:
    """A folder that is this user's alone: whoever can use the socket is logged in."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # A socket's path has 108 bytes, of which ssh itself needs 17 while it makes it.
    if re.fullmatch(r"/[A-Za-z0-9._/-]{1,50}", runtime) and os.access(runtime, os.W_OK):
        path = Path(runtime) / "scitex-ssh"
    else:
        place = tempfile.gettempdir()
        safe = re.fullmatch(r"/[A-Za-z0-9._/-]{1,40}", place)
        path = Path(place if safe else "/tmp") / f"scitex-ssh-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        seen = path.lstat()
    except OSError as problem:
        raise error("file-failed", path=path, why=(problem.strerror or "").lower()) from problem
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise error(
            "file-failed", path=path, why="others can write to it, so a connection there is not ours alone"
        )
    return path


def _name(way: Way) -> str:
    """One name for one way. A configuration that was edited is another way."""
    config = Path(way.base or "~/.ssh/config").expanduser()
    edited = str(config.stat().st_mtime_ns) if config.exists() else ""
    words = [str(way.host), *way.flags, way.base, edited]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _answers(path: Path) -> bool:
    """Whether somebody listens on the socket; one that is left over is removed."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return False
        except OSError:
            path.unlink(missing_ok=True)
            return False
    return True


def _open(way: Way, path: Path) -> None:
    with way.opened() as folder:
        command = [
            *("ssh", *way.flags),
            *("-o", "ControlMaster=yes", "-o", f"ControlPath={path}"),
            *("-o", f"ControlPersist={IDLE_SECONDS}", "-N", "-f"),
            *folder.arguments,
            *way.host.arguments,
        ]
        with tempfile.TemporaryFile() as said:
            # Its own session: the connection outlives the terminal's Ctrl-C, which ends only what uses it.
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
            said.seek(0)
            words = folder.words() + said.read().decode("utf-8", "replace")
    # Another call may have been first, and then its connection does as well.
    if done.returncode != 0 and not _answers(path):
        problem: SSHError = failure(way, words)
        raise problem
