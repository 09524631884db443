"""What a tunnel forwards."""

from __future__ import annotations

from dataclasses import dataclass

from scitex_ssh.model.destination import Address
from scitex_ssh.model.port import Port

SSH_TARGET = Address("localhost", Port(22))


@dataclass(frozen=True)
class Forward:
    """A remote forward (RFC 4254, 7.1): the bastion's ``localhost:listen`` leads to ``target``.

    ``target`` is dialled from this machine. The listening address is always the word
    ``localhost``: sshd compares it with permitlisten as a string.
    """

    listen: Port
    target: Address = SSH_TARGET
