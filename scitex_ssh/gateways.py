"""The Python API of a gateway: a machine enrols at it, its administrator looks after it on the bastion."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scitex_ssh import policy
from scitex_ssh.errors import InputError, error
from scitex_ssh.gateway import client
from scitex_ssh.gateway.client import Granted
from scitex_ssh.gateway.machine import STATES, Machine, MachineName
from scitex_ssh.gateway.round import Round
from scitex_ssh.gateway.token import Token
from scitex_ssh.model.text import shown

if TYPE_CHECKING:
    from scitex_ssh.gateway.settings import Settings
    from scitex_ssh.gateway.store import Store
    from scitex_ssh.gateway.tables import Bastion

__all__ = [
    "Granted",
    "Machine",
    "Round",
    "Token",
    "approve",
    "audit",
    "backup",
    "connect",
    "create_token",
    "enrol",
    "export",
    "install",
    "machine",
    "machines",
    "rename",
    "restore",
    "revoke",
    "revoke_token",
    "script",
    "tick",
    "tokens",
]

USES, HOURS, NOTES = 1_000_000, 87600, 100_000


# --- the machine's side -----------------------------------------------------------------------


def enrol(
    url: str,
    token: str = "",
    *,
    name: str | None = None,
    key: str | os.PathLike[str] | None = None,
    accept_new_host_key: bool = False,
    over_ssh: str | None = None,
    consent: bool = False,
) -> Granted:
    """Enrol this machine at a gateway, or let it come back; what it is given is what `setup` wants.

    Args:
        url: ``ssh://enrol@bastion.example.com``, or ``https://gw.example.com:12000``.
        token: a join token; a machine that the gateway knows needs none.
        name: what the gateway is to call it; by default its host name.
        key: the private key; by default one of this gateway's own in ``~/.ssh``. Made where it is not there;
            it stays here.
        accept_new_host_key: with ``ssh://``, trust the host key of the gateway where none is known.
        over_ssh: with HTTP, a host of ssh from which the gateway is reached.
        consent: True says that the rules of the networks concerned permit a tunnel (see `setup`).

    Raises:
        InputError: for an address that is none.
        PolicyError: where tunnels are not allowed; nothing was sent.
        SSHError: ``gateway-...`` for what the gateway, or the way to it, does not let happen.
    """
    policy.check("tunnels", *policy.this_host(), consent=consent)
    return client.enrol(
        url,
        token,
        name=name,
        key=None if key is None else Path(key).expanduser(),
        accept_new_host_key=accept_new_host_key,
        over_ssh=over_ssh,
    )


def script(url: str) -> str:
    """The POSIX script that enrols a machine without Python, and sets its tunnel up.

    Raises:
        InputError: for an address that is none.
    """
    from scitex_ssh.gateway.script import script as made

    return made(url)


# --- the administrator's, on the bastion ------------------------------------------------------


def machines(state: str | None = None) -> list[Machine]:
    """The machines that the gateway knows, by name.

    Args:
        state: only those that are ``pending``, ``active``, ``expired`` or ``revoked``.

    Raises:
        InputError: for another state.
    """
    if state is not None and state not in STATES:
        raise _usage(f"{shown(state)} is no state of a machine: {', '.join(STATES)} are")
    with _gateway() as (_, store):
        return store.machines(state or "")


def machine(name: str) -> Machine:
    """The machine of that name or id; `SSHError` ``gateway-unknown`` where there is none."""
    with _gateway() as (_, store):
        return store.find(name)


def connect(name: str) -> str:
    """The one command that reaches a machine; "" while it has no port."""
    with _gateway() as (settings, store):
        from scitex_ssh.gateway import reach

        found = store.find(name)
        return reach.command(found, _bastion(settings, store, found.bastion))


def approve(name: str) -> Machine:
    """Give a machine that waits its port.

    Raises:
        SSHError: ``gateway-unknown``, ``gateway-revoked``, ``gateway-full``.
    """
    with _gateway() as (settings, store):
        from scitex_ssh.gateway import upkeep

        found = store.approve_machine(name, _who())
        upkeep.write_keys(settings, store)
        return found


def rename(name: str, to: str) -> Machine:
    """Call a machine by another name.

    Raises:
        InputError: for a name that cannot be one.
        SSHError: ``gateway-unknown``, ``gateway-name-taken``.
    """
    with _gateway() as (settings, store):
        from scitex_ssh.gateway import upkeep

        found = store.rename(name, MachineName(to), _who())
        upkeep.write_keys(settings, store)
        return found


def revoke(name: str) -> Machine:
    """Take a machine its port and its key, and end its session; the machine as it was before.

    Raises:
        SSHError: ``gateway-unknown``; ``gateway-session`` where its session stands all the same.
    """
    with _gateway() as (settings, store):
        from scitex_ssh.gateway import sessions, upkeep

        found = store.revoke(name, _who())
        upkeep.tick(settings, store)
        ours = found.bastion == store.bastion.name
        if ours and found.port is not None and found.port in sessions.listening(settings.ssh_user):
            raise error("gateway-session", name=found.name, port=found.port)
        return found


def tick() -> Round:
    """Renew what is up, end what is over, cut what was revoked: one round, as the timer does it."""
    with _gateway() as (settings, store):
        from scitex_ssh.gateway import upkeep

        return upkeep.tick(settings, store)


def export(form: str = "ssh") -> str:
    """Every machine that has a port, as text for clients.

    Args:
        form: ``ssh`` (blocks of ssh_config(5)) or ``json`` (all machines, as `clients.read` takes them).

    Raises:
        InputError: for another form.
    """
    if form not in ("ssh", "json"):
        raise _usage(f"{shown(form)} is no form of an export: ssh and json are")
    with _gateway() as (settings, store):
        from scitex_ssh.gateway import reach

        known = store.machines()
        active = [each for each in known if each.state == "active"]
        ways = {name: _bastion(settings, store, name) for name in {each.bastion for each in active}}
        if form == "ssh":
            return reach.block((each, ways[each.bastion]) for each in active)
        via = {each.id: reach.jump(ways[each.bastion]) for each in active}
        said = [{**each.as_dict(), "via": via.get(each.id, "")} for each in known]
        return json.dumps(said, indent=2) + "\n"


def audit(limit: int = 100) -> list[dict[str, object]]:
    """Who got what when, the newest last: ``number``, ``time`` (seconds since 1970), ``what`` and more.

    Raises:
        InputError: for a limit that is not from 1 to 100,000.
    """
    if not 1 <= limit <= NOTES:
        raise _usage(f"{shown(limit)} notes cannot be shown: 1 to {NOTES} can")
    with _gateway() as (_, store):
        return list(reversed(store.audit(limit)))


def create_token(name: str, *, uses: int | None = 1, hours: float = 24, admin: bool = False) -> str:
    """Make a token. This is the only time that it is told; what is kept is a digest.

    Args:
        uses: how many machines may enrol with it; None for as many as come before it expires.
        hours: how long it is good.
        admin: a token for the API and the page, and not to enrol with; it has no ``uses``.

    Raises:
        InputError: for a name, a number or a time that cannot be one.
        SSHError: ``gateway-name-taken``.
    """
    if uses is not None and not 1 <= uses <= USES:
        raise _usage(f"a token cannot be good for {shown(uses)} machines: 1 to {USES} can be")
    if not 0.01 <= hours <= HOURS:
        raise _usage(f"a token cannot be good for {shown(hours)} hours: 0.01 to {HOURS} can be")
    called = MachineName(name)
    with _gateway() as (_, store):
        from scitex_ssh.gateway import secrets

        kind, times = ("admin", None) if admin else ("join", uses)
        with store.writing() as db:
            return secrets.create(db, called, kind, store.clock(), times, hours * 3600)


def tokens() -> list[Token]:
    """The tokens that there are, by name, without the tokens themselves."""
    with _gateway() as (_, store):
        from scitex_ssh.gateway import secrets

        with store.reading() as db:
            return secrets.listed(db)


def revoke_token(name: str) -> None:
    """End a token; machines that enrolled with it stay. `SSHError` ``gateway-unknown`` for none."""
    with _gateway() as (_, store):
        from scitex_ssh.gateway import secrets

        with store.writing() as db:
            secrets.revoke(db, name)


def backup(file: str | os.PathLike[str]) -> Path:
    """Copy the database to a new file, readable by its owner alone, while the gateway runs; that path.

    Raises:
        SSHError: ``gateway-storage`` where it is not SQLite; ``file-failed`` where the file is there already,
            or cannot be written.
    """
    with packages():
        from scitex_ssh.gateway import backups
    backups.save(settings(), Path(file))
    return Path(file)


def restore(file: str | os.PathLike[str]) -> Path:
    """Put a backup back while the gateway runs; where the state until now was saved.

    Raises:
        SSHError: ``gateway-storage`` where it is not SQLite, or the file is no backup or one of a newer
            version; ``file-failed``. Nothing has changed then.
    """
    with packages():
        from scitex_ssh.gateway import backups
    former = backups.restore(settings(), Path(file))
    with _gateway() as (here, store):
        from scitex_ssh.gateway import upkeep

        upkeep.write_keys(here, store)
    return former


def install(*, http: bool = False, dry_run: bool = False) -> list[str]:
    """Make this machine a gateway: its accounts, what sshd asks, units of systemd. Takes root.

    Args:
        http: keep the HTTP server running, too.
        dry_run: change nothing.

    Returns:
        What was changed, or would be, in words; nothing where nothing was to be done.

    Raises:
        SSHError: where a step fails; ``gateway-packages`` where the extra is missing.
    """
    with packages():
        from scitex_ssh.gateway import install as steps
    return steps.due(settings(), http) if dry_run else list(steps.install(settings(), http))


# --- for these, and for the command -----------------------------------------------------------


@contextmanager
def packages() -> Iterator[None]:
    """What is missing is told as an error of ours."""
    try:
        yield
    except ImportError as problem:
        raise error("gateway-packages", why=str(problem)) from problem


def settings(**flags: object) -> Settings:
    """Those of the gateway of this machine; a flag that is not None goes first."""
    with packages():
        from scitex_ssh.gateway.settings import Settings, environment
    return Settings.of(environment(os.environ), **flags)


@contextmanager
def _gateway() -> Iterator[tuple[Settings, Store]]:
    """The gateway of this machine, for one call."""
    with packages():
        from scitex_ssh.gateway.service import opened
    here = settings()
    store = opened(here)
    try:
        yield here, store
    finally:
        store.close()


def _bastion(settings: Settings, store: Store, name: str) -> Bastion:
    from scitex_ssh.gateway.service import Service

    return Service(settings, store).bastion(name)


def _who() -> str:
    """Who it was, for the audit log."""
    return "local:" + (os.environ.get("SUDO_USER") or os.environ.get("USER") or "?")[:60]


def _usage(why: str) -> InputError:
    return InputError("usage", why=why, command="scitex-ssh gateway")
