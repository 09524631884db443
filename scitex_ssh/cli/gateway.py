"""The commands of a gateway, on the bastion."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from scitex_ssh import gateways
from scitex_ssh.cli.app import SETTINGS
from scitex_ssh.errors import Exit


@click.group("gateway", context_settings=SETTINGS)
def gateway() -> None:
    """Let machines enrol themselves at this bastion (needs the extra: scitex-ssh[gateway])."""


@gateway.command("serve")
@click.option("--host", metavar="ADDRESS", help="Where to serve HTTP.  [default: 127.0.0.1]")
@click.option("--http-port", "port", metavar="PORT", type=click.IntRange(1, 65535), help="[default: 12000]")
@click.option("--tls-cert", "certificate", type=click.Path(path_type=Path), help="A certificate (PEM).")
@click.option("--tls-key", "certificate_key", type=click.Path(path_type=Path), help="Its private key.")
@click.option(
    "--plain-http", is_flag=True, default=None, help="Serve other machines without TLS, all the same."
)
@click.option("--proxy", metavar="ADDRESS", help="A proxy in front, whose word on addresses is believed.")
@click.option("--approve", is_flag=True, default=None, help="New machines wait for an admin.")
@click.option(
    "--server-keys", is_flag=True, default=None, help="Make keys for agents of ssh-tunnel-gateway 0.4.3."
)
def serve(**flags: Any) -> int:
    """Serve the gateway over HTTP, in the foreground.

    Machines that enrol over SSH need no server. Settings come from the environment, from
    /etc/scitex-ssh/gateway.env, and from these flags, which go first.
    """
    with gateways.packages():
        from scitex_ssh.gateway import serve as server
    server.run(gateways.settings(**flags))
    return Exit.DONE


@gateway.command("install")
@click.option("--http", is_flag=True, help="Keep the HTTP server running, too.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would change.")
def install(http: bool, dry_run: bool) -> int:
    """Make this machine a gateway: its accounts, what sshd asks, units of systemd. Takes root."""
    done = gateways.install(http=http, dry_run=dry_run)
    for step in done:
        print(f"{'would-change' if dry_run else 'changed':13} {step}")
    if not done:
        print("ok            nothing to do")
    return Exit.DONE


@gateway.command("list")
@click.option(
    "--state", type=click.Choice(["pending", "active", "expired", "revoked"]), help="Only those in it."
)
def list_(state: str | None) -> int:
    """List the machines that the gateway knows."""
    machines = gateways.machines(state)
    rows = [["NAME", "STATE", "PORT", "SEEN", "FROM", "OWNER"]]
    rows += [
        [one.name, one.state, str(one.port or "-"), _ago(one.seen), one.address or "-", one.owner]
        for one in machines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return Exit.DONE


@gateway.command("show")
@click.argument("name")
def show(name: str) -> int:
    """Show one machine, and the command that reaches it."""
    machine = gateways.machine(name)
    for field, value in machine.as_dict().items():
        print(f"{field:12} {_words(field, value)}")
    if machine.port is not None:
        print(f"{'connect':12} {gateways.connect(name)}")
    return Exit.DONE


@gateway.command("approve")
@click.argument("name")
def approve(name: str) -> int:
    """Give a machine that waits its port."""
    machine = gateways.approve(name)
    print(f"{machine.name} has port {machine.port}")
    return Exit.DONE


@gateway.command("rename")
@click.argument("name")
@click.argument("to")
def rename(name: str, to: str) -> int:
    """Call a machine by another name."""
    machine = gateways.rename(name, to)
    print(f"{machine.name} has port {machine.port or '-'}")
    return Exit.DONE


@gateway.command("revoke")
@click.argument("name")
def revoke(name: str) -> int:
    """Take a machine its port and its key, and end its session."""
    machine = gateways.revoke(name)
    free = "" if machine.port is None else f"; port {machine.port} is free"
    print(f"{machine.name} is revoked{free}")
    return Exit.DONE


@gateway.command("tick")
def tick() -> int:
    """Renew what is up, end what is over, cut what was revoked: one round, as the timer does it."""
    done = gateways.tick()
    if done.expired or done.cut:
        print(f"expired: {' '.join(done.expired) or '-'}; cut: {' '.join(map(str, done.cut)) or '-'}")
    return Exit.DONE


@gateway.command("export")
@click.option("--format", "form", type=click.Choice(["ssh", "json"]), default="ssh", show_default=True)
def export(form: str) -> int:
    """Print an ssh_config block for every machine that has a port, or all machines as JSON.

    What is printed as JSON, scitex-ssh ssh-config --from FILE --write makes names of on a client.
    """
    print(gateways.export(form), end="")
    return Exit.DONE


@gateway.command("script")
@click.argument("url")
def script(url: str) -> int:
    """Print a POSIX script that enrols a machine at the gateway URL, and sets its tunnel up.

    For machines without Python: with ssh:// it takes ssh alone, with https:// it takes curl.
    """
    print(gateways.script(url), end="")
    return Exit.DONE


@gateway.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> int:
    """Copy the database to FILE while the gateway runs."""
    print(gateways.backup(file))
    return Exit.DONE


@gateway.command("restore")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
def restore(file: Path) -> int:
    """Put a backup back while the gateway runs.

    Machines, tokens and who is revoked are then as they were at the backup. What was there until now is
    kept beside the database, and its path printed: restored, it undoes this.
    """
    print(f"what was there until now is {gateways.restore(file)}")
    return Exit.DONE


@gateway.group("token")
def token() -> None:
    """Tokens with which machines enrol, or admins use the API."""


@token.command("create")
@click.argument("name")
@click.option(
    "--uses", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How often it is good."
)
@click.option("--unlimited", is_flag=True, help="As often as wanted, until it expires.")
@click.option("--hours", type=click.FloatRange(0.01, 87600), default=24, show_default=True, help="How long.")
@click.option("--admin", is_flag=True, help="A token for the API, and not to enrol with.")
def create(name: str, uses: int, unlimited: bool, hours: float, admin: bool) -> int:
    """Make a token, and print it this once."""
    print(gateways.create_token(name, uses=None if unlimited else uses, hours=hours, admin=admin))
    return Exit.DONE


@token.command("list")
def tokens() -> int:
    """List the tokens that there are, without the tokens themselves."""
    for one in gateways.tokens():
        uses = "unlimited" if one.uses is None else f"{one.uses} left"
        ends = "never" if one.expires is None else time.strftime("%F %T", time.localtime(one.expires))
        print(f"{one.name:24} {one.kind:6} {uses:12} ends {ends}")
    return Exit.DONE


@token.command("revoke")
@click.argument("name")
def forget(name: str) -> int:
    """End a token. Machines that enrolled with it stay."""
    gateways.revoke_token(name)
    print(f"{name} opens nothing any more")
    return Exit.DONE


@gateway.command("log")
@click.option("-n", "limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
def log(limit: int) -> int:
    """Show who got what when, the newest last: one JSON object a line."""
    for note in gateways.audit(limit):
        print(json.dumps(note))
    return Exit.DONE


def _words(field: str, value: object) -> str:
    if field in ("created", "seen", "expires", "up", "dialled") and isinstance(value, float):
        if value == 0:
            return "never"
        return time.strftime("%F %T", time.localtime(value))
    return "-" if value in (None, "") else str(value).replace("\n", "\n" + " " * 13)


def _ago(seen: float) -> str:
    seconds = max(0, int(time.time() - seen))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def read_token(path: str | None) -> str:
    """A token from a file, from the standard input (-), or from the environment; "" where there is none."""
    if path is None:
        return os.environ.get("SCITEX_SSH_GATEWAY_TOKEN", "").strip()
    text = sys.stdin.read(8192) if path == "-" else Path(path).read_text(encoding="utf-8")
    return text.strip()
