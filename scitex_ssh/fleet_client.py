"""The operator's side of a fleet: each of its hosts is reached as ``ssh NAME``, through its tunnel."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scitex_ssh import client_files
from scitex_ssh.errors import InputError
from scitex_ssh.fleet import Fleet, Member
from scitex_ssh.model import Destination, Port
from scitex_ssh.render.authorized_keys import PublicKey
from scitex_ssh.render.client_config import Machine, Way, config

FOLDER = client_files.FLEETS
INCLUDE = "scitex-ssh/config"
SSHD = ("localhost:22", "127.0.0.1:22", "[::1]:22")
HEAD = "# Written by scitex-ssh: the hosts of fleets, by name.\n"


@dataclass(frozen=True)
class Login:
    """How the operator's machine logs in to another one, as the inventory and ssh's own files say."""

    host: str
    port: str = ""
    user: str = ""
    identity: str = ""
    jump: str = ""


def login(machine: Any) -> Login | None:
    """The way to a machine of the inventory; None where it is not ssh's."""
    name = str(machine.name)
    if name.startswith("@") and not name.startswith("@ssh/"):
        return None
    data = {key: machine.data.get(f"ssh_{key}") for key in ("hostname", "port", "user", "key")}
    called = str(data["hostname"] or name.partition("@ssh/")[2] or name)
    known = _resolved(called)
    return Login(
        known.get("hostname", called),
        str(data["port"] or known.get("port", "")),
        str(data["user"] or known.get("user", "")),
        str(data["key"] or ""),
        known.get("proxyjump", ""),
    )


def _account(machine: Any) -> Login | None:
    """The account of `login` alone, for which ssh need not be asked where the inventory says it."""
    user, key = (machine.data.get(f"ssh_{each}") for each in ("user", "key"))
    if user and not str(machine.name).startswith("@"):
        return Login("", user=str(user), identity=str(key or ""))
    return login(machine)


def _resolved(name: str) -> Mapping[str, str]:
    """What ssh would do for a name, by ssh_config(5)."""
    done = subprocess.run(["ssh", "-G", "--", name], capture_output=True, text=True, check=False)
    lines = (line.partition(" ") for line in done.stdout.splitlines())
    return {key: value for key, _, value in lines if key in ("hostname", "port", "user", "proxyjump")}


def files(fleet: Fleet, member: Member, user: str) -> dict[Path, str]:
    """The text of each file with which the operator reaches a host; those that are so already are left out.

    Args:
        user: the account that keeps its tunnel, for a host that the operator does not log in to by ssh.
    """
    port = _port(fleet, member)
    gate = fleet.bastions[member.bastion]
    if port is None or not gate.connected:
        return {}
    way = _account(member.machine) or Login("", user=user)
    folder = Path(FOLDER).expanduser()
    name = called(member, folder)
    through = f"scitex-ssh-{member.bastion.replace('@', '').replace('/', '-')}"
    machine = Machine(
        name,
        way.user or user,
        _keys(fleet.seen[str(member.machine.name)].host_keys),
        (Way(Destination.parse(through), f"localhost:{port}"),),
        way.identity,
    )
    blocks = {name: config([machine], f"{FOLDER}/{name}.known_hosts", [through])}
    # By its port as well, for programs that know no HostKeyAlias.
    pins = {name: "".join(f"{name},[localhost]:{port} {key}\n" for key in machine.host_keys)}
    entry = fleet.login(member.bastion, login)
    if entry is not None:
        blocks[through] = _bastion(through, entry)
        known = f"[{entry.host}]:{entry.port}" if entry.port not in ("", "22") else entry.host
        keys = _keys(tuple(fleet.look(member.bastion).host_keys))
        pins[through] = "".join(f"{known} {key}\n" for key in keys)
    ours = folder / "config"
    text = client_files.read(ours) or HEAD
    for each, block in blocks.items():
        if block not in text:
            text = client_files.without(text, f"Host {each}", "Host ") + block
    wanted = {folder / f"{each}.known_hosts": lines for each, lines in pins.items()}
    wanted[ours] = text
    wanted |= _including(folder.parent / "config")
    return {path: text for path, text in wanted.items() if client_files.read(path) != text}


