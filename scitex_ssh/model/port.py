"""A TCP port number."""

from __future__ import annotations

import re

from scitex_ssh.errors import InputError
from scitex_ssh.model.text import shown

HIGHEST = 65535
PRIVILEGED = 1024


class Port(int):
    """A TCP port from 1 to 65535.

    Takes an int or the decimal digits of one. What ssh would take but means something else (``+22``,
    ``022``, ``0x16``, ``ssh``, 0) is refused: `InputError` ``bad-port``.
    """

    def __new__(cls, value: object, what: str = "the tunnel") -> Port:
        if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,4}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= HIGHEST:
            raise InputError("bad-port", value=shown(value), what=what)
        return super().__new__(cls, value)

    @property
    def is_privileged(self) -> bool:
        """True below 1024, where only root may listen."""
        return self < PRIVILEGED
