"""The commands of a gateway, on the bastion."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scitex_ssh.cli.app import SETTINGS
from scitex_ssh.errors import Exit, error

if TYPE_CHECKING:
    from scitex_ssh.gateway.machine import Machine
    from scitex_ssh.gateway.settings import Settings
    from scitex_ssh.gateway.store import Store
    from scitex_ssh.gateway.tables import Bastion


@click.group("gateway", context_settings=SETTINGS)
def gateway() -> None:
    """Let machines enrol themselves at this bastion (needs the extra: scitex-ssh[gateway])."""


@contextmanager
def _packages() -> Iterator[None]:
    """What is missing is told as an error of ours."""
    try:
        yield
    except ImportError as problem:
        raise error("gateway-packages", why=str(problem)) from problem


def _settings(**flags: Any) -> Settings:
    with _packages():
        from scitex_ssh.gateway.settings import Settings, environment
    return Settings.of(environment(os.environ), **flags)


def _store(settings: Settings | None = None) -> Store:
    with _packages():
        from scitex_ssh.gateway.service import opened
    return opened(settings or _settings())


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
    with _packages():
        from scitex_ssh.gateway import serve as server
    server.run(_settings(**flags))
    return Exit.DONE


@gateway.command("install")
@click.option("--http", is_flag=True, help="Keep the HTTP server running, too.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would change.")
def install(http: bool, dry_run: bool) -> int:
    """Make this machine a gateway: its accounts, what sshd asks, units of systemd. Takes root."""
    with _packages():
        from scitex_ssh.gateway import install as steps
    done = steps.due(_settings(), http) if dry_run else list(steps.install(_settings(), http))
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
    machines = _store().machines(state or "")
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
    with _packages():
        from scitex_ssh.gateway import reach
    settings = _settings()
    store = _store(settings)
    machine = store.find(name)
    for field, value in machine.as_dict().items():
        print(f"{field:12} {_words(field, value)}")
    if machine.port is not None:
        print(f"{'connect':12} {reach.command(machine, _bastion(settings, store, machine.bastion))}")
    return Exit.DONE


@gateway.command("approve")
@click.argument("name")
def approve(name: str) -> int:
    """Give a machine that waits its port."""
    settings = _settings()
    store = _store(settings)
    machine = store.approve_machine(name, _who())
    _changed(settings, store)
    print(f"{machine.name} has port {machine.port}")
    return Exit.DONE


@gateway.command("rename")
@click.argument("name")
@click.argument("to")
def rename(name: str, to: str) -> int:
    """Call a machine by another name."""
    with _packages():
        from scitex_ssh.gateway.machine import MachineName
    settings = _settings()
    store = _store(settings)
    machine = store.rename(name, MachineName(to), _who())
    _changed(settings, store)
    print(f"{machine.name} has port {machine.port or '-'}")
    return Exit.DONE


@gateway.command("revoke")
@click.argument("name")
def revoke(name: str) -> int:
    """Take a machine its port and its key, and end its session."""
    with _packages():
        from scitex_ssh.gateway import sessions, upkeep
    settings = _settings()
    store = _store(settings)
    machine = store.revoke(name, _who())
    upkeep.tick(settings, store)
    ours = machine.bastion == store.bastion.name
    if ours and machine.port is not None and machine.port in sessions.listening(settings.ssh_user):
        raise error("gateway-session", name=machine.name, port=machine.port)
    print(f"{machine.name} is revoked{_was(machine)}")
    return Exit.DONE


@gateway.command("tick")
def tick() -> int:
    """Renew what is up, end what is over, cut what was revoked: one round, as the timer does it."""
    with _packages():
        from scitex_ssh.gateway import upkeep
    settings = _settings()
    done = upkeep.tick(settings, _store(settings))
    if done.expired or done.cut:
        print(f"expired: {' '.join(done.expired) or '-'}; cut: {' '.join(map(str, done.cut)) or '-'}")
    return Exit.DONE


@gateway.command("export")
@click.option("--format", "form", type=click.Choice(["ssh", "json"]), default="ssh", show_default=True)
def export(form: str) -> int:
    """Print an ssh_config block for every machine that has a port, or all machines as JSON.

    What is printed as JSON, scitex-ssh ssh-config --from FILE --write makes names of on a client.
    """
    with _packages():
        from scitex_ssh.gateway import reach
    settings = _settings()
    store = _store(settings)
    active = store.machines("active")
    ways = {name: _bastion(settings, store, name) for name in {machine.bastion for machine in active}}
    if form == "json":
        via = {machine.id: reach.jump(ways[machine.bastion]) for machine in active}
        said = [{**machine.as_dict(), "via": via.get(machine.id, "")} for machine in store.machines()]
        print(json.dumps(said, indent=2))
    else:
        print(reach.block((machine, ways[machine.bastion]) for machine in active), end="")
    return Exit.DONE


@gateway.command("script")
@click.argument("url")
def script(url: str) -> int:
    """Print a POSIX script that enrols a machine at the gateway URL, and sets its tunnel up.

    For machines without Python: with ssh:// it takes ssh alone, with https:// it takes curl.
    """
    from scitex_ssh.gateway.script import script as made

    print(made(url), end="")
    return Exit.DONE


@gateway.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> int:
    """Copy the database to FILE while the gateway runs."""
    with _packages():
        from scitex_ssh.gateway import backups
    backups.save(_settings(), file)
    print(file)
    return Exit.DONE


@gateway.command("restore")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
def restore(file: Path) -> int:
    """Put a backup back while the gateway runs.

    Machines, tokens and who is revoked are then as they were at the backup. What was there until now is
    kept beside the database, and its path printed: restored, it undoes this.
    """
    with _packages():
        from scitex_ssh.gateway import backups
    settings = _settings()
    former = backups.restore(settings, file)
    _changed(settings, _store(settings))
    print(f"what was there until now is {former}")
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
    with _packages():
        from scitex_ssh.gateway import secrets
        from scitex_ssh.gateway.machine import MachineName
    store = _store()
    times = None if unlimited or admin else uses
    with store.writing() as db:
        kind = "admin" if admin else "join"
        made = secrets.create(db, MachineName(name), kind, store.clock(), times, hours * 3600)
    print(made)
    return Exit.DONE


@token.command("list")
def tokens() -> int:
    """List the tokens that there are, without the tokens themselves."""
    with _packages():
        from scitex_ssh.gateway import secrets
    with _store().reading() as db:
        listed = secrets.listed(db)
    for one in listed:
        uses = "unlimited" if one.uses is None else f"{one.uses} left"
        ends = "never" if one.expires is None else time.strftime("%F %T", time.localtime(one.expires))
        print(f"{one.name:24} {one.kind:6} {uses:12} ends {ends}")
    return Exit.DONE


@token.command("revoke")
@click.argument("name")
def forget(name: str) -> int:
    """End a token. Machines that enrolled with it stay."""
    with _packages():
        from scitex_ssh.gateway import secrets
    with _store().writing() as db:
        secrets.revoke(db, name)
    print(f"{name} opens nothing any more")
    return Exit.DONE


@gateway.command("log")
@click.option("-n", "limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
def log(limit: int) -> int:
    """Show who got what when, the newest last: one JSON object a line."""
    for note in reversed(_store().audit(limit)):
        print(json.dumps(note))
    return Exit.DONE


def _changed(settings: Settings, store: Store) -> None:
    from scitex_ssh.gateway import upkeep

    upkeep.write_keys(settings, store)


def _bastion(settings: Settings, store: Store, name: str) -> Bastion:
    from scitex_ssh.gateway.service import Service

    return Service(settings, store).bastion(name)


def _who() -> str:
    """Who gives the command, for the audit log."""
    return "cli:" + (os.environ.get("SUDO_USER") or os.environ.get("USER") or "?")[:60]


def _was(machine: Machine) -> str:
    return "" if machine.port is None else f"; port {machine.port} is free"


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
