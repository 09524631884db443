"""How soon a silent connection is given up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scitex_ssh.errors import InputError
from scitex_ssh.model.text import shown

_LONGEST = 3600
_MOST = 100


@dataclass(frozen=True)
class Keepalive:
    """ServerAliveInterval (seconds), ServerAliveCountMax and ConnectTimeout (seconds) of ssh_config(5).

    By ssh's own clock a dead connection is ended at the latest ``interval * (count + 1)`` seconds after
    the last packet (not ``interval * count``, as its manual says). The supervisor is sooner where the
    session on the bastion answers it (keepers/run.sh).
    """

    interval: int
    count: int
    connect_timeout: int = 10

    @property
    def notice_within(self) -> int:
        """Seconds after which a silent connection is ended, at the latest."""
        return self.interval * (self.count + 1)

    @classmethod
    def parse(cls, text: object) -> Keepalive:
        """Read a profile's name or ``INTERVALxCOUNT``; `InputError` ``bad-keepalive``."""
        if isinstance(text, str) and text in PROFILES:
            return PROFILES[text]
        match = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,2})", str(text), re.ASCII)
        if not match:
            raise InputError("bad-keepalive", value=shown(text), why="it is no profile and no IxC")
        interval, count = int(match.group(1)), int(match.group(2))
        if interval > _LONGEST or count > _MOST:
            why = f"at most {_LONGEST} s and {_MOST} probes make sense"
            raise InputError("bad-keepalive", value=shown(text), why=why)
        return cls(interval, count)

    def __str__(self) -> str:
        names = [name for name, profile in PROFILES.items() if profile == self]
        return names[0] if names else f"{self.interval}x{self.count}"


PROFILES = {
    "fast": Keepalive(2, 2, connect_timeout=6),
    "default": Keepalive(5, 2),
    "patient": Keepalive(20, 4, connect_timeout=30),
}
