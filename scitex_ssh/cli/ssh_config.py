"""The client's side of this machine's tunnels, printed or written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from scitex_ssh import clients
from scitex_ssh.cli import present
from scitex_ssh.clients import Machine
from scitex_ssh.errors import Exit, SSHError, error


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
@click.option(
    "--fleet", is_flag=True, help="In place of this machine, the hosts of the fleets that were made from it."
)
@click.option("--write", is_flag=True, help="Write it to ~/.ssh/config.d/scitex-ssh, and nowhere else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
def ssh_config(
    name: str | None, via: Sequence[str], source: str | None, fleet: bool, write: bool, as_json: bool
) -> int:
    """Print the Host block with which clients reach this machine through its tunnels, by name.

    Where it has tunnels to several bastions, ssh tries one after the other.

    On a client: scitex-ssh ssh-config --from FILE --write, FILE being what this prints with --json.
    """
    if source and (as_json or name or fleet):
        raise _wrong("--name, --fleet and --json are for what this machine knows, and --from means others")
    if fleet and (name or write):
        raise _wrong("the hosts of a fleet have their names, and are written here by the fleet itself")
    if source:
        machines = clients.read(_text(source), source)
    else:
        machines = clients.of_fleets() if fleet else [clients.machine(name)]
    if not machines:
        why = (
            f"{source} tells of no machine that has a port"
            if source
            else "no fleet was made from here: scitex-ssh fleet apply makes one"
        )
        raise _wrong(why)
    block = "\n".join(clients.config(machine, via) for machine in machines)
    if as_json:
        told = [clients.as_dict(machine) for machine in machines]
        said = {"machines": told} if fleet else {"machine": told[0]}
        present.envelope("ssh-config", {"success": True, **said})
    elif write:
        _write(machines, via)
    else:
        print(block, end="")
        print("# In ~/.ssh/config.d/scitex-ssh.known_hosts:")
        lines = [line for machine in machines for line in clients.pins(machine).splitlines()]
        print("".join(f"#   {line}\n" for line in lines), end="")
    return Exit.DONE


def _write(machines: Sequence[Machine], via: Sequence[str]) -> None:
    for machine in machines:
        path, included = clients.write(machine, via)
    print(f"Written: {path}")
    if not included:
        print("Not used yet: put this line at the top of ~/.ssh/config (it is yours, and is left alone):")
        print("  Include config.d/scitex-ssh")


def _text(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    except ValueError as problem:
        raise _wrong(f"{source} is not UTF-8") from problem


def _wrong(why: str) -> SSHError:
    return error("usage", why=why, command="scitex-ssh ssh-config")
