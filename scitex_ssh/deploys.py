"""Deploys to import, or to name on pyinfra's command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import StringIO

from pyinfra import host, inventory
from pyinfra.api import DeployError, deploy
from pyinfra.operations import apt, files

from scitex_ssh import fleet_client as clients
from scitex_ssh.errors import InputError, SSHError, error
from scitex_ssh.facts.tunnels import Tunnels
from scitex_ssh.fleet import Fleet
from scitex_ssh.model.text import shown
from scitex_ssh.operations import bastion as gate
from scitex_ssh.operations import fleet as steps
from scitex_ssh.operations import gateway as entrance
from scitex_ssh.operations import summary
from scitex_ssh.operations import tunnel as operations


@deploy("Tunnels")
def tunnel() -> None:
    """Keep the tunnels that each host's data lists (``tunnels``), proven; see deploys/tunnel.py.

    Data of the host: ``tunnels`` (a list of mappings: ``port``, ``bastion`` (one, or a list with a tunnel
    to each), ``key``, and if wanted ``target``, ``user``, ``engine``, ``keeper``, ``keepalive``, ``name``,
    ``remote``, ``local``, ``dynamic``, ``remote_socket``, ``jump``, ``jump_key``, ``proxy``),
    ``accept_new_host_key``, ``accept_listening``.
    """
    summary.at_the_end()
    check()
    wanted = host.data.get("tunnels") or []
    if wanted:
        operations.present(
            name="Tunnels stand and are proven",
            tunnels=wanted,
            accept_new_host_key=bool(host.data.get("accept_new_host_key")),
            host_key_fingerprint=host.data.get("host_key_fingerprint"),
            accept_listening=bool(host.data.get("accept_listening")),
        )


@deploy("Remove tunnels")
def remove() -> None:
    """Remove the tunnels that each host's data lists.

    Of an inventory with a group ``bastions``: the fleet's, with all that its bastions and the operator's
    ssh know of the hosts. What can be reached no longer is left as it is, and named. Where a host is reached
    through the tunnel that would go, nothing is touched unless data ``last_way`` is True.
    """
    summary.at_the_end()
    if "bastions" in inventory.groups:
        _remove_fleet(steps.current())
        return
    check()
    names = [each.name for each in operations.read(host.data.get("tunnels") or [], str(host.name))]
    if names:
        operations.absent(name="Tunnels are gone", ports=(), names=names)


def _remove_fleet(known: Fleet) -> None:
    last = sorted(name for name, member in known.members.items() if clients.is_through(member.machine))
    if last and not host.data.get("last_way"):
        raise DeployError(str(error("last-way", names=", ".join(last))))
    if str(host.name) in known.members:
        steps.tunnels_absent(name="Tunnels are gone")
    if str(host.name) in known.bastions:
        steps.revoked(name="The bastion lets none of them in")
    if str(host.name) in known.members:
        steps.forgotten(name="ssh on this machine does not know them")


@deploy("Bastion")
def bastion() -> None:
    """Make each machine of the group ``bastions`` one, without any host yet.

    Data of the bastion: ``bastion_hosts`` (how many there will be, 100), ``bastion_plain`` (an account
    without root).
    """
    summary.at_the_end()
    fleet = steps.current()
    name = str(host.name)
    if name in fleet.bastions:
        gate.ready(name="The bastion is set up", hosts=fleet.size(name), plain=fleet.plain(name))


@deploy("Gateway")
def gateway() -> None:
    """Install the gateway on each machine of the group ``gateways``; see deploys/gateway.py.

    Data of the machine: ``gateway_settings`` (variables and their values), ``gateway_http`` (True),
    ``gateway_package`` (what pip installs, ``scitex-ssh[gateway]``), ``gateway_wheels`` (a folder of this
    machine with all wheels for it, for a bastion that reaches no registry), ``gateway_python`` (a Python that
    has the gateway already; by default an environment is made in /opt/scitex-ssh).
    """
    if str(host.name) not in {str(each.name) for each in inventory.get_group("gateways", [])}:
        return
    python = host.data.get("gateway_python")
    if not python:
        python = "/opt/scitex-ssh/bin/python"
        wheels = host.data.get("gateway_wheels")
        try:
            if wheels:
                entrance.wheels_in(wheels)
        except SSHError as problem:
            raise DeployError(str(problem)) from problem
        if not wheels:
            apt.packages(name="Python can make environments", packages=["python3-venv"])
        package = host.data.get("gateway_package") or "scitex-ssh[gateway]"
        entrance.packaged(name="The gateway is in an environment of its own", package=package, wheels=wheels)
    settings = host.data.get("gateway_settings")
    if settings:
        lines = "".join(f"{variable}={value}\n" for variable, value in settings.items())
        files.directory(name="It has a folder for its settings", path="/etc/scitex-ssh", mode="755")
        files.put(name="Its settings", src=StringIO(lines), dest="/etc/scitex-ssh/gateway.env", mode="640")
    http = host.data.get("gateway_http")
    entrance.installed(name="The gateway runs", python=python, http=http is None or bool(http))


@deploy("Fleet")
def fleet() -> None:
    """Keys, bastion and tunnels of a whole inventory; see deploys/fleet.py.

    The group ``bastions`` holds the bastions, every other machine is a host. Data of a host:
    ``bastion`` (the inventory's name of its bastion, by default the first), ``host_name`` (what the
    bastion calls it), ``tunnels`` (a list of mappings with ``port``, ``target``, ``user``, ``engine``,
    ``keepalive``, ``jump``, ``jump_key``, ``proxy`` and the other words of ``tunnel.present``, all optional;
    by default one tunnel to its sshd), ``key`` (the path of its key). Data
    of a bastion: ``bastion_address`` (how hosts reach it), ``bastion_hosts``, ``bastion_plain``.

    In the end the operator reaches each host as ``ssh NAME``: blocks in ``~/.ssh/scitex-ssh/config``, which
    one line at the top of ``~/.ssh/config`` includes, and the hosts' own keys pinned beside them. Data
    ``client_config`` False leaves the operator's files alone.
    """
    summary.at_the_end()
    known = steps.current()
    if str(host.name) in known.bastions:
        steps.bastion_ready(name="The bastion is set up")
    if str(host.name) in known.members:
        steps.key_present(name="The host has a key of its own")
    if str(host.name) in known.bastions:
        steps.hosts_authorized(name="The bastion lets each host hold its ports")
    if str(host.name) in known.members:
        steps.tunnels_present(name="Tunnels stand and are proven")
        _reachable()


@deploy("Rotate")
def rotate() -> None:
    """New for old in a fleet, the new one proven before the old one goes; see deploys/rotate.py.

    Data ``rotate`` says what: ``keys`` (the default), a new key for each host's tunnels; ``bastion``, for
    hosts whose data name another bastion than before: their tunnels go there, then the former one revokes
    them; ``host_keys``, new host keys for all machines, which everybody who goes by the old ones is told
    before they are shown.
    """
    summary.at_the_end()
    known, name = steps.current(), str(host.name)
    what = host.data.get("rotate") or "keys"
    if what not in ("keys", "bastion", "host_keys"):
        raise DeployError(str(InputError("bad-rotation", where=name, value=shown(what))))
    if what == "bastion":
        fleet()
        if name in known.members:
            steps.former_absent(name="No tunnel is left by the former bastion")
        if name in known.bastions:
            steps.revoked(name="The former bastion lets none of them in", moved=True)
        return
    if what == "host_keys":
        if not (name in known.bastions and known.plain(name)):
            steps.host_keys_next(name="The machine has new host keys, which it does not show yet")
        fleet()
        if not (name in known.bastions and known.plain(name)):
            steps.host_keys_taken(name="The machine shows its new host keys")
        fleet()
        return
    if name in known.bastions:
        steps.bastion_ready(name="The bastion is set up")
    if name in known.members:
        steps.key_next(name="The host has a new key, beside the old one")
    if name in known.bastions:
        steps.hosts_authorized(name="The bastion lets both keys in", beside=True)
    if name in known.members:
        steps.key_taken(name="Tunnels stand by the new key, and are proven")
    if name in known.bastions:
        steps.hosts_authorized(name="The bastion lets the new key in alone")
    if name in known.members:
        steps.tunnels_present(name="Tunnels stand and are proven")


@deploy("Status")
def status() -> None:
    """Show the whole fleet, each tunnel proven anew, as a table; see deploys/status.py.

    Data ``json`` True prints one JSON object instead (``pyinfra -y --data json=true ...``). The run ends with
    a status other than 0 when a tunnel is not verified, or a host is not reached.
    """
    summary.show_at_the_end(bool(host.data.get("json")))
    if "bastions" not in host.groups:
        tunnels: list[Mapping[str, object]] = host.get_fact(Tunnels)
        summary.seen(host, tunnels)
        if not summary.is_well(host):
            steps.unwell(name="Every tunnel is verified")


def _reachable() -> None:
    if host.data.get("client_config") is not False:
        steps.reachable(name="ssh on this machine reaches each by its name")


def check() -> None:
    """`DeployError` with every error in the ``tunnels`` of all hosts, before any host is touched."""
    _, errors = operations.read_all({str(each.name): _tunnels(each) for each in inventory})
    if errors:
        raise DeployError(operations.summary(errors))


def _tunnels(each: object) -> Iterable[object]:
    wanted = each.data.get("tunnels")  # type: ignore[attr-defined]  # pyinfra's hosts are untyped
    if wanted is None:
        return []
    # Anything but a list is one bad tunnel, and reported as such.
    return wanted if isinstance(wanted, (list, tuple)) else [wanted]
