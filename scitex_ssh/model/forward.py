"""What a tunnel forwards, in OpenSSH's own syntax."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scitex_ssh.errors import InputError
from scitex_ssh.model.destination import Address, canonical, host_reason
from scitex_ssh.model.port import Port
from scitex_ssh.model.text import control_character, shown

# Who listens: "remote" and "socks" on the bastion, "local" and "dynamic" on this machine.
KINDS = ("remote", "socks", "local", "dynamic")
FLAGS = {"-R": "remote", "-L": "local", "-D": "dynamic"}
SSH_TARGET = Address("localhost", Port(22))

# sun_path holds 108 bytes with its end, of which sshd's own temporary name may want some.
_PATH = re.compile(r"(?:/[A-Za-z0-9_.+-]+)+")
_LONGEST_PATH = 90
_SOCKET_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class SocketPath(str):
    """The absolute path of a Unix socket."""

    __slots__ = ()

    def __new__(cls, value: str, slug: str = "bad-forward", flag: str = "-R") -> SocketPath:
        if not _PATH.fullmatch(value) or len(value) > _LONGEST_PATH:
            why = f"{shown(value)} is not the path of a socket (at most {_LONGEST_PATH} plain characters)"
            raise InputError(slug, value=shown(value), why=why, flag=flag)
        return super().__new__(cls, value)


@dataclass(frozen=True)
class Listen:
    """A TCP port that is listened on; ``host`` ``*`` is every address, ``port`` 0 one to be chosen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Forward:
    """One forward (RFC 4254, 7.1): who connects to ``listen`` reaches ``target``.

    ``kind`` is one of `KINDS`. A remote forward's target is dialled from this machine, a local one's
    from the bastion; a proxy (``socks``, ``dynamic``) has none. By default the listening address is the
    word ``localhost``: sshd compares it with permitlisten as a string.
    """

    kind: str
    listen: Listen | SocketPath
    target: Address | SocketPath | None = None

    @classmethod
    def parse(cls, text: object, flag: str) -> Forward:
        """Read what ``-R``, ``-L`` or ``-D`` takes; `InputError` ``bad-forward`` or ``bad-port``."""
        if isinstance(text, int) and not isinstance(text, bool):
            text = str(text)
        if not isinstance(text, str):
            raise InputError("bad-forward", value=shown(text), flag=flag, why="it is not text")
        return _Reader(text, flag).forward()

    @property
    def on_bastion(self) -> bool:
        """True where the bastion listens."""
        return self.kind in ("remote", "socks")

    @property
    def port(self) -> int | None:
        """The port that is listened on, or None for a socket."""
        return self.listen.port if isinstance(self.listen, Listen) else None

    def __str__(self) -> str:
        return f"{self.kind} {self.listen}" + ("" if self.target is None else f" {self.target}")


def remote(port: object, target: object = None) -> Forward:
    """The short form: a port of the bastion's localhost leads to ``target`` (sshd here)."""
    return Forward("remote", Listen("localhost", Port(port)), read_target(target))


def remote_socket(name: object, target: object = None) -> Forward:
    """A Unix socket of the bastion, by its path or by a name in its /tmp, leads to ``target``."""
    if not isinstance(name, str):
        raise InputError("bad-forward", value=shown(name), flag="--remote-socket", why="it is not text")
    path = f"/tmp/scitex-ssh-{name}" if _SOCKET_NAME.fullmatch(name) else name
    return Forward("remote", SocketPath(path, flag="--remote-socket"), read_target(target))


def read_target(text: object) -> Address | SocketPath:
    """A target of the short form: ``host:port`` or the path of a Unix socket."""
    if text is None:
        return SSH_TARGET
    if isinstance(text, str) and text.startswith("/"):
        return SocketPath(text, "bad-target")
    return Address.parse(text, slug="bad-target", default_port=None)


@dataclass(frozen=True)
class _Reader:
    text: str
    flag: str

    def forward(self) -> Forward:
        """The forward that the text describes, its parts read from left to right."""
        if control_character(self.text) or not self.text.isascii():
            self.refuse(control_character(self.text) or "it is not plain text")
        parts = self.parts()
        kind = FLAGS[self.flag]
        if parts[0].startswith("/"):
            if kind != "remote":
                self.refuse("it listens on a port")
            return Forward(kind, SocketPath(parts[0], flag=self.flag), self.target(parts[1:]))
        listen, rest = self.listen(parts, kind)
        if kind == "dynamic" or (kind == "remote" and not rest):
            if rest:
                self.refuse("a proxy has no target")
            return Forward("dynamic" if kind == "dynamic" else "socks", listen)
        return Forward(kind, listen, self.target(rest))

    def parts(self) -> list[str]:
        """What stands between the colons, those within brackets left alone."""
        parts = re.findall(r"(?:^|:)(\[[^\[\]]*\]|[^:\[\]]*)(?=:|$)", self.text)
        if ":".join(parts) != self.text or not self.text:
            self.refuse("it is not made of parts with colons between them")
        return parts

    def listen(self, parts: list[str], kind: str) -> tuple[Listen, list[str]]:
        """Where it listens, and the parts behind that."""
        bind = "localhost"
        # A bind address stands first where there is one part more than port, host and hostport, or port and
        # socket; or where only a proxy's port follows.
        named = len(parts) >= 4 or (len(parts) == 3 and parts[2].startswith("/"))
        if named or (len(parts) == 2 and kind != "local" and not parts[1].startswith("/")):
            bind, parts = self.host(parts[0], anywhere=True), parts[1:]
        if parts[0] == "0" and kind == "remote":
            return Listen(bind, 0), parts[1:]
        return Listen(bind, Port(parts[0], what=shown(self.text))), parts[1:]

    def target(self, parts: list[str]) -> Address | SocketPath:
        """Where it leads to."""
        if len(parts) == 1 and parts[0].startswith("/"):
            return SocketPath(parts[0], flag=self.flag)
        if len(parts) != 2:
            self.refuse("its target must be HOST:PORT or the path of a socket")
        host = self.host(parts[0], anywhere=False)
        return Address(host, Port(parts[1], what=shown(self.text)))

    def host(self, text: str, *, anywhere: bool) -> str:
        """A host or a bind address, IPv6 without its brackets."""
        if anywhere and text in ("", "*"):
            return "*"
        if text.startswith("["):
            text = text[1:-1]
            if ":" not in text:
                self.refuse("brackets hold an IPv6 address")
        reason = host_reason(text)
        if reason:
            self.refuse(reason)
        return canonical(text)

    def refuse(self, why: str) -> None:
        """Raise what is wrong with the whole text."""
        raise InputError("bad-forward", value=shown(self.text), flag=self.flag, why=why)
