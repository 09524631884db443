"""What a connection passes on its way to the bastion."""

from __future__ import annotations

from dataclasses import dataclass

from scitex_ssh.errors import InputError
from scitex_ssh.model.destination import Address, Destination
from scitex_ssh.model.text import shown

# Each hop adds its own waiting; a longer chain is a mistake.
MOST_JUMPS = 8
PROXIES = ("http", "socks5")


@dataclass(frozen=True)
class Proxy:
    """A proxy that the first connection goes through: HTTP CONNECT, or SOCKS 5."""

    kind: str
    address: Address

    @classmethod
    def parse(cls, text: object) -> Proxy:
        """Read ``http://host:port`` or ``socks5://host:port``; `InputError` ``bad-proxy``."""
        if not isinstance(text, str):
            raise InputError("bad-proxy", value=shown(text), why="it is not text")
        kind, slashes, rest = text.partition("://")
        if not slashes or kind not in PROXIES:
            raise InputError(
                "bad-proxy", value=shown(text), why="it begins with neither http:// nor socks5://"
            )
        if "@" in rest:
            # On the command line of the program that speaks to the proxy, everybody here would read it.
            raise InputError("bad-proxy", value="what was given", why="it holds a name or a password")
        return cls(kind, Address.parse(rest, slug="bad-proxy", default_port=None))

    def __str__(self) -> str:
        return f"{self.kind}://{self.address}"


def read_jumps(value: object) -> tuple[Destination, ...]:
    """The hosts of ``-J a,b`` (or of a list), the nearest first; `InputError` ``bad-jump``."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple)):
        raise InputError("bad-jump", value=shown(value), why="it is not text")
    if len(value) > MOST_JUMPS:
        raise InputError(
            "bad-jump", value=shown(str(value[MOST_JUMPS])), why=f"there are {MOST_JUMPS} before it"
        )
    return tuple(Destination.parse(each, slug="bad-jump") for each in value)
