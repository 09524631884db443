"""The client's side of this machine's tunnels, printed or written."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from scitex_ssh import client_files
from scitex_ssh.cli import present
from scitex_ssh.errors import Exit, InputError, SSHError, error
from scitex_ssh.health import standing
from scitex_ssh.model import Destination, TunnelName
from scitex_ssh.render.client_config import Machine, Way, config, pins

_HOST_KEYS = Path("/etc/ssh")
_FOLDER = "~/.ssh/config.d"
# As a gateway calls machines; nothing that ssh would take for a pattern.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
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
    "--from",
    "source",
    metavar="FILE",
    help="What another machine printed with --json, or a gateway with: gateway export --format json. "
    "- is standard input.",
)
@click.option("--write", is_flag=True, help="Write it to ~/.ssh/config.d/scitex-ssh, and nowhere else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
def ssh_config(name: str | None, via: Sequence[str], source: str | None, write: bool, as_json: bool) -> int:
    """Print the Host block with which clients reach this machine through its tunnels, by name.

    Where it has tunnels to several bastions, ssh tries one after the other.

    On a client: scitex-ssh ssh-config --from FILE --write, FILE being what this prints with --json.
    """
    if source and (as_json or name):
        raise _wrong("--name and --json are for this machine, and --from means others")
    found = _told(source) if source else [(_this(name), [])]
    for each in via:
        Destination.parse(each)
    clash = next((machine for machine, _ in found if via and len(via) != len(machine.ways)), None)
    if clash is not None:
        raise _wrong(f"--via is needed once for each of the {len(clash.ways)} bastions, or not at all")
    if as_json:
        present.envelope("ssh-config", {"success": True, "machine": _as_dict(found[0][0])})
    elif write:
        _write([(machine, via or known) for machine, known in found])
    else:
        print("\n".join(_block(machine, via or known) for machine, known in found), end="")
        print("# In ~/.ssh/config.d/scitex-ssh.known_hosts:")
        lines = pins(machine for machine, _ in found).splitlines()
        print("".join(f"#   {line}\n" for line in lines), end="")
    return Exit.DONE


def _wrong(why: str) -> SSHError:
    return error("usage", why=why, command="scitex-ssh ssh-config")


def _block(machine: Machine, via: Sequence[str]) -> str:
    return config([machine], f"{_FOLDER}/scitex-ssh.known_hosts", via)


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


def _told(source: str) -> list[tuple[Machine, Sequence[str]]]:
    """Machines as another one described itself, or a gateway its own; with how to jump, where it was told.

    Nothing of it is trusted to be harmless.
    """
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
        said = json.loads(text)
        if isinstance(said, list):
            return [_of_a_gateway(each) for each in said if each["port"] is not None and each["via"]]
        return [(_described(said["machine"]), [])]
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        if isinstance(problem, InputError):
            raise
        raise _wrong(f"{source} is not what scitex-ssh ssh-config --json prints") from problem


def _described(said: Mapping[str, Any]) -> Machine:
    from scitex_ssh.model import Forward, LocalUser

    ways = []
    for way in said["ways"]:
        # As -R takes it, which knows what an address to listen on is.
        listen = Forward.parse(f"{way['listen']}:localhost:22", "-R").listen
        ways.append(Way(Destination.parse(way["bastion"]), str(listen)))
    keys = [_public(key) for key in said["host_keys"]]
    return Machine(TunnelName(said["name"]), LocalUser(said["user"]), tuple(keys), tuple(ways))


def _of_a_gateway(said: Mapping[str, Any]) -> tuple[Machine, Sequence[str]]:
    from scitex_ssh.model import LocalUser, Port

    if not _NAME.fullmatch(said["name"]):
        raise ValueError(said["name"])
    via = Destination.parse(said["via"])
    user = LocalUser(said["login"]) if said["login"] else ""
    keys = [_public(" ".join(line.split()[:2])) for line in said["host_keys"].splitlines()]
    ways = (Way(via, f"localhost:{Port(said['port'])}"),)
    return Machine(said["name"], user, tuple(keys), ways), [str(via)]


def _public(key: str) -> str:
    kind, _, blob = key.partition(" ")
    if not all(part and part.isascii() and part.translate(_PLAIN) == "" for part in (kind, blob)):
        raise ValueError(key)
    return key


# What a kind of key and its base64 are made of, to be taken away.
_PLAIN = {
    ord(letter): None for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=-.@"
}


def _write(found: Sequence[tuple[Machine, Sequence[str]]]) -> None:
    """Put each machine's block into our own file, in place of an older one of the same name."""
    folder = Path(_FOLDER).expanduser()
    ours, known = folder / "scitex-ssh", folder / "scitex-ssh.known_hosts"
    blocks, lines = client_files.read(ours), client_files.read(known)
    for machine, via in found:
        blocks = client_files.without(blocks, f"Host {machine.name}", "Host ") + _block(machine, via)
        lines = client_files.without(lines, f"{machine.name} ", "") + pins([machine])
    client_files.put(ours, blocks)
    client_files.put(known, lines)
    print(f"Written: {folder}/scitex-ssh")
    if not client_files.includes(folder.parent / "config", "config.d/scitex-ssh"):
        print("Not used yet: put this line at the top of ~/.ssh/config (it is yours, and is left alone):")
        print("  Include config.d/scitex-ssh")
