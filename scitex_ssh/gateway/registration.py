"""How a machine comes to its port, and how it comes back to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from scitex_ssh.errors import error
from scitex_ssh.gateway import secrets
from scitex_ssh.gateway.allotment import UNSEEN, Allotment
from scitex_ssh.gateway.machine import Machine, MachineName
from scitex_ssh.gateway.quick import Quick
from scitex_ssh.gateway.tables import AUDIT, MACHINES
from scitex_ssh.render.authorized_keys import PublicKey

# All whom a machine could be, or be in the way of: by its id, its name and its key.
_KNOWN = Quick(
    select(MACHINES)
    .where(
        or_(
            MACHINES.c.id == bindparam("id"),
            MACHINES.c.name == bindparam("name"),
            MACHINES.c.fingerprint == bindparam("print"),
        )
    )
    .with_for_update()
)
_NEW = Quick(insert(MACHINES))
_NOTE = Quick(
    insert(AUDIT).values({each.name: bindparam(each.name) for each in AUDIT.c if each.name != "number"})
)


Row = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """Who asks for a port, and from where.

    Attributes:
        owner: who vouches: ``key:HASH`` of a shared API key, or "" for a machine that has but its own key.
        token: a join token, in clear.
        proven: the caller has shown that it holds the private half of the key.
        secret: what a machine that enrolled over HTTP was given to come back with.
    """

    address: str = ""
    owner: str = ""
    token: str = ""
    proven: bool = False
    secret: str = ""


@dataclass(frozen=True)
class Wish:
    """What a machine says of itself."""

    key: PublicKey
    id: MachineName | None = None
    name: MachineName | None = None
    login: str = ""
    host_keys: tuple[PublicKey, ...] = ()


class Registration:
    """The rules by which machines are let in.

    Args:
        lease: seconds that a port stays a machine's after it was last seen.
        approve: a new machine waits for an admin before it gets a port.
        bind: the address of the bastion on which keys may listen.
    """

    def __init__(
        self, allotment: Allotment, lease: float, approve: bool, bind: str, clock: Callable[[], float]
    ) -> None:
        self._ports, self._lease, self._approve = allotment, lease, approve
        self._bind, self._clock = bind, clock

    def register(
        self, db: Connection, wish: Wish, caller: Caller, owners: tuple[str, ...] = ()
    ) -> tuple[Machine, str]:
        """One registration, as part of a transaction; see `Store.register`."""
        row, others = self._find(db, wish)
        if row is None:
            return self._first(db, wish, caller, others)
        if row["state"] == "revoked":
            raise error("gateway-revoked", name=row["name"])
        known = self._same(db, row, caller, owners)
        if row["state"] == "pending":
            if known:
                put(db, row["id"], **known)
            return Machine.of({**row, **known}), ""
        now = self._clock()
        said = {
            **known,
            **self._placed(db, row),
            "state": "active",
            "bind": self._bind,
            "public_key": str(wish.key),
            "fingerprint": wish.key.fingerprint,
            "address": caller.address[:64],
            "seen": now,
            "expires": now + self._lease,
        }
        if wish.login:
            said["login"] = wish.login[:64]
        if wish.host_keys:
            said["host_keys"] = _lines(wish)
        put(db, row["id"], **said)
        machine = Machine.of({**row, **said})
        what = "renewed" if row["state"] == "active" else "returned"
        note(db, now, what, machine.id, machine.port, caller)
        return machine, ""

    def _find(self, db: Connection, wish: Wish) -> tuple[Row | None, list[Row]]:
        """The machine that it is, and those that have its name or its key."""
        rows = _KNOWN.rows(db, id=wish.id, name=wish.name or wish.id, print=wish.key.fingerprint)
        column, value = ("id", wish.id) if wish.id else ("fingerprint", wish.key.fingerprint)
        return next((row for row in rows if row[column] == value), None), rows

    def _same(self, db: Connection, row: Row, caller: Caller, owners: tuple[str, ...]) -> dict[str, Any]:
        """Raise an error unless the caller is who enrolled this machine; what is new about that."""
        if caller.owner:
            retired = owners and row["owner"].startswith("key:") and row["owner"] not in owners
            if row["owner"] != caller.owner and not retired:
                raise error("gateway-identity", name=row["name"])
            return {"owner": caller.owner}
        if not caller.proven and not secrets.same(secrets.digest(caller.secret), row["secret"] or ""):
            # The key is known, and who sends it has not shown that it is theirs: a token is as good.
            secrets.consume(db, caller.token, self._clock())
        return {}

    def _placed(self, db: Connection, row: Row) -> dict[str, Any]:
        """Where a machine that comes back is from now on, as far as that changes."""
        port = row["port"]
        if port is not None and self._ports.stays(db, row["bastion"], port):
            return {}
        self._ports.free(db, row["bastion"], port)
        return self._ports.allot(db, row["bastion"], row["last_port"])

    def _first(self, db: Connection, wish: Wish, caller: Caller, others: list[Row]) -> tuple[Machine, str]:
        """A machine that nobody has seen before."""
        owner = caller.owner or "token:" + secrets.consume(db, caller.token, self._clock())
        key = str(uuid4()) if wish.id is None else wish.id
        name = wish.name or wish.id or MachineName(f"machine-{key[:8]}")
        if any(row["name"] == name for row in others):
            raise error("gateway-name-taken", name=name, what="machine")
        if others:
            raise error("gateway-identity", name=name)
        given = "" if caller.owner or caller.proven else secrets.new()
        now = self._clock()
        where: dict[str, Any] = {"bastion": self._ports.own, "port": None, "last_port": None, **UNSEEN}
        if not self._approve:
            where = self._ports.allot(db, self._ports.own, None)
        machine = Machine(
            **where,
            id=key,
            name=name,
            state="pending" if self._approve else "active",
            bind=self._bind,
            public_key=str(wish.key),
            fingerprint=wish.key.fingerprint,
            owner=owner,
            host_keys=_lines(wish),
            login=wish.login[:64],
            address=caller.address[:64],
            created=now,
            seen=now,
            expires=now + self._lease,
        )
        _NEW.run(db, **vars(machine), secret=secrets.digest(given) if given else None)
        note(db, now, "pending" if self._approve else "enrolled", key, machine.port, caller)
        return machine, given


def put(db: Connection, key: str, **values: object) -> None:
    """Write these columns of a machine."""
    db.execute(update(MACHINES).where(MACHINES.c.id == key).values(**values))


def note(db: Connection, now: float, what: str, machine: str, port: int | None, caller: Caller) -> None:
    """Write down who got what when."""
    who = caller.owner or ("its own key" if caller.proven else "token")
    where = caller.address[:64]
    _NOTE.run(db, at=now, what=what, machine=machine, port=port, who=who, address=where)


def _lines(wish: Wish) -> str:
    return "\n".join(map(str, wish.host_keys[:5]))
