"""A fleet: the bastions and the hosts of one inventory, and what has been seen of them in this run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api import DeployError

from scitex_ssh.errors import InputError
from scitex_ssh.facts.bastion import Bastion
from scitex_ssh.model import Port, Tunnel
from scitex_ssh.model.fleet import Wish, allocate, host_name
from scitex_ssh.model.host import HostName
from scitex_ssh.plan.program import bind
from scitex_ssh.plan.report import Report

KEY = "~/.ssh/scitex-ssh_ed25519"
# The fields of a tunnel that a fleet fills in.
FILLED = {"bastion"}


@dataclass(frozen=True)
class Member:
    """A host of the fleet.

    Attributes:
        machine: pyinfra's host.
        name: what its bastion calls it.
        bastion: the bastion's name in the inventory.
        tunnels: what its tunnels were said to be, without bastion.
        key: the path of its key, on it.
    """

    machine: Any
    name: HostName
    bastion: str
    tunnels: tuple[Mapping[str, object], ...]
    key: str

    @property
    def user(self) -> str:
        """The account that keeps its tunnels; "" for whoever logs in."""
        return str(self.tunnels[0].get("user") or "")

    @property
    def wishes(self) -> tuple[Wish, ...]:
        """What it wants of its bastion."""
        return tuple(_wish(each) for each in self.tunnels)


@dataclass
class Fleet:
    """What the data say, and what was seen.

    Attributes:
        bastions: pyinfra's host of each bastion, by its name in the inventory.
        members: the hosts, by theirs.
        looks: what was last seen of a bastion.
        keys: the public half of each host's key.
    """

    bastions: dict[str, Any]
    members: dict[str, Member]
    looks: dict[str, Report] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def of_bastion(self, name: str) -> list[Member]:
        """The hosts of one bastion, by name."""
        return sorted((m for m in self.members.values() if m.bastion == name), key=lambda m: m.name)

    def plain(self, name: str) -> bool:
        """True where the login on the bastion is an account without root."""
        return bool(self.bastions[name].data.get("bastion_plain"))

    def size(self, name: str) -> int:
        """How many hosts its sshd is to be ready for."""
        return max(int(self.bastions[name].data.get("bastion_hosts") or 100), len(self.of_bastion(name)))

    def look(self, name: str, anew: bool = False) -> Report:
        """What is so of a bastion, seen once unless asked for anew."""
        if anew or name not in self.looks:
            machine = self.bastions[name]
            self.looks[name] = machine.get_fact(Bastion, hosts=self.size(name), plain=self.plain(name))
        return self.looks[name]

    def ports(self, name: str) -> dict[str, list[Port]]:
        """The ports of every host of a bastion; `DeployError` with every clash."""
        recorded = {guest.name: guest.ports for guest in self.look(name).guests}
        ports, errors = allocate({m.name: m.wishes for m in self.of_bastion(name)}, recorded)
        if errors:
            raise DeployError(said(errors))
        return ports

    def bindings(self, member: Member) -> tuple[dict[str, str], ...]:
        """The host's tunnels, as its program is told them, the bastion's host keys among it."""
        ports = self.ports(member.bastion)[member.name]
        keys = "\n".join(sorted(self.look(member.bastion).host_keys))
        tunnels = [self._tunnel(member, each, port) for each, port in zip(member.tunnels, ports)]
        return tuple({**bind(tunnel), "host_keys": keys} for tunnel in tunnels)

    def _tunnel(self, member: Member, data: Mapping[str, object], port: Port) -> Tunnel:
        machine = self.bastions[member.bastion]
        address = machine.data.get("bastion_address") or machine.data.get("ssh_hostname") or member.bastion
        account = member.name.account
        if self.plain(member.bastion):
            account = str(machine.data.get("ssh_user") or "root")
        data = {**data, "port": port, "bastion": f"{account}@{address}", "key": member.key}
        tunnels, errors = Tunnel.from_mapping(data, str(member.machine.name))
        if errors:
            raise DeployError(said(errors))
        return tunnels[0]


def read(inventory: Any) -> Fleet:
    """The fleet of an inventory; `DeployError` with everything in its data that cannot be right.

    The group ``bastions`` holds the bastions; all others are hosts.
    """
    machines = {str(machine.name): machine for machine in inventory}
    bastions = {name: machine for name, machine in machines.items() if "bastions" in machine.groups}
    members, errors = {}, []
    if not bastions:
        raise DeployError(str(InputError("no-bastion")))
    for name, machine in machines.items():
        if name in bastions:
            continue
        try:
            members[name] = _member(machine, bastions)
        except InputError as problem:
            errors.append(problem)
    fleet = Fleet(bastions, members)
    errors += _clashes(fleet)
    if errors:
        raise DeployError(said(errors))
    return fleet


def said(errors: list[InputError]) -> str:
    """All errors in one text, a block each."""
    return "the fleet is not as it must be:\n" + "\n".join(str(each) for each in errors)


def _member(machine: Any, bastions: Mapping[str, Any]) -> Member:
    name = str(machine.name)
    bastion = str(machine.data.get("bastion") or next(iter(bastions)))
    if bastion not in bastions:
        raise InputError("not-a-bastion", where=f"{name}: bastion", value=ascii(bastion))
    called = machine.data.get("host_name")
    tunnels = machine.data.get("tunnels")
    tunnels = [{}] if tunnels is None else tunnels
    for index, each in enumerate(tunnels):
        probe = {"port": 1024, **each, "bastion": "t@b", "key": KEY} if isinstance(each, dict) else each
        _, errors = Tunnel.from_mapping(probe, f"{name}: tunnels[{index}]")
        if errors:
            raise errors[0]
    key = str(machine.data.get("key") or KEY)
    return Member(machine, HostName(called) if called else host_name(name), bastion, tuple(tunnels), key)


def _clashes(fleet: Fleet) -> list[InputError]:
    """What no bastion has to be asked for: two hosts of one name, two of one port."""
    errors: list[InputError] = []
    for bastion in fleet.bastions:
        seen: dict[str, str] = {}
        for member in fleet.of_bastion(bastion):
            other = seen.setdefault(member.name, str(member.machine.name))
            if other != str(member.machine.name):
                errors.append(
                    InputError("name-clash", name=member.name, one=other, other=member.machine.name)
                )
        errors += allocate({m.name: m.wishes for m in fleet.of_bastion(bastion)}, {})[1]
    return errors


def _wish(data: Mapping[str, object]) -> Wish:
    port = data.get("port")
    return Wish(str(data.get("target") or "localhost:22"), None if port is None else Port(port))
