"""The steps of a fleet, each for its bastions or its hosts; `scitex_ssh.deploys.fleet` puts them in order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping

from pyinfra import host, inventory, logger, state
from pyinfra.api import StringCommand, operation

from scitex_ssh import fleet as fleets
from scitex_ssh.facts.bastion import Gate, TunnelKey, key_command
from scitex_ssh.facts.tunnels import Program
from scitex_ssh.operations.bastion import host_flags, show
from scitex_ssh.operations.tunnel import converge

Commands = Generator[StringCommand, None, None]

_read: dict[int, fleets.Fleet] = {}


def current() -> fleets.Fleet:
    """The fleet of this run's inventory, read once; `DeployError` with everything that is wrong with it."""
    known = id(inventory.hosts)
    if known not in _read:
        _read[known] = fleets.read(inventory)
    return _read[known]


@operation()
def bastion_ready() -> Commands:
    """Set a bastion of the fleet up. One look tells its hosts and its host keys, too."""
    fleet, name = current(), str(host.name)
    look = fleet.look(name, anew=True)
    if not look.changed and not look.errors:
        host.noop("the bastion is set up, and as it was left")
        return
    if not state.is_executing:
        show(look)
    flags = (f"--hosts={fleet.size(name)}", *(("--plain",) if fleet.plain(name) else ()))
    yield Gate("setup", flags).command()
    fleet.look(name, anew=True)


@operation()
def key_present() -> Commands:
    """Make a host's key on that host, where it has none. Only the public half leaves it."""
    fleet = current()
    member = fleet.members[str(host.name)]
    public = host.get_fact(TunnelKey, key=member.key, user=member.user)
    if public:
        fleet.keys[str(host.name)] = public
        host.noop("the host has its key")
        return
    if not state.is_executing:
        logger.info(f"{host.print_prefix}would-change: key {member.key}")
    yield key_command("make", member.key, member.user, f"scitex-ssh-{member.name}")
    fleet.keys[str(host.name)] = host.get_fact(TunnelKey, key=member.key, user=member.user)


@operation()
def hosts_authorized() -> Commands:
    """Let every host that has a key hold its ports of this bastion, and do nothing else."""
    fleet, name = current(), str(host.name)
    ports, keep = fleet.ports(name), bool(host.data.get("bastion_keep"))
    recorded = {guest.name: guest for guest in fleet.look(name).guests}
    due: list[Mapping[str, object]] = []
    for member in fleet.of_bastion(name):
        key = fleet.keys.get(str(member.machine.name))
        if key is None:
            if not state.is_executing:
                logger.info(
                    f"{host.print_prefix}would-change: {member.name} may hold {_list(ports[member.name])}"
                )
                due.append({"name": member.name})
            continue
        known = recorded.get(member.name)
        blob = " ".join(key.split()[:2])
        if known is None or known.ports != tuple(ports[member.name]) or known.keys != (blob,):
            due.append({"name": member.name, "ports": ports[member.name], "key": key})
            if not state.is_executing:
                logger.info(
                    f"{host.print_prefix}would-change: {member.name} may hold {_list(ports[member.name])}"
                )
    if not due:
        host.noop("every host has its line")
        return
    flags = [*host_flags(due), *(["--keep"] if keep else []), *(["--plain"] if fleet.plain(name) else [])]
    yield Gate("authorize", tuple(flags)).command()
    fleet.look(name, anew=True)


@operation()
def tunnels_present() -> Commands:
    """Keep the host's tunnels, proven, with the bastion's host keys as the bastion itself has them."""
    fleet = current()
    member = fleet.members[str(host.name)]
    if state.is_executing and not fleet.look(member.bastion).host_keys:
        # Said by a command, since an error here would end the run for all.
        yield StringCommand(
            f"echo 'scitex-ssh: the bastion {member.bastion} could not be asked.' >&2; exit 20"
        )
        return
    if not state.is_executing and str(host.name) not in fleet.keys:
        for port in fleet.ports(member.bastion)[member.name]:
            logger.info(f"{host.print_prefix}would-change: tunnel on port {port} of {member.bastion}")
        yield StringCommand("true")
        return
    yield from converge(Program("setup", fleet.bindings(member), ("--yes",)))


def _list(ports: Iterable[int]) -> str:
    return "port " + ", ".join(map(str, ports))
