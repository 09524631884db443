"""The client's side of this machine's tunnels, printed or written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from scitex_ssh import clients
from scitex_ssh.cli import present
from scitex_ssh.errors import Exit, error


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
    machine = clients.machine(name) if source is None else clients.read(_text(source), source)
    block = clients.config(machine, via)
    if as_json:
        present.envelope("ssh-config", {"success": True, "machine": clients.as_dict(machine)})
    elif write:
        path, included = clients.write(machine, via)
        print(f"Written: {path}")
        if not included:
            print("Not used yet: put this line at the top of ~/.ssh/config (it is yours, and is left alone):")
            print("  Include config.d/scitex-ssh")
    else:
        print(block, end="")
        print("# In ~/.ssh/config.d/scitex-ssh.known_hosts:")
        print("".join(f"#   {line}\n" for line in clients.pins(machine).splitlines()), end="")
    return Exit.DONE


def _text(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    except ValueError as problem:
        why = f"{source} is not UTF-8"
        raise error("usage", why=why, command="scitex-ssh ssh-config") from problem
