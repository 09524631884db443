"""The keys of this account: new ones, those that are there, and their modes."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from scitex_ssh.api import Result, Tell
from scitex_ssh.errors import InputError, error
from scitex_ssh.keys.told import saying, silent, told
from scitex_ssh.model.text import control_character, shown
from scitex_ssh.render.authorized_keys import PublicKey

# What ssh-keygen is told for each kind. Servers older than OpenSSH 6.5 know no ed25519.
KINDS = {"ed25519": ("-t", "ed25519"), "rsa": ("-t", "rsa", "-b", "4096")}

_PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


@dataclass(frozen=True)
class Key:
    """A key of this account; its private half is named, and never read into a value.

    Attributes:
        path: of the private half.
        type: ``ED25519``, ``RSA`` and so on, as ssh-keygen names them.
        bits: its length.
        fingerprint: ``SHA256:...``.
        comment: what its public half says behind the key.
        mode: of the private half, as in ``0o600``.
        locked: True where a passphrase is needed.
        in_agent: True where the agent of this login holds it.
    """

    path: str
    type: str
    bits: int
    fingerprint: str
    comment: str
    mode: int
    locked: bool
    in_agent: bool

    def as_dict(self) -> dict[str, object]:
        """All of it as JSON types; the mode in octal digits."""
        return {
            "path": self.path,
            "type": self.type,
            "bits": self.bits,
            "fingerprint": self.fingerprint,
            "comment": self.comment,
            "mode": f"{self.mode:03o}",
            "locked": self.locked,
            "in_agent": self.in_agent,
        }


def new(
    path: object = None, *, kind: str = "ed25519", comment: str | None = None, passphrase: bool = False
) -> Key:
    """Make a key: the private half for its owner alone from its first moment on; nothing is overwritten.

    Args:
        path: where; by default ``~/.ssh/id_ed25519`` (or ``id_rsa``). Its folder is made if need be.
        kind: ``ed25519``, or ``rsa`` (4096 bits) for servers that are too old for it.
        comment: by default ``user@host``.
        passphrase: True has ssh-keygen ask for one on the terminal. A tunnel needs a key without.

    Raises:
        InputError: for what cannot be right.
        TunnelError: ``key-exists``, ``file-failed``, ``ssh-missing``.
    """
    if kind not in KINDS:
        why = f"{shown(kind)} is no kind of key: {' and '.join(KINDS)} are"
        raise InputError("usage", why=why, command="scitex-ssh key new")
    if comment is not None and control_character(comment):
        raise InputError("usage", why="the comment is not one line", command="scitex-ssh key new")
    if passphrase and not sys.stdin.isatty():
        why = "nobody is there to type a passphrase"
        raise InputError("usage", why=why, command="scitex-ssh key new")
    place = file_path(f"~/.ssh/id_{kind}" if path is None else path)
    if place.suffix == ".pub":
        why = "such a name is for the half that is given away"
        raise InputError("bad-key-path", value=shown(str(place)), why=why)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".scitex-ssh-", dir=place.parent) as folder:
            made = Path(folder) / "key"
            words = ["ssh-keygen", "-q", *KINDS[kind], "-f", str(made)]
            words += [] if comment is None else ["-C", comment]
            _keygen(words if passphrase else [*words, "-N", ""], place)
            _placed(made, place)
    except OSError as problem:
        raise error("file-failed", path=place, why=(problem.strerror or str(problem)).lower()) from problem
    return _described(place, agent())


def _keygen(words: list[str], place: Path) -> None:
    # The terminal is for the passphrase, and ssh-keygen's words about it are for who types it.
    done = run(words, stdin=None if "-N" not in words else subprocess.DEVNULL)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["ssh-keygen said nothing"]
        raise error("file-failed", path=place, why=lines[-1].rstrip(".").lower())


def _placed(made: Path, place: Path) -> None:
    """Both halves in their places, if nothing is there: a link is made or refused, and never replaces."""
    for half, target in ((made, place), (public(made), public(place))):
        try:
            os.link(half, target)
        except FileExistsError as problem:
            if target != place:
                place.unlink()
            raise error("key-exists", path=target) from problem


def list_keys(folder: object = None) -> list[Key]:
    """The private keys in a folder, by default ``~/.ssh``, in the order of their names."""
    held = agent()
    return [_described(path, held) for path in _private(_folder(folder))]


def _described(path: Path, held: dict[str, str]) -> Key:
    """What ssh-keygen tells of a key; what it cannot tell is empty."""
    seen = path.stat()
    said = re.fullmatch(
        r"(\d+) (\S+) (.*) \((\S+)\)", run(["ssh-keygen", "-l", "-f", str(path)]).stdout.strip()
    )
    bits, fingerprint, comment, kind = said.groups() if said else ("0", "", "", "?")
    mode = stat.S_IMODE(seen.st_mode)
    locked = locked_key(path)
    return Key(str(path), kind, int(bits), fingerprint, comment, mode, locked, fingerprint in held)


def locked_key(path: Path) -> bool:
    """Whether a private key has a passphrase."""
    # A mode that ssh refuses would be refused here, too, so the answer is taken from its words.
    return "passphrase" in run(["ssh-keygen", "-y", "-P", "", "-f", str(path)]).stderr.lower()


def agent() -> dict[str, str]:
    """The public keys that the agent of this login holds, by their fingerprints."""
    done = run(["ssh-add", "-L"])
    held = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else []:
        try:
            held[PublicKey.parse(line).fingerprint] = line
        except InputError:
            # Certificates, and kinds of key that are not for logging in.
            continue
    return held


def public_half(path: Path) -> tuple[PublicKey, str]:
    """The public half of a key and its comment, by the path of either half.

    Raises:
        InputError: ``bad-public-key``.
        TunnelError: ``key-missing``, ``key-locked``, ``key-invalid``.
    """
    half = path if path.suffix == ".pub" else public(path)
    if half.is_file():
        try:
            text = half.read_text(encoding="utf-8", errors="replace").strip()
        except OSError as problem:
            raise error("file-failed", path=half, why=(problem.strerror or "").lower()) from problem
    elif not path.is_file():
        raise error("key-missing", key=path)
    else:
        done = run(["ssh-keygen", "-y", "-P", "", "-f", str(path)])
        if done.returncode != 0:
            raise error("key-locked" if "passphrase" in done.stderr.lower() else "key-invalid", key=path)
        text = done.stdout.strip()
    key = PublicKey.parse(text)
    return key, " ".join(text.split()[2:])


def fix(folder: object = None, *, dry_run: bool = False, tell: Tell = silent) -> Result:
    """Put right what ssh and sshd refuse about the files of a folder, by default ``~/.ssh``.

    A private key that others can read, a folder or an ``authorized_keys`` that others can write to; a
    public half that is missing. What belongs to somebody else is told.
    """
    place = _folder(folder)

    def work(tell: Tell) -> None:
        say = saying(tell)
        steps = 0
        for path, mode in _wrong(place):
            steps += 1
            if not dry_run:
                path.chmod(mode)
            say("would-change" if dry_run else "changed", f"{path} has mode {mode:03o}")
        for path in _private(place):
            if not public(path).exists() and not locked_key(path):
                steps += 1
                if not dry_run:
                    key, comment = public_half(path)
                    public(path).write_text(f"{key} {comment}".strip() + "\n", encoding="utf-8")
                say("would-change" if dry_run else "changed", f"{public(path)} is there")
        if not steps:
            say("ok", f"the files of {place} are as ssh wants them")

    return told(work, tell)


def _wrong(folder: Path) -> Iterator[tuple[Path, int]]:
    """What has a mode that is refused, with the one that is not."""
    private = set(_private(folder))
    # sshd's StrictModes looks at the home, too.
    home = [folder.parent] if folder == Path("~/.ssh").expanduser() else []
    for path in [*home, folder, *sorted(folder.iterdir() if folder.is_dir() else ())]:
        if path.is_symlink() or not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = 0o600 if path in private and mode & 0o077 else mode & ~0o022
        if wanted != mode and (path.is_dir() or path in private or path.name in _READ_BY_SSH):
            if path.parent == folder and path.is_dir():
                continue
            yield path, wanted


_READ_BY_SSH = ("authorized_keys", "authorized_keys2", "config", "known_hosts", "known_hosts2", "environment")


def _private(folder: Path) -> list[Path]:
    """The files of a folder that begin as a private key does."""
    return [path for path in sorted(folder.iterdir() if folder.is_dir() else ()) if _begins(path)]


def _begins(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return bool(_PRIVATE.match(file.read(64)))
    except OSError:
        return False


def file_path(path: object) -> Path:
    """The path of a key, absolute; `InputError`."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str) or not text or control_character(text) or text.endswith("/"):
        raise InputError("bad-key-path", value=shown(text), why="it is not the name of a file")
    return Path(text).expanduser().absolute()


def public(path: Path) -> Path:
    """Where the public half of a key lies."""
    return path.with_name(path.name + ".pub")


def private(path: Path) -> Path:
    """Where the private half of a key lies, by the path of either half."""
    return path.with_suffix("") if path.suffix == ".pub" else path


def _folder(folder: object) -> Path:
    """The folder of keys; one that was named has to be there."""
    if folder is None:
        return file_path("~/.ssh")
    path = file_path(folder)
    if not path.is_dir():
        raise error("file-failed", path=path, why="there is no such folder")
    return path


def run(words: list[str], stdin: int | None = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    """Run one of OpenSSH's programs to its end.

    Raises:
        TunnelError: ``ssh-missing``.
    """
    env = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(words, stdin=stdin, capture_output=True, text=True, errors="replace", env=env)
    except FileNotFoundError as problem:
        raise error("ssh-missing", program=words[0], package="openssh-client") from problem
