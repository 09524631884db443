"""The steps of a fleet, each for its bastions or its hosts; `scitex_ssh.deploys.fleet` puts them in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path

from pyinfra import host, inventory, logger, state
from pyinfra.api import DeployError, FunctionCommand, Host, QuoteString, StringCommand, operation

from scitex_ssh import client_files
from scitex_ssh import fleet as fleets
from scitex_ssh import fleet_client as clients
from scitex_ssh.errors import error
from scitex_ssh.facts.bastion import BastionDrift, Gate, TunnelKey, in_turn, key_command
from scitex_ssh.facts.tunnels import Program
from scitex_ssh.model import Port
from scitex_ssh.operations.bastion import converge as gate_converge
from scitex_ssh.operations.bastion import host_flags, show
from scitex_ssh.operations.lasting import Lasting, returned
from scitex_ssh.operations.tunnel import converge, show_drift
from scitex_ssh.plan.program import which
from scitex_ssh.plan.report import Guest

Commands = Generator[StringCommand | FunctionCommand, None, None]

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
    returned(host)
    look = fleet.look(name, anew=state.is_executing)
    try:
        fleet.ports(name)
    except DeployError as problem:
        if not state.is_executing:
            raise
        # Said by a command, since an error here would end the run for all.
        fleet.refused.add(name)
        yield StringCommand("printf", "'%s\\n'", QuoteString(str(problem)), ">&2; exit 2")
        return
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
    """Make a host's key on that host, where it has none. Only the public half leaves it.

    The one look tells what is due of its tunnels, too.
    """
    fleet, name = current(), str(host.name)
    member = fleet.members[name]
    returned(host)
    # Without executing, whichever asks first has looked for all.
    if fleet.see(member, anew=state.is_executing).public:
        host.noop("the host has its key")
        return
    if not state.is_executing:
        logger.info(f"{host.print_prefix}would-change: key {member.key}")
    yield key_command("make", member.key, member.user, f"scitex-ssh-{member.name}")
    fleet.keys[name] = host.get_fact(TunnelKey, key=member.key, user=member.user)
    fleet.told.add(name)


@operation()
def hosts_authorized(beside: bool = False) -> Commands:
    """Let every host that has a key hold its ports of this bastion, and do nothing else.

    + beside: what each has now stays as well
    """
    fleet, name = current(), str(host.name)
    returned(host)
    ports, keep = fleet.ports(name), beside or bool(host.data.get("bastion_keep"))
    recorded = {guest.name: guest for guest in fleet.look(name).guests}
    due: list[Mapping[str, object]] = []
    for member in fleet.of_bastion(name):
        key, wanted = fleet.keys.get(str(member.machine.name)), ports[member.name]
        known = recorded.get(member.name)
        # A host that is down may be one of years: what it has, stays.
        if not _left(member) or not wanted:
            continue
        if not state.is_executing:
            fleet.see(member)
            key = fleet.keys.get(str(member.machine.name))
        if key is not None and known is not None and _holds(known, wanted, key, keep):
            continue
        due.append({"name": member.name, "ports": wanted, "key": key})
        if not state.is_executing:
            logger.info(f"{host.print_prefix}would-change: {member.name} may hold {_list(wanted)}")
    due = [each for each in due if each["key"] is not None or not state.is_executing]
    if not due:
        host.noop("every host has its line")
        return
    more = [*(["--keep"] if keep else []), *(["--plain"] if fleet.plain(name) else [])]
    for flags in in_turn(host_flags([each]) for each in due):
        yield Gate("authorize", (*flags, *more)).command()
    names = {each["name"] for each in due}
    fleet.told |= {str(m.machine.name) for m in fleet.of_bastion(name) if m.name in names}
    fleet.look(name, anew=True)


@operation()
def tunnels_present() -> Commands:
    """Keep the host's tunnels, proven, with the bastion's host keys as the bastion itself has them."""
    fleet, name = current(), str(host.name)
    member = fleet.members[name]
    program = fleet.program(member)
    if program is None and state.is_executing:
        yield _unasked(member)
        return
    if not state.is_executing and (program is None or name not in fleet.keys):
        for port in fleet.ports(member.bastion)[member.name]:
            logger.info(f"{host.print_prefix}would-change: tunnel on port {port} of {member.bastion}")
        yield StringCommand("true")
        return
    assert program is not None
    returned(host)
    drift = fleet.seen[name].drift
    # What was seen before the bastion was told is of no use; the program finds out what is due by itself.
    if not state.is_executing or name not in fleet.told:
        if drift.events and not drift.errors and not drift.changed:
            host.noop("every tunnel is as wanted, and proven")
            return
        if not state.is_executing:
            show_drift(drift)
    yield Lasting(program.command()).by_turns(_ways(fleet, member))
    fleet.told.discard(name)


@operation()
def reachable() -> Commands:
    """Have the operator's own ssh reach the host by its name, through its tunnel, its host keys pinned."""
    fleet, name = current(), str(host.name)
    member = fleet.members[name]
    due = clients.files(fleet, member, fleet.seen[name].user)
    if not due:
        host.noop("ssh knows the way")
        return
    if not state.is_executing:
        logger.info(
            f"{host.print_prefix}would-change: ssh {member.name}, in {clients.FOLDER} on this machine"
        )
    yield FunctionCommand(write, (due,), {})


