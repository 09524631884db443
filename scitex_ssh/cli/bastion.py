"""The commands of a bastion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scitex_ssh import bastions
from scitex_ssh.api import Result
from scitex_ssh.cli import present
from scitex_ssh.errors import error
from scitex_ssh.plan.report import Guest, Line

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
_dry_run = click.option("--dry-run", is_flag=True, help="Change nothing; show what would change.")
_plain = click.option("--plain", is_flag=True, help="On this account, without root: its own authorized_keys.")
_name = click.argument("name")


@click.group("bastion", context_settings=SETTINGS)
def bastion() -> None:
    """Let hosts hold ports of this machine, and do nothing else on it."""


@bastion.command("setup", context_settings=SETTINGS)
@click.option(
    "--hosts", type=click.IntRange(1, 9999), default=100, show_default=True, help="How many there will be."
)
@_plain
@_dry_run
@_json
def setup(as_json: bool, **flags: Any) -> int:
    """Make this machine a bastion.

    sshd is given its part for the accounts of the hosts. It is checked before sshd reads it, proven by a
    fresh login after, and taken back if that fails.
    """
    return _finish("bastion setup", bastions.setup(tell=_tell(as_json), **flags), as_json)


@bastion.command("authorize", context_settings=SETTINGS)
@_name
@click.option(
    "-p", "--port", "ports", metavar="PORT", multiple=True, help="A port it may hold; may be repeated."
)
@click.option("-k", "--key", metavar="FILE|KEY", help="The public half of its key: a .pub file, or its line.")
@click.option("--keep", is_flag=True, help="Its present keys and ports stay as well.")
@_plain
@_dry_run
@_json
def authorize(name: str, ports: tuple[str, ...], key: str | None, as_json: bool, **flags: Any) -> int:
    """Let the host NAME hold ports of this bastion, and do nothing else.

    Without a port it keeps those that it has, or is given a free one. Where its line changes, its sessions
    are ended: what they were allowed, the new line may not allow.
    """
    result = bastions.authorize(name, ports, _public(key), tell=_tell(as_json), **flags)
    return _finish("bastion authorize", result, as_json)


@bastion.command("revoke", context_settings=SETTINGS)
@_name
@_plain
@_dry_run
@_json
def revoke(name: str, as_json: bool, **flags: Any) -> int:
    """Take the key of the host NAME away, end its sessions, and see its ports free."""
    return _finish("bastion revoke", bastions.revoke(name, tell=_tell(as_json), **flags), as_json)


@bastion.command("list", context_settings=SETTINGS)
@_plain
@_json
def list_(plain: bool, as_json: bool) -> int:
    """Show the hosts that this bastion knows."""
    return _table("bastion list", bastions.hosts(plain=plain), as_json)


@bastion.command("status", context_settings=SETTINGS)
@_plain
@_json
def status(plain: bool, as_json: bool) -> int:
    """Show them, and whether this machine still is as set-up left it.

    Exit status 50 when a host does not hold its ports now, 10 when this is no bastion.
    """
    return _table("bastion status", bastions.status(plain=plain), as_json)


def _public(key: str | None) -> str | None:
    """A key as it is given, or the content of the file that is named."""
    if key is None or " " in key.strip():
        return key
    path = Path(key).expanduser()
    if not path.is_file():
        raise error("file-failed", path=key, why="there is no such file")
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _tell(as_json: bool) -> Any:
    return _quiet if as_json else _line


def _quiet(_: Line) -> None:
    """For JSON: everything is said at the end."""


def _line(said: Line) -> None:
    if isinstance(said, Guest):
        print(f"{said.name} may hold port {', '.join(map(str, said.ports))} as {said.account}.", flush=True)
    else:
        present.line(said)


def _finish(command: str, result: Result, as_json: bool) -> int:
    return present.finish(command, result, as_json)


def _table(command: str, result: Result, as_json: bool) -> int:
    if not as_json:
        rows = [["NAME", "PORTS", "HELD", "ACCOUNT", "KEYS"]]
        for guest in result.report.guests:
            ports, holds = (",".join(map(str, each)) or "-" for each in (guest.ports, guest.holds))
            rows.append([guest.name, ports, holds, guest.account, " ".join(guest.prints)])
        present.columns(rows)
        for problem in result.report.errors:
            present.error(problem)
    return present.finish(command, result, as_json)
