"""A fleet: the bastions and the hosts of one inventory, and what has been seen of them in this run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from pyinfra.api import DeployError

from scitex_ssh.errors import InputError
from scitex_ssh.facts.bastion import Bastion, Seen, Standing
from scitex_ssh.facts.tunnels import Program, too_long
from scitex_ssh.fleet_schema import FILLED
from scitex_ssh.model import KeyPath, Port, Tunnel
from scitex_ssh.model.fleet import Wish, allocate, host_name
from scitex_ssh.model.host import HostName
from scitex_ssh.model.text import shown
from scitex_ssh.plan.program import bind
from scitex_ssh.plan.report import Report

KEY = "~/.ssh/scitex-ssh_ed25519"
Given = tuple[dict[str, list[Port]], list[InputError]]


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
        return next((str(each["user"]) for each in self.tunnels if each.get("user")), "")

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
        seen: what was first seen of a host.
        keys: the public half of each host's key.
        told: hosts whose line on a bastion was changed since they were seen.
        logins: how the operator's ssh logs in to a bastion (`scitex_ssh.fleet_client.Login`), or None; ask
            `login`.
        refused: bastions that have something on record which the inventory contradicts.
    """

    bastions: dict[str, Any]
    members: dict[str, Member]
    looks: dict[str, Report] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    logins: dict[str, Any] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    # Whichever greenlet asks first looks, and the others wait for what it saw.
    _looking: Any = field(default_factory=RLock, repr=False)
    _seeing: dict[str, Any] = field(default_factory=dict, repr=False)
    # What the looks at all bastions were when ports were last given, and what came of it.
    _given: dict[str, tuple[list[Report], Given]] = field(default_factory=dict, repr=False)

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
        """What is so of a bastion, seen once unless asked for anew; nothing where it is not reached."""
        with self._looking:
            machine = self.bastions[name]
            if anew or name not in self.looks:
                size, plain = self.size(name), self.plain(name)
                there = machine.connected
                self.looks[name] = machine.get_fact(Bastion, hosts=size, plain=plain) if there else Report()
            return self.looks[name]

    def see(self, member: Member, anew: bool = False) -> Seen:
        """What is so of a host, seen once unless asked for anew; nothing where it is not reached."""
        machine, name = member.machine, str(member.machine.name)
        with self._seeing.setdefault(name, RLock()):
            if anew or name not in self.seen:
                what = {"key": member.key, "user": member.user, "program": self.program(member)}
                self.seen[name] = machine.get_fact(Standing, **what) if machine.connected else Seen()
            if self.seen[name].public:
                self.keys[name] = self.seen[name].public
            return self.seen[name]

    def login(self, name: str, ask: Callable[[Any], Any]) -> Any:
        """How the operator's ssh logs in to a bastion, asked of ssh once."""
        with self._looking:
            if name not in self.logins:
                self.logins[name] = ask(self.bastions[name])
            return self.logins[name]

    def ports(self, name: str) -> dict[str, list[Port]]:
        """The ports of every host of a bastion; `DeployError` with every clash."""
        ports, errors = self._ports(name)
        if errors and name not in self.refused:
            raise DeployError(said(errors))
        return ports

    def _ports(self, name: str) -> Given:
        """Given once for all hosts, and not for each: it goes through all of them."""
        looks = [self.look(each) for each in self.bastions]
        known = self._given.get(name)
        if known is None or any(then is not now for then, now in zip(known[0], looks)):
            recorded = {guest.name: guest.ports for guest in self.look(name).guests}
            wishes: dict[str, tuple[Wish, ...]] = {m.name: m.wishes for m in self.of_bastion(name)}
            given = allocate(wishes, {**self._brought(name, recorded), **recorded})
            known = self._given[name] = (looks, given)
        return known[1]

    def _brought(self, name: str, recorded: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """The ports that hosts bring along from other bastions, where nobody has them here."""
        taken = {port for ports in recorded.values() for port in ports}
        taken |= {wish.port for m in self.of_bastion(name) for wish in m.wishes if wish.port is not None}
        brought = {}
        mine = {m.name for m in self.of_bastion(name)} - set(recorded)
        for guest in (guest for other in self.bastions if other != name for guest in self.look(other).guests):
            if guest.name in mine and not taken & set(guest.ports):
                brought[guest.name] = guest.ports
                taken |= set(guest.ports)
        return brought

    def program(self, member: Member, word: str = "setup") -> Program | None:
        """The program for a host's tunnels; None while its bastion has not told its host keys."""
        if member.bastion in self.refused or not self.look(member.bastion).host_keys:
            return None
        return Program(word, self.bindings(member), ("--yes",))

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
    """The fleet of an inventory; `DeployError` with everything in its data that cannot be right."""
    fleet, errors = examine(inventory)
    if errors:
        raise DeployError(said(errors))
    return fleet


def examine(inventory: Any) -> tuple[Fleet, list[InputError]]:
    """The fleet of an inventory, and everything in its data that cannot be right.

    The group ``bastions`` holds the bastions; all others are hosts.
    """
    machines = {str(machine.name): machine for machine in inventory}
    bastions = {name: machine for name, machine in machines.items() if "bastions" in machine.groups}
    members: dict[str, Member] = {}
    errors: list[InputError] = []
    if not bastions:
        return Fleet({}, {}), [InputError("no-bastion")]
    for name, machine in machines.items():
        if name not in bastions:
            member, wrong = _member(machine, bastions)
            errors += wrong
            if member is not None:
                members[name] = member
    fleet = Fleet(bastions, members)
    return fleet, errors + _clashes(fleet)


def said(errors: list[InputError]) -> str:
    """All errors in one text, a block each."""
    return "the fleet is not as it must be:\n" + "\n".join(str(each) for each in errors)


def _member(machine: Any, bastions: Mapping[str, Any]) -> tuple[Member | None, list[InputError]]:
    """A host, or every error in its data."""
    name = str(machine.name)
    errors: list[InputError] = []
    bastion = str(machine.data.get("bastion") or next(iter(bastions)))
    if bastion not in bastions:
        errors.append(InputError("not-a-bastion", where=f"{name}: bastion", value=ascii(bastion)))
    named = machine.data.get("host_name")
    tunnels = machine.data.get("tunnels")
    tunnels = [{}] if tunnels is None else tunnels
    # Anything but a list is one bad tunnel, and reported as such.
    tunnels = list(tunnels) if isinstance(tunnels, (list, tuple)) else [tunnels]
    probes: list[Tunnel] = []
    for index, each in enumerate(tunnels):
        probe = {"port": 1024, **each, "bastion": "t@b", "key": KEY} if isinstance(each, dict) else each
        errors += _filled(each, f"{name}: tunnels[{index}]")
        described, wrong = Tunnel.from_mapping(probe, f"{name}: tunnels[{index}]")
        probes += described
        errors += wrong
    long = too_long(f"{name}: tunnels", probes)
    errors += [] if long is None else [long]
    key = machine.data.get("key") or KEY
    for field_, kind, value in (("host_name", HostName, named), ("key", KeyPath, key)):
        try:
            value is None or kind(value)
        except InputError as problem:
            errors.append(InputError(problem.slug, where=f"{name}: {field_}", **problem.facts))
    if errors:
        return None, errors
    called = HostName(named) if named else host_name(name)
    return Member(machine, called, bastion, tuple(tunnels), str(key)), []


def _filled(tunnel: object, where: str) -> list[InputError]:
    """An error for each field that is the host's to say: it would be passed over."""
    given = tunnel if isinstance(tunnel, dict) else {}
    why = "all tunnels of a host have that of the host, so say it there"
    facts = [{"where": f"{where}.{each}", "value": shown(given[each])} for each in FILLED if each in given]
    return [InputError("bad-fleet-field", why=why, **each) for each in facts]


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
