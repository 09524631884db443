"""The client's side: ``Host`` blocks of ssh_config(5) for machines behind tunnels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scitex_ssh.model.destination import Destination

_OF_A_SOCKET = (
    "# For OpenSSH 9.4 and newer. The socket is its account's alone, unless sshd has a StreamLocalBindMask."
)


@dataclass(frozen=True)
class Way:
    """One way to a machine: what its tunnel listens on (``localhost:2222``, a socket), and where."""

    bastion: Destination
    listen: str


@dataclass(frozen=True)
class Machine:
    """A machine that tunnels lead to: its name for clients, who logs in, its host keys, and the ways.

    ``identity`` is the path of the key that its user is let in by, where ssh is not to choose; ``via`` are
    the bastions as clients know them, way by way, where that was told.
    """

    name: str
    user: str
    host_keys: tuple[str, ...]
    ways: tuple[Way, ...]
    identity: str = ""
    via: tuple[str, ...] = ()


def config(machines: Iterable[Machine], known_hosts: str, via: Sequence[str] = ()) -> str:
    """The blocks, one a machine; ``via``: how this client knows the bastions, before what was told."""
    return "\n".join(_block(each, known_hosts, via or each.via) for each in machines)


def pins(machines: Iterable[Machine]) -> str:
    """The known_hosts file that the blocks name."""
    return "".join(f"{each.name} {key}\n" for each in machines for key in each.host_keys)


def _block(machine: Machine, known_hosts: str, via: Sequence[str]) -> str:
    # A socket last: an ssh that cannot ask for one waits for ever.
    ways = sorted(zip(machine.ways, via or [""] * len(machine.ways)), key=lambda way: _is_socket(way[0]))
    host, _, port = ways[0][0].listen.rpartition(":")
    lines = [
        f"Host {machine.name}",
        f"    HostName {'localhost' if host in ('', '*', '0.0.0.0', '[::]') else host.strip('[]')}",
        *([f"    Port {port}"] if port.isdigit() else []),
        *([f"    User {machine.user}"] if machine.user else []),
        *([f"    IdentityFile {machine.identity}"] if machine.identity else []),
        # The key is the machine's own, whichever bastion and port it is reached through.
        f"    HostKeyAlias {machine.name}",
        f"    UserKnownHostsFile {known_hosts}",
        "    StrictHostKeyChecking yes",
        "    CheckHostIP no",
        *([f"    {_OF_A_SOCKET}"] if _is_socket(ways[-1][0]) else []),
        f"    {_jump(ways)}",
    ]
    return "\n".join(lines) + "\n"


def _jump(ways: Sequence[tuple[Way, str]]) -> str:
    """Through the bastion; through the next where the first is not there, or nothing listens on it."""
    way, via = ways[0]
    if len(ways) == 1 and not _is_socket(way):
        return f"ProxyJump {via or _login(way.bastion)}"
    tries = [f"ssh -o ConnectTimeout=10 {_words(way, via)}" for way, via in ways]
    if len(tries) == 1:
        return f"ProxyCommand {tries[0]}"
    # ssh has the user's shell "exec" it, which would leave nobody to try the next.
    return f"ProxyCommand sh -c '{' || '.join(tries)}'"


def _words(way: Way, via: str) -> str:
    listen = way.listen if _is_socket(way) else way.listen.replace("*:", "localhost:", 1)
    if via:
        return f"-W {listen} {via}"
    port = f"-p {way.bastion.port} " if way.bastion.port != 22 else ""
    user = f"-l {way.bastion.user} " if _is_socket(way) and way.bastion.user else ""
    return f"-W {listen} {port}{user}{way.bastion.host}"


def _is_socket(way: Way) -> bool:
    return way.listen.startswith("/")


def _login(bastion: Destination) -> str:
    # Without the account that keeps the tunnel: a client logs in by its own.
    return str(Destination(bastion.address))
