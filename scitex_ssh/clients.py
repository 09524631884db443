"""The Python API of a client: what its ssh has to know to reach machines behind tunnels by name."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scitex_ssh import client_files
from scitex_ssh.errors import InputError, error
from scitex_ssh.health import standing
from scitex_ssh.model import Destination, Forward, LocalUser, Port, TunnelName
from scitex_ssh.render import client_config
from scitex_ssh.render.client_config import Machine, Way

__all__ = ["Machine", "as_dict", "config", "machine", "of_fleets", "pins", "read", "write"]

_HOST_KEYS = Path("/etc/ssh")
_FOLDER = "~/.ssh/config.d"
# As a gateway calls machines; nothing that ssh would take for a pattern.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_SSHD = ("localhost:22", "127.0.0.1:22", "[::1]:22")


def machine(name: str | None = None) -> Machine:
    """This machine as its clients reach it: by the tunnels to its sshd that stand here, in their order.

    Args:
        name: what clients call it; by default its host name.

    Raises:
        InputError: for a name that cannot be one.
        TunnelError: ``no-such-tunnel`` where no tunnel leads to its sshd.
    """
    ways, user = [], ""
    for description in (tunnel.description for tunnel in standing.tunnels()):
        for each in description.get("forwards", ()):
            if each["kind"] == "remote" and each["target"] in _SSHD:
                ways.append(Way(Destination.parse(description["bastion"]), each["listen"]))
                user = user or description["user"]
                break
    if not ways:
        raise error("no-such-tunnel", name="to sshd (localhost:22)")
    keys = [" ".join(path.read_text().split()[:2]) for path in sorted(_HOST_KEYS.glob("ssh_host_*_key.pub"))]
    called = TunnelName(name or platform.node().partition(".")[0].lower())
    return Machine(called, user, tuple(keys), tuple(ways))


def of_fleets() -> list[Machine]:
    """The hosts of the fleets that were made from this machine, as other clients reach them.

    What is this account's own is left out: its keys, and its accounts on the bastions.
    """
    folder = Path(client_files.FLEETS).expanduser()
    known = client_files.blocks(client_files.read(folder / "config"))
    found = []
    for name, said in known.items():
        gate = known.get(said.get("ProxyJump", ""))
        if gate is None or "HostKeyAlias" not in said:
            continue
        host = f"[{gate['HostName']}]" if ":" in gate["HostName"] else gate["HostName"]
        bastion = Destination.parse(f"{host}:{gate.get('Port', 22)}")
        pinned = client_files.read(folder / f"{name}.known_hosts").splitlines()
        keys = tuple(" ".join(line.split()[1:3]) for line in pinned)
        found.append(Machine(name, said.get("User", ""), keys, (Way(bastion, f"localhost:{said['Port']}"),)))
    return found


def as_dict(machine: Machine) -> dict[str, object]:
    """A machine as JSON types, as ``scitex-ssh ssh-config --json`` prints it."""
    ways = [{"bastion": str(way.bastion), "listen": way.listen} for way in machine.ways]
    return {
        "name": machine.name,
        "user": machine.user,
        "host_keys": list(machine.host_keys),
        "ways": ways,
    }


def read(text: str, source: str = "the text") -> list[Machine]:
    """Machines as another one described itself, or a gateway its own; nothing of it is trusted.

    Args:
        text: what ``scitex-ssh ssh-config --json`` printed there, or
            ``scitex-ssh gateway export --format json``; with ``--fleet`` it is the hosts of a fleet.
        source: what an error calls it.

    Raises:
        InputError: for what is not that.
    """
    try:
        said = json.loads(text)
        if isinstance(said, list):
            return [_of_a_gateway(each) for each in said if each["port"] is not None and each["via"]]
        return [_described(each) for each in said.get("machines") or [said["machine"]]]
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        if isinstance(problem, InputError):
            raise
        why = f"{source} is not what scitex-ssh ssh-config --json prints"
        raise InputError("usage", why=why, command="scitex-ssh ssh-config") from problem


def _described(said: Mapping[str, Any]) -> Machine:
    ways = []
    for way in said["ways"]:
        # As -R takes it, which knows what an address to listen on is.
        listen = Forward.parse(f"{way['listen']}:localhost:22", "-R").listen
        ways.append(Way(Destination.parse(way["bastion"]), str(listen)))
    keys = [_public(key) for key in said["host_keys"]]
    # An inventory need not say who logs in.
    user = LocalUser(said["user"]) if said["user"] else ""
    return Machine(TunnelName(said["name"]), user, tuple(keys), tuple(ways))


def _of_a_gateway(said: Mapping[str, Any]) -> Machine:
    if not _NAME.fullmatch(said["name"]):
        raise ValueError(said["name"])
    via = Destination.parse(said["via"])
    user = LocalUser(said["login"]) if said["login"] else ""
    keys = [_public(" ".join(line.split()[:2])) for line in said["host_keys"].splitlines()]
    ways = (Way(via, f"localhost:{Port(said['port'])}"),)
    return Machine(said["name"], user, tuple(keys), ways, via=(str(via),))


def config(machine: Machine, via: Sequence[str] = ()) -> str:
    """The ``Host`` block of a machine for a client's ssh_config(5).

    Where it has tunnels to several bastions, ssh tries one after the other.

    Args:
        via: what the client calls the bastions, in their order; by default as was told, or their addresses.

    Raises:
        InputError: for a name that cannot be one, or another number of them than there are bastions.
    """
    for each in via:
        Destination.parse(each)
    if via and len(via) != len(machine.ways):
        why = f"--via is needed once for each of the {len(machine.ways)} bastions, or not at all"
        raise InputError("usage", why=why, command="scitex-ssh ssh-config")
    return client_config.config([machine], f"{_FOLDER}/scitex-ssh.known_hosts", via)


def pins(machine: Machine) -> str:
    """The lines of the known_hosts file that the block names."""
    return client_config.pins([machine])


def write(machine: Machine, via: Sequence[str] = ()) -> tuple[Path, bool]:
    """Put the block into ``~/.ssh/config.d/scitex-ssh``, in place of an older one of the same name.

    Returns that path, and whether ``~/.ssh/config`` includes it; that file is left alone. ``via`` and errors
    are those of `config`.

    Raises:
        OSError: where it cannot be written.
    """
    folder = Path(_FOLDER).expanduser()
    block = config(machine, via)
    ours, known = folder / "scitex-ssh", folder / "scitex-ssh.known_hosts"
    others = client_files.without(client_files.read(ours), f"Host {machine.name}", "Host ")
    client_files.put(ours, others + block)
    others = client_files.without(client_files.read(known), f"{machine.name} ", "")
    client_files.put(known, others + pins(machine))
    return ours, client_files.includes(folder.parent / "config", "config.d/scitex-ssh")


def _public(key: str) -> str:
    kind, _, blob = key.partition(" ")
    if not all(part and part.isascii() and part.translate(_PLAIN) == "" for part in (kind, blob)):
        raise ValueError(key)
    return key


# What a kind of key and its base64 are made of, to be taken away.
_PLAIN = {
    ord(letter): None for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=-.@"
}