@operation()
def forgotten() -> Commands:
    """Have the operator's own ssh forget the host."""
    member = current().members[str(host.name)]
    due = clients.forgotten([member.name])
    if not due:
        host.noop("ssh knows nothing of it")
        return
    yield FunctionCommand(write, (due,), {})


@operation()
def tunnels_absent() -> Commands:
    """Remove the host's tunnels; its key stays with it."""
    fleet = current()
    member = fleet.members[str(host.name)]
    ports = fleet.ports(member.bastion)[member.name]
    yield from converge(Program("remove", tuple(which(port) for port in ports)))


@operation()
def former_absent() -> Commands:
    """Remove the tunnels that a host had by another bastion on ports that are not its own here."""
    fleet = current()
    member = fleet.members[str(host.name)]
    now = set(fleet.ports(member.bastion)[member.name])
    others = (each for name in fleet.bastions if name != member.bastion for each in fleet.look(name).guests)
    former = sorted({port for each in others if each.name == member.name for port in each.ports} - now)
    if not former:
        host.noop("its tunnels have the ports that they had")
        return
    yield from converge(Program("remove", tuple(which(Port(port)) for port in former)))


@operation()
def unwell() -> Commands:
    """Fail the host, whose tunnels have been shown not to be verified."""
    yield StringCommand("exit 50")


@operation()
def revoked(moved: bool = False) -> Commands:
    """Take the hosts' keys away from this bastion, end their sessions, and see their ports free.

    + moved: only of those that have another bastion now, and a proven tunnel there
    """
    fleet, name = current(), str(host.name)
    plain = ["--plain"] if fleet.plain(name) else []
    known = {guest.name for guest in fleet.look(name).guests}
    members = [m for m in fleet.members.values() if m.name in known and (m.bastion != name or not moved)]
    gone = [m.name for m in members if _left(m) or not state.is_executing]
    if not gone:
        host.noop("nobody is to be revoked")
        return
    if not state.is_executing:
        logger.info(f"{host.print_prefix}would-change: no key, session or port of {', '.join(sorted(gone))}")
    for flags in in_turn([f"--name={each}"] for each in sorted(gone)):
        yield Lasting(Gate("revoke", (*flags, *plain)).command())


@operation()
def key_next() -> Commands:
    """Make a new key on a host, beside the one that it has."""
    fleet, name = current(), str(host.name)
    member = fleet.members[name]
    returned(host)
    fleet.see(member, anew=state.is_executing)
    if not state.is_executing:
        logger.info(f"{host.print_prefix}would-change: a new key beside {member.key}")
    yield key_command("next", member.key, member.user, f"scitex-ssh-{member.name}")
    fleet.keys[name] = host.get_fact(TunnelKey, key=f"{member.key}.next", user=member.user)


