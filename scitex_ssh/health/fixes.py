"""What doctor can put right by itself: few things, each one command, none of which can lose anything."""

from __future__ import annotations

import getpass
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scitex_ssh.health import standing
from scitex_ssh.model import Destination, Tunnel

OTHERS_WRITE = 0o022


@dataclass(frozen=True)
class Way:
    """What was examined, as far as a fix needs it; ``unit`` None where no unit keeps it."""

    bastion: Destination
    key: str
    user: str
    unit: str | None = None
    own: bool = False


@dataclass(frozen=True)
class Fix:
    """One command that puts one thing right.

    Attributes:
        title: what becomes so.
        argv: the command.
        text: what it reads.
        shown: what a person has to see first; "" where a general yes is enough.
    """

    title: str
    argv: tuple[str, ...]
    text: str = ""
    shown: str = ""

    def apply(self) -> str:
        """Do it; the words of the failure, or ""."""
        try:
            done = subprocess.run(self.argv, input=self.text, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as problem:
            return str(problem)
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        return lines[-1] if done.returncode else ""


def about(tunnel: Tunnel | None, wanted: str) -> Way | None:
    """What was examined: the tunnel that was described, or the one that stands and has that name or port."""
    if tunnel is not None:
        return Way(tunnel.bastion, str(standing.expanded(tunnel.key, tunnel.user)), tunnel.user or "")
    for each in standing.tunnels():
        if each.description and wanted in (each.name, *each.ports):
            said = each.description
            own = each.keeper != "systemd"
            return Way(Destination.parse(said["bastion"]), said["key"], said["user"], each.unit, own)
    return None


def fix(slug: str, way: Way) -> Fix | None:
    """The fix for what a check found; None where a person has to decide."""
    if slug == "key-too-open":
        return Fix(f"nobody else can read {way.key}", _as(way.user, "chmod", "600", way.key))
    if slug == "home-too-open":
        return _closed(way.user)
    if slug == "host-key-unknown":
        return _known(way)
    if slug == "unit-disabled" and way.unit is not None:
        manager = _as(way.user, "systemctl", "--user") if way.own else _root("systemctl")
        return Fix(f"{way.unit} starts at boot", (*manager, "enable", "--now", way.unit))
    if slug == "linger-missing":
        return Fix(f"{way.user} lingers", ("loginctl", "enable-linger", way.user))
    return None


def _closed(user: str) -> Fix | None:
    """What sshd wants nobody else to be able to write to."""
    home = Path(_home(user))
    places = [home, home / ".ssh", home / ".ssh/authorized_keys"]
    open_ones = [str(each) for each in places if each.exists() and each.stat().st_mode & OTHERS_WRITE]
    if not open_ones:
        return None
    return Fix(f"nobody else can write to {', '.join(open_ones)}", _as(user, "chmod", "go-w", *open_ones))


def _home(user: str) -> str:
    named = user or getpass.getuser()
    return os.path.expanduser(f"~{named}")  # noqa: PTH111  # Path.expanduser raises where there is no such user


def _as(user: str, *command: str) -> tuple[str, ...]:
    """As the tunnel's user, whose files these are."""
    if os.geteuid() == 0 and user not in ("root", ""):
        return ("runuser", "-u", user, "--", *command)
    return command


def _root(*command: str) -> tuple[str, ...]:
    return command if os.geteuid() == 0 else ("sudo", *command)


def _known(way: Way) -> Fix | None:
    """The keys that the bastion shows go into the user's known_hosts; whoever says yes has compared them."""
    host, port = way.bastion.host, way.bastion.port
    lines = sorted(
        line
        for line in _said("ssh-keyscan", "-T", "10", "-p", str(port), "--", host).splitlines()
        if line and not line.startswith("#")
    )
    if not lines:
        return None
    text = "".join(f"{line}\n" for line in lines)
    with tempfile.TemporaryDirectory(prefix="scitex-ssh-") as folder:
        path = Path(folder) / "known_hosts"
        path.write_text(text, "utf-8")
        prints = [each.split(" ") for each in _said("ssh-keygen", "-l", "-f", str(path)).splitlines()]
    shown = "".join(f"  {each[1]} {each[-1]}\n" for each in prints if len(each) > 2)
    append = 'umask 077; mkdir -p "$HOME/.ssh" && cat >>"$HOME/.ssh/known_hosts"'
    user = way.user or getpass.getuser()
    argv = _as(user, "env", f"HOME={_home(user)}", "sh", "-c", append)
    return Fix(f"{host} is known by the keys that it shows now", argv, text, shown)


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
