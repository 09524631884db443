"""The host keys that are trusted here: known_hosts, changed whole, by one at a time."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from scitex_ssh.api import Result, Tell
from scitex_ssh.errors import InputError, error
from scitex_ssh.keys.local import run
from scitex_ssh.keys.told import saying, silent, told
from scitex_ssh.model.text import shown
from scitex_ssh.remote.effective import effective
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.words import failure

# One host key of each kind that a server may have.
_KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "rsa-sha2-512,rsa-sha2-256",
)


@dataclass(frozen=True)
class HostKey:
    """A host key that a server shows.

    Attributes:
        line: as it stands in a known_hosts file, with the name under which ssh looks for it.
        fingerprint: ``SHA256:...``.
        type: ``ED25519``, ``ECDSA`` or ``RSA``.
    """

    line: str
    fingerprint: str
    type: str


def seen(way: Way) -> list[HostKey]:
    """The host keys that a server shows now, over jump hosts, too; nobody has compared them.

    Raises:
        SSHError: where it cannot be asked.
    """
    with way.opened() as folder:
        known = folder.path / "known_hosts"
        options = (
            *("StrictHostKeyChecking=accept-new", "GlobalKnownHostsFile=none", "HashKnownHosts=no"),
            *("CheckHostIP=no", "UpdateHostKeys=no", "PreferredAuthentications=none", "VerifyHostKeyDNS=no"),
            f"UserKnownHostsFile={known}",
        )
        for kinds in _KINDS:
            words = [word for each in (*options, f"HostKeyAlgorithms={kinds}") for word in ("-o", each)]
            command = ["ssh", *words, *way.flags, "-W", "localhost:1", *folder.arguments, *way.host.arguments]
            folder.log.unlink(missing_ok=True)
            done = run(command)
            said = folder.words() + done.stderr
            if not known.exists() and "no matching host key type" not in said:
                raise failure(way, said)
        if not known.exists():
            raise failure(way, said)
        prints = [line.split() for line in run(["ssh-keygen", "-l", "-f", str(known)]).stdout.splitlines()]
        lines = known.read_text(encoding="utf-8").splitlines()
    return [HostKey(line, words[1], words[-1].strip("()")) for line, words in zip(lines, prints)]


def pin(
    host: object,
    *,
    fingerprint: str | Sequence[str] = (),
    trust: bool = False,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    dry_run: bool = False,
    tell: Tell = silent,
) -> Result:
    """Have the host key of ``host`` in known_hosts, where somebody has said which one it is.

    A host key that is known and differs is never replaced: `forget` it first.

    Args:
        host: a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``.
        fingerprint: ``SHA256:...``, compared with the server's own, or several; only these keys are written.
        trust: instead, take all that the server shows now.
        ssh_opts: flags for ssh; they win over everything.
        jump: hosts on the way, the nearest first, parted by commas.
        dry_run: change nothing; say what would change.
        tell: called with each step as soon as it is known.

    Raises:
        InputError: for what cannot be right.
    """
    compared = [fingerprint] if isinstance(fingerprint, str) else list(fingerprint)
    for text in compared:
        if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", text):
            why = f"{shown(text)} is not a fingerprint (SHA256:...)"
            raise InputError("usage", why=why, command="scitex-ssh key pin")
    way = Way.of(host, ssh_opts, jump)

    def work(tell: Tell) -> None:
        say = saying(tell)
        shows = seen(way)
        wanted = [each for each in shows if not compared or each.fingerprint in compared]
        prints = ", ".join(f"{each.fingerprint} ({each.type})" for each in shows)
        if not wanted:
            raise error("host-key-differs", host=way.host, fingerprint=prints, expected=", ".join(compared))
        path, *_ = known_files(way)
        with _alone(path):
            missing = [each for each in wanted if not _known(way, path, each)]
            if missing and not compared and not trust:
                if missing == wanted:
                    raise error("pin-unconfirmed", host=way.host, fingerprint=prints)
                # Known by one of its keys, which it still has: the others are nobody's question.
                wanted, missing = [each for each in wanted if each not in missing], []
            if missing and not dry_run:
                _append(path, missing, "yes" in effective(way).get("hashknownhosts", []))
        for each in wanted:
            kind = ("would-change" if dry_run else "changed") if each in missing else "ok"
            say(kind, f"{way.host} is known by {each.fingerprint} ({each.type}) in {path}")

    return told(work, tell)


def _known(way: Way, path: Path, wanted: HostKey) -> bool:
    """Whether the very key is there; another one of its type under the same name is an error."""
    name, kind, blob = wanted.line.split()[:3]
    lines = run(["ssh-keygen", "-F", name, "-f", str(path)]).stdout.splitlines()
    there = [line.split() for line in lines if line and not line.startswith(("#", "@"))]
    if any(words[1:3] == [kind, blob] for words in there):
        return True
    if any(words[1:2] == [kind] for words in there):
        raise error("known-key-differs", host=way.host)
    return False


def _append(path: Path, keys: Sequence[HostKey], hashed: bool) -> None:
    def add(copy: Path) -> None:
        before = copy.read_bytes()
        newline = b"\n" if before and not before.endswith(b"\n") else b""
        addition = copy.with_name("addition")
        addition.write_text("".join(f"{each.line}\n" for each in keys), encoding="utf-8")
        if hashed:
            run(["ssh-keygen", "-H", "-f", str(addition)])
        copy.write_bytes(before + newline + addition.read_bytes())

    _replaced(path, add)


def forget(
    host: object,
    *,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    dry_run: bool = False,
    tell: Tell = silent,
) -> Result:
    """Take the host keys of ``host`` out of known_hosts: hashed lines, and those of its port, too.

    Args:
        host: a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``; nothing is connected to.
        dry_run: change nothing; say what would change.
        tell: called with each step as soon as it is known.

    Raises:
        InputError: for what cannot be right.
    """
    way = Way.of(host, ssh_opts, jump)

    def work(tell: Tell) -> None:
        say = saying(tell)
        names, found = _names(way), False

        def remove(copy: Path) -> None:
            for name in names:
                _remove(copy, name)

        for path in known_files(way):
            if not path.is_file():
                continue
            with _alone(path):
                count = sum(_count(path, name) for name in names)
                if count and not dry_run:
                    _replaced(path, remove)
            if count:
                found = True
                kind = "would-change" if dry_run else "changed"
                say(kind, f"{count} {'line' if count == 1 else 'lines'} of {way.host} out of {path}")
        if not found:
            say("ok", f"no host key of {way.host} is known")

    return told(work, tell)


def _count(path: Path, name: str) -> int:
    lines = run(["ssh-keygen", "-F", name, "-f", str(path)]).stdout.splitlines()
    return sum(1 for line in lines if line and not line.startswith("#"))


def _remove(copy: Path, name: str) -> None:
    done = run(["ssh-keygen", "-R", name, "-f", str(copy)])
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["ssh-keygen said nothing"]
        raise error("file-failed", path=copy, why=lines[-1].rstrip("."))


def _names(way: Way) -> list[str]:
    """The names under which ssh looks for the host's key."""
    about = effective(way)

    def value(name: str) -> str:
        return about.get(name, [""])[0]

    name, port = value("hostkeyalias"), value("port")
    if not name or name == "none":
        name = value("hostname") or way.host.name
        name = name if port in ("", "22") else f"[{name}]:{port}"
    return [name]


def known_files(way: Way) -> list[Path]:
    """The user's files of known hosts for this host, the one that is written to first."""
    text = " ".join(effective(way).get("userknownhostsfile", [])) or "~/.ssh/known_hosts"
    paths = [Path(word).expanduser() for word in text.split() if word not in ("none", "/dev/null")]
    if not paths:
        raise error("no-known-hosts", host=way.host)
    return paths


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One writer at a time; the folder is the lock, since the file itself is replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replaced(path: Path, change: Callable[[Path], object]) -> None:
    """Change a copy, and put it in the file's place: whoever reads it reads the former one or the new."""
    # A link stays one: what it leads to is replaced.
    real = path.resolve()
    with TemporaryDirectory(prefix=".scitex-ssh-", dir=real.parent) as name:
        copy = Path(name) / "known_hosts"
        if real.exists():
            shutil.copyfile(real, copy)
            mode = real.stat().st_mode & 0o7777
        else:
            copy.touch()
            mode = 0o600
        change(copy)
        copy.chmod(mode)
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        copy.replace(real)
