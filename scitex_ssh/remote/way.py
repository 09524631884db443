"""The way to a host: what ssh is told, in one configuration that its jumps, sftp and rsync read, too."""

from __future__ import annotations

import getopt
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scitex_ssh.errors import InputError
from scitex_ssh.model.ssh_host import Host
from scitex_ssh.model.text import control_character, shown

# For automation, and so ahead of the user's own configuration, where the first word counts:
#   BatchMode                    nobody is there to answer
#   ControlMaster, ControlPath   one call must not depend on, nor leave, another's connection
#   ClearAllForwardings          ports that a Host block forwards are for its user's one session
#   RemoteCommand, RequestTTY, SessionType, StdinNull, ForkAfterAuthentication
#                                the command, and how it is run, are ours to say
FIRST = """\
# Written by scitex-ssh for one run.
IgnoreUnknown SessionType,StdinNull,ForkAfterAuthentication
BatchMode yes
ControlMaster no
ControlPath none
ClearAllForwardings yes
ForwardAgent no
ForwardX11 no
PermitLocalCommand no
RemoteCommand none
RequestTTY no
SessionType default
StdinNull no
ForkAfterAuthentication no
"""
# What holds where the user's own configuration says nothing:
#   ConnectTimeout   covers the greeting and the key exchange, too
#   ServerAlive*     a peer that is gone is noticed after a minute
LAST = """\
Match all
    ConnectTimeout 10
    ServerAliveInterval 15
    ServerAliveCountMax 3
"""


@dataclass(frozen=True)
class Way:
    """How a host is reached.

    Attributes:
        host: where to.
        jumps: the hosts on the way, the nearest first.
        options: flags for ssh as the caller gave them; they win over everything.
        base: a configuration file in place of ``~/.ssh/config``, or "".
    """

    host: Host
    jumps: tuple[Host, ...] = ()
    options: tuple[str, ...] = ()
    base: str = ""

    @classmethod
    def of(cls, host: object, ssh_opts: Sequence[str] = (), jump: str | None = None) -> Way:
        """The way in plain values; raises `InputError`."""
        options, base = _without_config(list(ssh_opts))
        return cls(Host.parse(host), Host.parse_jumps(jump), tuple(options), base)

    @property
    def flags(self) -> list[str]:
        """What ssh is told besides its configuration and the host."""
        jumps = ["-J", ",".join(map(str, self.jumps))] if self.jumps else []
        return [*self.options, *jumps]

    def config(self, automatic: bool = True) -> str:
        """The text of the configuration."""
        files = [self.base] if self.base else ["~/.ssh/config", "/etc/ssh/ssh_config"]
        included = "".join(f'Include "{name}"\nMatch all\n' for name in files if name != "none")
        return (FIRST if automatic else "") + included + LAST

    @contextmanager
    def opened(self, automatic: bool = True) -> Iterator[Folder]:
        """A folder for one run, with the configuration in it."""
        with tempfile.TemporaryDirectory(prefix="scitex-ssh-", dir=_place()) as name:
            folder = Folder(Path(name))
            folder.config.write_text(self.config(automatic), encoding="utf-8")
            yield folder


@dataclass(frozen=True)
class Folder:
    """What one run of ssh has for itself.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """What ssh reads."""
        return self.path / "config"

    @property
    def log(self) -> Path:
        """Ssh's own words, apart from those of the far side."""
        return self.path / "log"

    def words(self) -> str:
        """What ssh has said so far."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def arguments(self) -> list[str]:
        """The flags that name both."""
        return ["-F", str(self.config), "-E", str(self.log)]


def _place() -> str | None:
    """Where the folder is made: ssh hands its path to a shell as it is, for the jumps."""
    place = tempfile.gettempdir()
    return place if re.fullmatch(r"[A-Za-z0-9._/-]+", place) else "/tmp"


# The flags of ssh(1), as getopt(3) takes them.
_FLAGS = "1246AaB:b:Cc:D:E:e:F:fGgI:i:J:KkL:l:MmNnO:o:P:p:Q:qR:S:sTtVvW:w:XxYy"
# Those that make another thing of a call than a command or a subsystem on the host, or take from us its input
# or its words.
_NOT_FLAGS = ("-E", "-f", "-G", "-M", "-N", "-n", "-O", "-Q", "-s", "-V", "-W")


def _without_config(options: list[str]) -> tuple[list[str], str]:
    """The flags without a ``-F FILE``, and that file: it becomes a part of ours."""
    for word in options:
        if control_character(word):
            raise _refused(f"{shown(word)} is no flag of ssh")
    try:
        found, others = getopt.getopt(options, _FLAGS)
    except getopt.GetoptError as problem:
        raise _refused(f"flags for ssh: {problem}") from problem
    if others:
        raise _refused(f"flags for ssh: {shown(others[0])} is none")
    kept: list[str] = []
    base = ""
    for flag, value in found:
        if flag in _NOT_FLAGS:
            raise _refused(f"flags for ssh: {flag} is not for this")
        if flag == "-F":
            base = _config(value)
        else:
            kept += [flag, value] if value else [flag]
    return kept, base


def _config(path: str) -> str:
    """The path of a configuration, from the root; of one that is missing, ssh's Include says nothing."""
    if path in ("", "none"):
        return path
    if '"' in path:
        raise _refused(f"{shown(path)} is no path of a configuration")
    full = Path(path).expanduser().resolve()
    if not full.is_file() or not os.access(full, os.R_OK):
        raise _refused(f"there is no configuration {shown(path)} that can be read")
    return str(full)


def _refused(why: str) -> InputError:
    return InputError("usage", why=why, command="scitex-ssh exec")
