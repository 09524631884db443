"""What a gateway answers, whatever way the question came: HTTP, or a forced command of sshd."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from scitex_ssh.errors import SSHError, error
from scitex_ssh.gateway import limits, old_agents, secrets, upkeep
from scitex_ssh.gateway.machine import Machine, MachineName
from scitex_ssh.gateway.registration import Caller, Wish
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import WEEK, Store
from scitex_ssh.gateway.tables import Bastion
from scitex_ssh.gateway.transactions import Answer, Job, Then
from scitex_ssh.render.authorized_keys import PublicKey


def opened(settings: Settings) -> Store:
    """The store of a gateway."""
    return Store(
        settings.database,
        settings.pool(),
        lease=settings.lease_days * WEEK / 7,
        approve=settings.approve,
        bind=settings.bind,
        bastion=here(settings),
    )


def here(settings: Settings) -> Bastion:
    """This machine, as one of the bastions that share a database."""
    return Bastion(
        settings.bastion,
        settings.jump_host or "",
        settings.ssh_port,
        settings.ssh_user,
        settings.jump_user,
        "\n".join(host_keys()),
    )


class Service:
    """Questions of machines, with limits on wrong answers to ours."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings, self.store, self._here = settings, store, here(settings)
        self._owners = tuple("key:" + secrets.digest(key)[:16] for key in settings.api_keys)

    def api_owner(self, candidate: str) -> str:
        """Who a shared API key stands for; "" for one that is none of them."""
        matches = [secrets.same(candidate, key) for key in self.settings.api_keys]
        return self._owners[matches.index(True)] if any(matches) else ""

    def admin(self, token: str, address: str) -> str:
        """The name of an admin token; errors as for `api_owner`."""
        limits.check(self.store, address)
        with self.store.reading() as db:
            name = secrets.admin(db, token, self.store.clock())
        if not name:
            limits.failed(self.store, address)
            raise error("gateway-token", why="it is no admin token, or has expired")
        return name

    def enrol(self, said: dict[str, object], caller: Caller) -> dict[str, object]:
        """Enrol a machine that has shown that its key is its own, or let it come back."""
        try:
            answer, _ = self.store.transactions.write(self.enrolling(said, caller))
        except SSHError as problem:
            if problem.slug == "gateway-token":
                limits.failed(self.store, caller.address)
            raise
        self.changed()
        return answer

    async def soon(self, job: Job[Answer], address: str, then: Then | None = None) -> Answer:
        """Have a job done together with others that wait, for an address; see `Transactions.soon`."""
        transactions, clock = self.store.transactions, self.store.clock
        try:
            return await asyncio.wrap_future(transactions.soon(job, then))
        except SSHError as problem:
            if problem.slug == "gateway-token":
                wrong = transactions.soon(lambda db: limits.counted(db, clock(), address))
                await asyncio.wrap_future(wrong)
            raise

    def wrong_api_key(self, address: str) -> Job[None]:
        """Refuse an address: ``gateway-token``, or ``gateway-limit`` where it was wrong too often."""

        def job(db: Connection) -> None:
            limits.checked(db, self.store.clock(), address)
            raise error("gateway-token", why="it is none of the API keys")

        return job

    def enrolling(self, said: dict[str, object], caller: Caller) -> Job[tuple[dict[str, object], str]]:
        """Enrol a machine with its own key, or let it come back; its secret goes apart.

        What it says is looked at now, and the machine let in when the job is done.
        """
        host_keys = said.get("host_keys") or ()
        if not isinstance(host_keys, (list, tuple)):
            raise error("gateway-request", why="host_keys is no list")
        wish = Wish(
            PublicKey.parse(said.get("public_key")),
            None,
            MachineName(said["name"]) if said.get("name") else None,
            _login(said.get("login")),
            tuple(PublicKey.parse(key) for key in host_keys),
        )

        def job(db: Connection) -> tuple[dict[str, object], str]:
            limits.checked(db, self.store.clock(), caller.address)
            machine, secret = self.store.registered(db, wish, caller)
            return granted(machine, self._bastion(db, machine.bastion)), secret

        return job

    def registering(self, agent_id: str | None, api_key: str, caller: Caller) -> Job[dict[str, object]]:
        """The action ``register`` of ssh-tunnel-gateway: a key is made for the machine, anew each time."""
        if not self.settings.server_keys:
            raise error("gateway-server-keys")
        private, public = old_agents.key_pair()
        sealed = old_agents.sealed(private, api_key)
        wish = Wish(public, MachineName(agent_id) if agent_id else _fresh())

        def job(db: Connection) -> dict[str, object]:
            limits.checked(db, self.store.clock(), caller.address)
            machine, _ = self.store.registered(db, wish, caller, self._owners)
            bastion = self._bastion(db, machine.bastion)
            known = machine.created != machine.seen
            if known and self.store.held(machine.port, machine.bastion):
                # Only this machine's own, former session can hold it; its key is another one now.
                self.store.end_session(db, machine.bastion, machine.port or 0)
            return {
                "agent_id": machine.id,
                "state": machine.state,
                "port_b": machine.port,
                "ssh_user": bastion.ssh_user,
                "ssh_jump_user": bastion.jump_user,
                "ssh_jump_host": bastion.host or None,
                "reverse_bind_host": machine.bind,
                "public_key": str(public),
                "encrypted_private_key": sealed,
            }

        return job

    def changed(self) -> None:
        """A key came or went: sshd has to see it before anybody is told."""
        upkeep.write_keys(self.settings, self.store)

    def bastion(self, name: str) -> Bastion:
        """One of the bastions that share the database."""
        if name == self.store.bastion.name:
            return self._here
        return self.store.bastion_of(name)

    def _bastion(self, db: Connection, name: str) -> Bastion:
        return self._here if name == self.store.bastion.name else self.store.bastion_in(db, name)


def granted(machine: Machine, bastion: Bastion) -> dict[str, object]:
    """What a machine is told of itself, and of its bastion."""
    return {
        "id": machine.id,
        "name": machine.name,
        "state": machine.state,
        "port": machine.port,
        "expires": machine.expires,
        "bastion": {
            "user": bastion.ssh_user,
            "host": bastion.host or None,
            "port": bastion.ssh_port,
            "host_keys": bastion.host_keys.splitlines(),
        },
    }


def way(answer: Mapping[str, Any]) -> str:
    """What a script reads of an answer: ``PORT USER HOST PORT``, the host being - where it is not known."""
    bastion = answer["bastion"]
    return f"{answer['port']} {bastion['user']} {bastion['host'] or '-'} {bastion['port']}"


def host_keys(folder: Path = Path("/etc/ssh")) -> list[str]:
    """The public host keys of this bastion."""
    found = []
    for path in sorted(folder.glob("ssh_host_*_key.pub")):
        try:
            found.append(str(PublicKey.parse(path.read_text(encoding="ascii"))))
        except (OSError, UnicodeDecodeError, SSHError):
            # One that is not sshd's business; the others are as good.
            continue
    return found


def _fresh() -> MachineName:
    from uuid import uuid4

    return MachineName(str(uuid4()))


def _login(value: object) -> str:
    if value is None or value == "":
        return ""
    if (
        not isinstance(value, str)
        or not value.isascii()
        or not value.replace("_", "a").replace("-", "a").isalnum()
    ):
        raise error("gateway-request", why="login is no name of an account")
    return value[:64]
