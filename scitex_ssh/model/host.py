"""What a bastion calls a host."""

from __future__ import annotations

import re

from scitex_ssh.errors import InputError
from scitex_ssh.model.text import shown

LONGEST = 28


class HostName(str):
    """A host's name on a bastion: part of an account's name there, so it is short and plain."""

    __slots__ = ()

    def __new__(cls, value: object) -> HostName:
        if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value):
            raise InputError("bad-host", value=shown(value), why="it holds something else")
        if len(value) > LONGEST:
            raise InputError("bad-host", value=shown(value), why="it is longer")
        return super().__new__(cls, value)

    @property
    def account(self) -> str:
        """The account that the host logs in as, on a bastion of ours."""
        return f"t-{self}"