@operation()
def key_taken() -> Commands:
    """Put the new key into the place of the old one, and prove the tunnels with it; or go back."""
    fleet, name = current(), str(host.name)
    member = fleet.members[name]
    program = fleet.program(member)
    returned(host)
    if not state.is_executing:
        logger.info(f"{host.print_prefix}would-change: key {member.key}, and its tunnels proven with it")
    if program is None:
        yield _unasked(member)
        return
    take, back, drop = (key_command(word, member.key, member.user) for word in ("take", "back", "drop"))
    # Once, since a command has a greatest length.
    setup = StringCommand("stand()", "{", program.command(), ";", "}", ";")
    # Either key is let in now, so the way back is a way that stands.
    ways = _ways(fleet, member)
    yield Lasting(setup, take, "&&", "stand", "||", "{", back, ";", "stand", ";", "false", ";", "}").by_turns(
        ways
    )
    yield Lasting(drop)


@operation()
def host_keys_next() -> Commands:
    """Make new host keys beside those of the machine; nobody is shown them yet."""
    returned(host)
    gate = Gate("next-host-keys")
    if _is_roots(gate):
        host.noop("its host keys are root's, and this login is not")
        return
    yield from gate_converge(gate, "new host keys are there already")


@operation()
def host_keys_taken() -> Commands:
    """Have sshd show the new host keys, once everybody who goes by the old ones knows them too."""
    fleet, name = current(), str(host.name)
    returned(host)
    late = [m.name for m in fleet.of_bastion(name) if not _left(m)] if name in fleet.bastions else []
    if late and state.is_executing:
        words = f"scitex-ssh: not told of the new host keys, so the old ones stay: {', '.join(late)}"
        yield StringCommand("echo", QuoteString(words), ">&2; exit 1")
        return
    gate = Gate("take-host-keys")
    if _is_roots(gate):
        host.noop("its host keys are root's, and this login is not")
        return
    before = set(_host_keys(fleet, name))
    yield from gate_converge(gate, "there are no new host keys")
    if state.is_executing:
        _look_again(fleet, name)
        due = clients.replaced(host, before, set(_host_keys(fleet, name)))
        if due:
            yield FunctionCommand(write, (due,), {})


def _is_roots(gate: Gate) -> bool:
    slugs = {each.slug for each in host.get_fact(BastionDrift, gate=gate).errors}
    return bool(slugs & {"script-unreadable", "sudo-missing", "sudo-denied"})


def _host_keys(fleet: fleets.Fleet, name: str) -> Iterable[str]:
    return fleet.look(name).host_keys if name in fleet.bastions else fleet.seen[name].host_keys


def _look_again(fleet: fleets.Fleet, name: str) -> None:
    if name in fleet.bastions:
        fleet.look(name, anew=True)
    else:
        fleet.see(fleet.members[name], anew=True)


def write(state: object, host: Host, files: Mapping[Path, str | None]) -> bool:
    """Write these files on the operator's machine; those of None go. pyinfra calls it for a host."""
    try:
        for path, text in files.items():
            if text is None:
                path.unlink(missing_ok=True)
            else:
                client_files.put(path, text)
    except OSError as problem:
        why = (problem.strerror or str(problem)).lower()
        logger.error(f"{host.print_prefix}{error('file-failed', path=problem.filename, why=why)}")
        return False
    return True


def _unasked(member: fleets.Member) -> StringCommand:
    # Said by a command, since an error here would end the run for all.
    words = f"scitex-ssh: the bastion {member.bastion} could not be asked."
    return StringCommand("echo", QuoteString(words), ">&2; exit 20")


def _ways(fleet: fleets.Fleet, member: fleets.Member) -> Callable[[int], object]:
    """The way to a host that its tunnel will be, and the one that it was, by turns: either may stand now."""
    if member.machine.data.get("client_config") is False:
        return lambda number: None
    due: dict[Path, str | None] = {**clients.files(fleet, member, fleet.seen[str(host.name)].user)}
    former = {path: client_files.read(path) if path.exists() else None for path in due}
    machine = member.machine
    return lambda number: write(None, machine, former if number % 2 else due)


def _holds(known: Guest, ports: Iterable[int], key: str, keep: bool) -> bool:
    """Whether a bastion lets a host in by this key to these ports, and to no others unless they are kept."""
    blob = " ".join(key.split()[:2])
    if keep:
        return blob in known.keys and set(ports) <= set(known.ports)
    return known.ports == tuple(ports) and known.keys == (blob,)


def _left(member: fleets.Member) -> bool:
    """Whether a host went through all that came before."""
    return member.machine.connected and member.machine not in state.failed_hosts


def _list(ports: Iterable[int]) -> str:
    return "port " + ", ".join(map(str, ports))
