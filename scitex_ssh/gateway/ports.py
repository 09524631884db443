"""Which ports a gateway may give out."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scitex_ssh.errors import error
from scitex_ssh.model.port import HIGHEST, PRIVILEGED

FIRST = 20000
LAST = 32767
_SYSCTL = Path("/proc/sys/net/ipv4")


@dataclass(frozen=True)
class Pool:
    """The ports from ``first`` to ``last`` without those in ``ephemeral``.

    An ephemeral port is one that the kernel gives to any outgoing connection: a listener there comes back
    after a restart only with luck, and a dial of it from the same machine can reach itself.
    """

    first: int
    last: int
    ephemeral: range = range(32768, 61000)
    reserved: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not PRIVILEGED <= self.first <= self.last <= HIGHEST:
            why = f"{self.first}-{self.last} is no range of ports from {PRIVILEGED} to {HIGHEST}"
            raise error("gateway-settings", name="the range of ports", why=why)
        if not any(True for _ in self):
            why = f"all of {self.first}-{self.last} is in the ephemeral range of this machine"
            raise error("gateway-settings", name="the range of ports", why=why)

    @classmethod
    def here(cls, first: int, last: int, sysctl: Path = _SYSCTL) -> Pool:
        """The pool for this machine, whose kernel tells its ephemeral range."""
        try:
            low, high = map(int, (sysctl / "ip_local_port_range").read_text().split())
            words = (sysctl / "ip_local_reserved_ports").read_text().strip()
        except (OSError, ValueError):
            return cls(first, last)
        return cls(first, last, range(low, high + 1), frozenset(_numbers(words)))

    def __iter__(self) -> Iterator[int]:
        return (port for port in range(self.first, self.last + 1) if port in self)

    def __contains__(self, port: object) -> bool:
        if not isinstance(port, int) or not self.first <= port <= self.last:
            return False
        return port not in self.ephemeral or port in self.reserved

    def __str__(self) -> str:
        reserved = hash(self.reserved) if self.reserved else 0
        return f"{self.first}-{self.last} without {self.ephemeral.start}-{self.ephemeral.stop - 1} {reserved}"


Busy = Callable[[int], bool]


def busy(port: int) -> bool:
    """Whether any process of this machine holds the port, on whatever address.

    It is bound and let go at once; nothing listens in between, so nobody can connect to it by mistake.
    """
    # A socket of IPv6 that is not for IPv6 only stands for both families.
    for family, wildcard in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # Connections that have ended (TIME_WAIT) are no reason; a listener still is one.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                probe.bind((wildcard, port))
                return False
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                return True
            # No IPv6 here, say: nobody can hold the port there.
    return False


def _numbers(words: str) -> Iterator[int]:
    """The numbers of ``8080,9000-9002``."""
    for word in filter(None, words.split(",")):
        low, _, high = word.partition("-")
        yield from range(int(low), int(high or low) + 1)
