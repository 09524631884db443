"""The commands for keys, and for the host keys that are trusted here."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from scitex_ssh import keys
from scitex_ssh.api import Result
from scitex_ssh.cli import present
from scitex_ssh.cli.app import SETTINGS
from scitex_ssh.cli.remote import way_flags
from scitex_ssh.errors import Exit
from scitex_ssh.keys.answers import ACCEPTED
from scitex_ssh.keys.local import KINDS
from scitex_ssh.plan.report import Guest, Line

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
_dry_run = click.option("--dry-run", is_flag=True, help="Change nothing; show what would change.")
_type = click.option(
    "-t",
    "--type",
    "kind",
    type=click.Choice(list(KINDS)),
    default="ed25519",
    show_default=True,
    help="rsa has 4096 bits, for servers that know no ed25519.",
)
_folder = click.argument("folder", required=False, type=click.Path(path_type=Path))


@click.group("key", context_settings=SETTINGS)
def key() -> None:
    """Make, authorize, try and renew keys; trust host keys."""


@key.command("new", context_settings=SETTINGS)
@click.argument("path", required=False)
@_type
@click.option("-C", "--comment", metavar="TEXT", help="What its line is called.  [default: you@this-host]")
@click.option("--passphrase", is_flag=True, help="Have ssh-keygen ask for one. A tunnel needs a key without.")
@_json
def new(path: str | None, as_json: bool, **flags: Any) -> int:
    """Make a key at PATH, and overwrite nothing."""
    made = keys.new(path, **flags)
    if as_json:
        return _listed("key new", [made])
    print(f"{made.path} is there, and {made.path}.pub, which is the half to give away.\n{made.fingerprint}")
    return Exit.DONE


@key.command("list", context_settings=SETTINGS)
@_folder
@_json
def list_(folder: Path | None, as_json: bool) -> int:
    """Show the keys of FOLDER, by default ~/.ssh."""
    found = keys.list_keys(folder)
    if as_json:
        return _listed("key list", found)
    rows = [["PATH", "TYPE", "FINGERPRINT", "STATE", "COMMENT"]]
    for each in found:
        words = [
            *(["open to others"] if each.mode & 0o077 else []),
            *(["passphrase"] if each.locked else []),
            *(["in the agent"] if each.in_agent else []),
        ]
        kind = f"{each.type} {each.bits}" if each.type == "RSA" else each.type
        rows.append([each.path, kind, each.fingerprint, ", ".join(words) or "-", each.comment])
    if found:
        present.columns(rows)
    else:
        print("There is no key. scitex-ssh key new makes one.", file=sys.stderr)
    return Exit.DONE


def _listed(command: str, found: Sequence[keys.Key]) -> int:
    present.envelope(command, {"success": True, "status": 0, "keys": [each.as_dict() for each in found]})
    return Exit.DONE


@key.command("authorize", context_settings=SETTINGS)
@click.argument("host")
@click.option(
    "-k", "--key", "path", metavar="FILE", help="The key, by either half.  [default: what ssh would offer]"
)
@click.option(
    "--restrict",
    "options",
    metavar="OPTION",
    multiple=True,
    help='An option of its line: restrict, from="192.0.2.0/24"...',
)
@click.option(
    "-p",
    "--port",
    "ports",
    metavar="PORT",
    multiple=True,
    help="It may hold and dial this port, and do nothing else; may be repeated.",
)
@click.option("-n", "--name", metavar="NAME", help="With -p: what HOST calls this one.  [default: its name]")
@way_flags
@_dry_run
@_json
def authorize(host: str, path: str | None, as_json: bool, **flags: Any) -> int:
    """Let a key in at HOST, and try it.

    Its line is put into authorized_keys there, once. Like ssh-copy-id, it may ask for a password on the
    terminal; -i names the key to log in with.
    """
    return _finish("key authorize", lambda tell: keys.authorize(host, path, tell=tell, **flags), as_json)


@key.command("check", context_settings=SETTINGS)
@click.argument("host")
@click.argument("paths", metavar="[KEY]...", nargs=-1)
@way_flags
@_json
def check(host: str, paths: tuple[str, ...], as_json: bool, **flags: Any) -> int:
    """Tell which keys HOST accepts.

    By default of those that ssh would offer. One login each; no command is run there.

        Exit status 21 when it accepts none.
    """
    found = keys.check(host, paths, **flags)
    status = Exit.DONE if any(each.verdict in ACCEPTED for each in found) else Exit.NOT_AUTHORISED
    if as_json:
        body = {"host": host, "keys": [each.as_dict() for each in found]}
        present.envelope("key check", {"success": status == 0, "status": int(status), **body})
        return status
    colours = {"accepted": "green", "locked": "yellow", "refused": "red"}
    for each in found:
        print(f"{present.paint(each.verdict.ljust(9), colours[each.verdict])} {each.fingerprint} {each.key}")
    return status


@key.command("fix", context_settings=SETTINGS)
@_folder
@_dry_run
@_json
def fix(folder: Path | None, dry_run: bool, as_json: bool) -> int:
    """Put right the modes of FOLDER (~/.ssh).

    Those that ssh and sshd refuse; and public halves that are missing.
    """
    return _finish("key fix", lambda tell: keys.fix(folder, dry_run=dry_run, tell=tell), as_json)


@key.command("pin", context_settings=SETTINGS)
@click.argument("host")
@click.option("--fingerprint", metavar="SHA256:...", multiple=True, help="Trust this one. May be repeated.")
@click.option("--yes", "trust", is_flag=True, help="Trust what HOST shows now, unseen.")
@way_flags
@_dry_run
@_json
def pin(host: str, as_json: bool, **flags: Any) -> int:
    """Trust the host key of HOST.

    It is put into known_hosts, once somebody has compared its fingerprint. One that is known and differs
    is never replaced.
    """
    tell = _quiet if as_json else _unless_asked
    result = keys.pin(host, tell=tell, **flags)
    problem = result.error
    if problem is not None and problem.slug == "pin-unconfirmed":
        if not as_json and sys.stdin.isatty() and sys.stderr.isatty():
            prints = re.findall(r"SHA256:\S+", problem.facts["fingerprint"])
            print(f"{host} shows {problem.facts['fingerprint']}.", file=sys.stderr)
            if click.confirm("Are these its own?", default=False, err=True):
                result = keys.pin(host, tell=tell, **{**flags, "fingerprint": prints})
                return present.finish("key pin", result, as_json)
        if not as_json:
            present.error(problem)
    return present.finish("key pin", result, as_json)


@key.command("forget", context_settings=SETTINGS)
@click.argument("host")
@way_flags
@_dry_run
@_json
def forget(host: str, as_json: bool, **flags: Any) -> int:
    """Forget the host keys of HOST.

    They are taken out of known_hosts, hashed lines and those of its port, too.
    """
    return _finish("key forget", lambda tell: keys.forget(host, tell=tell, **flags), as_json)


@key.command("rotate", context_settings=SETTINGS)
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True)
@click.option(
    "-k", "--key", "path", metavar="FILE", required=True, help="The key to put a new one in place of."
)
@_type
@way_flags
@_json
def rotate(hosts: tuple[str, ...], path: str, as_json: bool, **flags: Any) -> int:
    """Put a new key in the place of one.

    The new one is let in beside the old one and must log in everywhere before any line goes. The old key
    stays here as KEY.old. What was broken off goes on when it is said again.
    """
    return _finish("key rotate", lambda tell: keys.rotate(hosts, path, tell=tell, **flags), as_json)


def _finish(command: str, call: Callable[[Callable[[Line], None]], Result], as_json: bool) -> int:
    return present.finish(command, call(_quiet if as_json else _line), as_json)


def _quiet(_: Line) -> None:
    """For JSON: everything is said at the end."""


def _line(said: Line) -> None:
    if isinstance(said, Guest):
        print(f"{said.name} may hold port {', '.join(map(str, said.ports))} as {said.account}.", flush=True)
    else:
        present.line(said)


def _unless_asked(said: Line) -> None:
    if getattr(said, "slug", "") != "pin-unconfirmed":
        _line(said)
