"""The client's side of this machine's tunnels, printed or written."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from scitex_ssh import client_files
from scitex_ssh.cli import present
from scitex_ssh.errors import Exit, InputError, error
from scitex_ssh.health import standing
from scitex_ssh.model import Destination, TunnelName
from scitex_ssh.render.client_config import Machine, Way, config, pins

_HOST_KEYS = Path("/etc/ssh")
_FOLDER = "~/.ssh/config.d"
_SSHD = ("localhost:22", "127.0.0.1:22", "[::1]:22")


@click.command("ssh-config")
@click.option("--name", metavar="NAME", help="What clients call this machine.  [default: its host name]")
@click.option(
    "--via",
    metavar="NAME",
    multiple=True,
    help="The bastion as clients know it; once for each, where there are several.  [default: its address]",
)
@click.option(
    "--from", "source", metavar="FILE", help="What another machine printed with --json (- is stdin)."
)
@click.option("--write", is_flag=True, help="Write it to ~/.ssh/config.d/scitex-ssh, and nowhere else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
def ssh_config(name: str | None, via: Sequence[str], source: str | None, write: bool, as_json: bool) -> int:
    """Print the Host block with which clients reach this machine through its tunnels, by name.

    Where it has tunnels to several bastions, ssh tries one after the other.

    On a client: scitex-ssh ssh-config --from FILE --write, FILE being what this prints with --json.
    """
    machine = _told(source) if source else _this(name)
    for each in via:
        Destination.parse(each)
    if via and len(via) != len(machine.ways):
        why = f"--via is needed once for each of the {len(machine.ways)} bastions, or not at all"
        raise error("usage", why=why, command="scitex-ssh ssh-config")
    if as_json:
        present.envelope("ssh-config", {"success": True, "machine": _as_dict(machine)})
    elif write:
        _write(machine, via)
    else:
        print(config([machine], f"{_FOLDER}/scitex-ssh.known_hosts", via), end="")
        print("# In ~/.ssh/config.d/scitex-ssh.known_hosts:")
        print("".join(f"#   {line}\n" for line in pins([machine]).splitlines()), end="")
    return Exit.DONE


def _this(name: str | None) -> Machine:
    """This machine, by the descriptions of its tunnels."""
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


def _as_dict(machine: Machine) -> dict[str, object]:
    ways = [{"bastion": str(way.bastion), "listen": way.listen} for way in machine.ways]
    return {
        "name": machine.name,
        "user": machine.user,
        "host_keys": list(machine.host_keys),
        "ways": ways,
    }


def _told(source: str) -> Machine:
    """A machine as another one described itself; nothing of it is trusted to be harmless."""
    from scitex_ssh.model import Forward, LocalUser

    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
        said = json.loads(text)["machine"]
        ways = []
        for way in said["ways"]:
            # As -R takes it, which knows what an address to listen on is.
            listen = Forward.parse(f"{way['listen']}:localhost:22", "-R").listen
            ways.append(Way(Destination.parse(way["bastion"]), str(listen)))
        keys = [_public(key) for key in said["host_keys"]]
        return Machine(TunnelName(said["name"]), LocalUser(said["user"]), tuple(keys), tuple(ways))
    except (ValueError, KeyError, TypeError) as problem:
        if isinstance(problem, InputError):
            raise
        why = f"{source} is not what scitex-ssh ssh-config --json prints"
        raise error("usage", why=why, command="scitex-ssh ssh-config") from problem


def _public(key: str) -> str:
    kind, _, blob = key.partition(" ")
    if not all(part and part.isascii() and part.translate(_PLAIN) == "" for part in (kind, blob)):
        raise ValueError(key)
    return key


# What a kind of key and its base64 are made of, to be taken away.
_PLAIN = {
    ord(letter): None for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=-.@"
}


def _write(machine: Machine, via: Sequence[str]) -> None:
    """Put the machine's block into our own file, in place of an older one of the same name."""
    folder = Path(_FOLDER).expanduser()
    block = config([machine], f"{_FOLDER}/scitex-ssh.known_hosts", via)
    ours, known = folder / "scitex-ssh", folder / "scitex-ssh.known_hosts"
    others = client_files.without(client_files.read(ours), f"Host {machine.name}", "Host ")
    client_files.put(ours, others + block)
    others = client_files.without(client_files.read(known), f"{machine.name} ", "")
    client_files.put(known, others + pins([machine]))
    print(f"Written: {folder}/scitex-ssh")
    if not client_files.includes(folder.parent / "config", "config.d/scitex-ssh"):
        print("Not used yet: put this line at the top of ~/.ssh/config (it is yours, and is left alone):")
        print("  Include config.d/scitex-ssh")
