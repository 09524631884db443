"""What the gateway knows of one machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from scitex_ssh.errors import InputError
from scitex_ssh.model.text import shown

STATES = ("pending", "active", "expired", "revoked")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)


class MachineName(str):
    """The name or the id of a machine: safe in a file, a URL and a comment of authorized_keys."""

    __slots__ = ()

    def __new__(cls, value: object) -> MachineName:
        if not isinstance(value, str):
            raise InputError("bad-machine", value=shown(value), why="it is not text")
        if not _NAME.fullmatch(value):
            why = "it is empty" if not value else "it is too long, or holds another character"
            raise InputError("bad-machine", value=shown(value), why=why)
        return super().__new__(cls, value)


@dataclass(frozen=True)
class Machine:
    """One machine. A value: what was so when it was read.

    Attributes:
        id: never changes.
        state: one of `STATES`.
        bastion: the name of the bastion that holds its tunnel.
        port: the bastion's port that is its own, while it is active.
        bind: the address of the bastion on which its key may listen.
        public_key: the key of its tunnel.
        owner: who vouched for it: ``token:NAME`` or ``key:HASH``.
        login: the account on the machine itself, for the connect command.
        address: where it called from last.
        expires: when its port and its key's line end, unless it is seen before (seconds since 1970).
        up: when its tunnel was last seen to hold its port.
        dialled, proof: when its port was last dialled, and what answered (see `proofs`).
    """

    id: str
    name: str
    state: str
    bastion: str
    port: int | None
    last_port: int | None
    bind: str
    public_key: str
    fingerprint: str
    owner: str
    host_keys: str
    login: str
    address: str
    created: float
    seen: float
    expires: float
    up: float
    dialled: float
    proof: str

    @classmethod
    def of(cls, row: Any) -> Machine:
        """The machine of a row of the table, or of its columns by their names."""
        fields = getattr(row, "_mapping", row)
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})

    def as_dict(self) -> dict[str, object]:
        """As JSON types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
