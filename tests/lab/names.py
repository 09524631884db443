"""The names that the hosts of a run know each other by."""

from __future__ import annotations

from threading import Lock
from typing import Protocol

LOCAL = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


class Named(Protocol):
    """What the names need to know of a host."""

    name: str

    @property
    def address(self) -> str:
        """The host's IPv4 address."""

    @property
    def address6(self) -> str:
        """The host's IPv6 address."""

    def learn_names(self, text: str) -> None:
        """Take a new /etc/hosts."""


class Names:
    """The one /etc/hosts of all hosts of a run."""

    def __init__(self) -> None:
        self._hosts: dict[str, Named] = {}
        self._lock = Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._hosts

    def add(self, host: Named) -> None:
        """Tell all hosts of a new one."""
        with self._lock:
            self._hosts[host.name] = host
        self.publish()

    def discard(self, host: Named) -> None:
        """Forget a host."""
        with self._lock:
            self._hosts.pop(host.name, None)
        self.publish()

    def publish(self) -> None:
        """Write /etc/hosts on every host; what a test wrote there is lost."""
        with self._lock:
            # One address a name: a fault then acts on a connection and not on attempts in turn.
            text = LOCAL + "".join(
                f"{host.address} {host.name}\n{host.address6} ip6-{host.name}\n"
                for host in self._hosts.values()
            )
            for host in self._hosts.values():
                host.learn_names(text)