def replaced(machine: Any, before: set[str], now: set[str]) -> dict[Path, str]:
    """The operator's known_hosts files with a machine's new host keys wherever they name an old one."""
    named = machine.data.get("ssh_known_hosts_file") or "~/.ssh/known_hosts"
    kinds = {key.split()[0]: key for key in _keys(tuple(now))}
    due = {}
    for path in (Path(str(named)).expanduser(), *Path(FOLDER).expanduser().glob("*.known_hosts")):
        text = former = client_files.read(path)
        for old in before - now:
            text = text.replace(old, kinds.get(old.split()[0], old))
        if text != former:
            due[path] = text
    return due


def forgotten(names: list[str]) -> dict[Path, str | None]:
    """The files without these hosts; None for one that goes."""
    folder = Path(FOLDER).expanduser()
    ours = folder / "config"
    text = former = client_files.read(ours)
    gone: dict[Path, str | None] = {}
    for name in names:
        for each in (name, f"{name}-tunnel"):
            text = client_files.without(text, f"Host {each}", "Host ")
            pins = folder / f"{each}.known_hosts"
            if pins.exists():
                gone[pins] = None
    if text != former:
        gone[ours] = text
    return gone


def is_through(machine: Any) -> bool:
    """Whether the inventory reaches a host by a name of ours, which is to say through its tunnel."""
    named = str(machine.data.get("ssh_hostname") or machine.name).removeprefix("@ssh/")
    return named in client_files.names(Path(FOLDER).expanduser() / "config")


def called(member: Member, folder: Path) -> str:
    """What ``ssh`` calls a host: its name, unless ssh knows another way by that name already.

    The way by which the inventory reaches a host stays as it is, so that a tunnel that fails locks nobody
    out.
    """
    if member.name in client_files.names(folder / "config"):
        return member.name
    data = member.machine.data.get("ssh_hostname")
    taken = {str(data or member.machine.name)} | client_files.names(folder.parent / "config")
    return f"{member.name}-tunnel" if member.name in taken else member.name


def _port(fleet: Fleet, member: Member) -> Port | None:
    """The port of the first of its tunnels that leads to its sshd."""
    ports = fleet.ports(member.bastion)[member.name]
    return next((port for wish, port in zip(member.wishes, ports) if wish.target in SSHD), None)


def _bastion(name: str, way: Login) -> str:
    lines = [
        f"Host {name}",
        f"    HostName {way.host}",
        # pyinfra, which reads this as well, takes a port that is said for an unusual one.
        *([f"    Port {way.port}"] if way.port not in ("", "22") else []),
        *([f"    User {way.user}"] if way.user else []),
        *([f"    IdentityFile {way.identity}"] if way.identity else []),
        f"    UserKnownHostsFile {FOLDER}/{name}.known_hosts",
        "    StrictHostKeyChecking yes",
        *([f"    ProxyJump {way.jump}"] if way.jump else []),
    ]
    return "\n".join(lines) + "\n"


def _keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are keys: what a host says of itself is not trusted to be harmless."""
    found = []
    for key in keys:
        try:
            found.append(str(PublicKey.parse(key)))
        except InputError:
            continue
    # Those that are shown stand before those that will be: paramiko heeds the first of a kind.
    return tuple(dict.fromkeys(found))


def _including(path: Path) -> dict[Path, str]:
    """The operator's own file with one more line at its top, where it does not include ours yet."""
    # A link to a file elsewhere stays one.
    path = path.resolve()
    if client_files.includes(path, INCLUDE):
        return {}
    return {path: f"Include {INCLUDE}\n\n{client_files.read(path)}".rstrip("\n") + "\n"}
