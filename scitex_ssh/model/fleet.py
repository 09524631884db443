"""Which host of a fleet has which port of its bastion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from scitex_ssh.errors import InputError
from scitex_ssh.model.host import LONGEST, HostName
from scitex_ssh.model.port import Port

FIRST, COUNT = 20000, 10000


@dataclass(frozen=True)
class Wish:
    """A tunnel that a host wants: what it leads to, and the port if one was said."""

    target: str = "localhost:22"
    port: Port | None = None


def host_name(inventory_name: str) -> HostName:
    """What the bastion calls a host of an inventory: its name, in the letters that an account may have."""
    plain = re.sub(r"[^a-z0-9]+", "-", inventory_name.lower()).strip("-")
    if not plain or len(plain) > LONGEST:
        digest = sha256(inventory_name.encode()).hexdigest()[:6]
        plain = f"{plain[: LONGEST - 7].strip('-') or 'host'}-{digest}"
    return HostName(plain)


def cksum(text: str) -> int:
    """The sum that cksum(1) prints, as the bastion's own program chooses ports by it."""
    data = text.encode()
    length, tail = len(data), b""
    while length:
        tail += bytes([length & 255])
        length >>= 8
    crc = 0
    for byte in data + tail:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 0x80000000 else 0)
    return crc ^ 0xFFFFFFFF


def allocate(
    wishes: Mapping[str, Sequence[Wish]], recorded: Mapping[str, Iterable[int]]
) -> tuple[dict[str, list[Port]], list[InputError]]:
    """A port for every tunnel of one bastion's hosts, and every clash.

    Explicit ports win; then a host keeps what the bastion has on record for it, so that nobody's port moves
    because others come or go; only what is left is chosen, by the host's name. The order of the hosts is of
    no importance, and two runs that know the same record choose the same.
    """
    errors: list[InputError] = []
    owner: dict[int, str] = {}
    for name in sorted(wishes):
        for wish in wishes[name]:
            if wish.port is None:
                continue
            other = owner.setdefault(wish.port, name)
            if other != name:
                errors.append(InputError("port-clash", port=wish.port, name=name, other=other))
    for name in sorted(recorded):
        for port in recorded[name]:
            other = owner.setdefault(port, name)
            if other != name:
                errors.append(InputError("port-clash", port=port, name=other, other=name))
    ports = {
        name: _of_host(name, wishes[name], list(recorded.get(name, ())), owner) for name in sorted(wishes)
    }
    return ports, errors


def _of_host(name: str, wishes: Sequence[Wish], had: list[int], owner: dict[int, str]) -> list[Port]:
    """The ports of one host's tunnels, in their order."""
    given = {wish.port for wish in wishes}
    free = [port for port in had if port not in given]
    chosen: dict[int, Port] = {}
    # A tunnel whose own number is on record has it, whatever the order of the list.
    for index, wish in enumerate(wishes):
        first = _first(name, wish)
        if wish.port is None and first in free:
            free.remove(first)
            chosen[index] = Port(first)
    for index, wish in enumerate(wishes):
        if wish.port is not None:
            chosen[index] = wish.port
        elif index not in chosen:
            chosen[index] = Port(free.pop(0)) if free else _next(_first(name, wish), owner)
            owner[chosen[index]] = name
    return [chosen[index] for index in range(len(wishes))]


def _first(name: str, wish: Wish) -> int:
    """The number that a tunnel has if nobody else has it: for sshd's the one that a bastion chooses."""
    text = name if wish.target == "localhost:22" else f"{name} {wish.target}"
    return FIRST + cksum(text) % COUNT


def _next(port: int, owner: Mapping[int, str]) -> Port:
    for step in range(COUNT):
        candidate = FIRST + (port - FIRST + step) % COUNT
        if candidate not in owner:
            return Port(candidate)
    raise InputError("port-clash", port=port, name="a host", other=f"{COUNT} others")
