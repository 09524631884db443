"""A host as a person calls it: a ``Host`` block of ssh_config, or ``user@host:port``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scitex_ssh.errors import InputError
from scitex_ssh.model.destination import Destination
from scitex_ssh.model.port import Port
from scitex_ssh.model.text import shown


@dataclass(frozen=True)
class Host:
    """Where ssh is to go. What is not said (None) is left to ssh's own configuration.

    Attributes:
        name: a ``Host`` alias, a host name or an address (IPv6 without brackets), as it was written:
            ssh compares aliases letter by letter.
    """

    name: str
    user: str | None = None
    port: Port | None = None

    @classmethod
    def parse(cls, text: object) -> Host:
        """Read ``alias``, ``[user@]host[:port]`` or ``[user@][IPv6][:port]``; `InputError`."""
        try:
            checked = Destination.parse(text)
        except InputError as problem:
            raise InputError(
                "bad-ssh-host",
                value=shown(text),
                why=problem.facts.get("why", "its port is no port"),
            ) from None
        assert isinstance(text, str)
        user, _, rest = text.rpartition("@")
        said = re.fullmatch(r"\[.*\](:\d+)?|([^:]*)(:\d+)?", rest)
        port = said and (said[1] or said[3])
        name = checked.host if rest.startswith("[") else rest.partition(":")[0]
        return cls(name, user or None, Port(port[1:]) if port else None)

    @classmethod
    def parse_jumps(cls, text: str | None) -> tuple[Host, ...]:
        """The hosts of ``-J a,b``, in the order in which they are passed."""
        return tuple(cls.parse(each) for each in text.split(",")) if text else ()

    @property
    def arguments(self) -> list[str]:
        """The words that take ssh there; the last is the host."""
        return [
            *(["-l", self.user] if self.user else []),
            *(["-p", str(self.port)] if self.port else []),
            "--",
            self.name,
        ]

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return (f"{self.user}@" if self.user else "") + name + (f":{self.port}" if self.port else "")
