"""Where an SSH connection goes: ``user@host:port``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from scitex_ssh.errors import InputError
from scitex_ssh.model.port import Port
from scitex_ssh.model.text import control_character, shown

_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+-]{0,63}")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")


@dataclass(frozen=True)
class Address:
    """A host name, an IPv4 address or an IPv6 address (bare, without brackets), and a port."""

    host: str
    port: Port

    @classmethod
    def parse(cls, text: object, *, slug: str, default_port: int | None) -> Address:
        """Read ``host``, ``host:port``, ``[IPv6]`` or ``[IPv6]:port``.

        ``default_port`` None makes the port obligatory. Raises `InputError` ``slug``.
        """
        if not isinstance(text, str):
            raise InputError(slug, value=shown(text), why="it is not text")
        host, port = _split(text, slug)
        reason = host_reason(host)
        if reason:
            raise InputError(slug, value=shown(text), why=reason)
        if port is None:
            if default_port is None:
                raise InputError(slug, value=shown(text), why="it names no port")
            return cls(canonical(host), Port(default_port))
        return cls(canonical(host), Port(port, what=shown(text)))

    @property
    def is_ipv6(self) -> bool:
        """True for an IPv6 address."""
        return ":" in self.host

    @property
    def known_name(self) -> str:
        """The name under which a known_hosts file lists this address (sshd(8))."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.is_ipv6 else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class Destination:
    """``user@host:port`` of an SSH server; ``user`` None means the user who runs ssh."""

    address: Address
    user: str | None = None

    @classmethod
    def parse(cls, text: object, *, slug: str = "bad-destination") -> Destination:
        """Read ``[user@]host[:port]`` or ``[user@][IPv6][:port]``; `InputError` ``slug``."""
        if not isinstance(text, str):
            raise InputError(slug, value=shown(text), why="it is not text")
        user, at, rest = text.rpartition("@")
        if at and not _USER.fullmatch(user):
            raise InputError(slug, value=shown(text), why=_user_reason(user))
        address = Address.parse(rest, slug=slug, default_port=22)
        return cls(address, user if at else None)

    @property
    def host(self) -> str:
        """Name or address, IPv6 without brackets."""
        return self.address.host

    @property
    def port(self) -> Port:
        """The SSH port, 22 unless said."""
        return self.address.port

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.address.is_ipv6 else self.host
        port = "" if self.port == 22 else f":{self.port}"
        return (f"{self.user}@" if self.user else "") + host + port


def read_bastions(value: object) -> tuple[Destination, ...]:
    """The bastions of ``a,b``, or of a list of such texts; `InputError` ``bad-destination``."""
    listed = value if isinstance(value, (list, tuple)) else [value]
    texts = [part for each in listed for part in (each.split(",") if isinstance(each, str) else [each])]
    if not texts:
        raise InputError("bad-destination", value=shown(value), why="it names no host")
    bastions: list[Destination] = []
    for text in texts:
        bastion = Destination.parse(text)
        if bastion.address in (other.address for other in bastions):
            raise InputError("bad-destination", value=shown(text), why="it is given twice")
        bastions.append(bastion)
    return tuple(bastions)


def _split(text: str, slug: str) -> tuple[str, str | None]:
    """Host and port text of ``host:port`` in its forms; the port None where there is none."""
    if text.startswith("["):
        match = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text, re.DOTALL)
        if not match or ":" not in match.group(1):
            raise InputError(slug, value=shown(text), why="brackets hold an IPv6 address")
        return match.group(1), match.group(2)
    if text.count(":") > 1:
        # user@fd95::1:22 would silently be the address fd95::1:22: only what cannot be read as
        # address and port together is taken without brackets.
        raise InputError(slug, value=shown(text), why="an IPv6 address goes into [brackets]")
    host, colon, port = text.partition(":")
    return host, port if colon else None


def canonical(host: str) -> str:
    """``host`` as ssh itself looks for it in a known_hosts file."""
    return str(ipaddress.IPv6Address(host)) if ":" in host else host.lower()


def host_reason(host: str) -> str:
    """Why ``host`` is no host, or ""."""
    if not host:
        return "it names no host"
    reason = control_character(host)
    if reason:
        return reason
    if host.startswith("-"):
        return "a host cannot begin with '-'"
    if ":" in host:
        return _ipv6_reason(host)
    if re.fullmatch(r"[0-9.]+", host):
        return "" if _IPV4.fullmatch(host) else f"{shown(host)} is not an IPv4 address"
    if not host.isascii():
        return "a host name outside ASCII goes in its xn-- form"
    if len(host) > 253 or not _NAME.fullmatch(host):
        return f"{shown(host)} is not a host name"
    return ""


def _ipv6_reason(host: str) -> str:
    """Why ``host`` is no IPv6 address in hexadecimal groups, or ""."""
    try:
        number = int(ipaddress.IPv6Address(host))
    except ValueError:
        return f"{shown(host)} is not an IPv6 address"
    if not re.fullmatch(r"[0-9A-Fa-f:]+", host):
        return "an IPv6 address is written in hexadecimal groups only"
    # ::ffff:1.2.3.4 and ::1.2.3.4, which every program writes in another way.
    if number >> 32 == 0xFFFF or 0xFFFF < number <= 0xFFFFFFFF:
        return "that is an IPv4 address, which goes without brackets"
    return ""


def _user_reason(user: str) -> str:
    if not user:
        return "there is no user before the '@'"
    if user.startswith("-"):
        return "a user cannot begin with '-'"
    return control_character(user) or f"{shown(user)} is not a user name"
