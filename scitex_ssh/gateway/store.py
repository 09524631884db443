"""The one truth of a gateway: which machine has which port, until when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from scitex_ssh.errors import error
from scitex_ssh.gateway import ports, secrets, tables
from scitex_ssh.gateway.machine import Machine, MachineName
from scitex_ssh.gateway.tables import AUDIT, CUTS, FREE, MACHINES
from scitex_ssh.render.authorized_keys import PublicKey

WEEK = 7 * 86400.0


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


class Store:
    """Machines and their ports, in a database that several gateways may share.

    Each method is one transaction: it is all on the disk when the method returns, or nothing of it is.

    Args:
        url: of SQLAlchemy; ``sqlite:////path`` or ``postgresql+psycopg://...``.
        lease: seconds that a port stays a machine's after it was last seen.
        approve: a new machine waits for an admin before it gets a port.
        bind: the address of the bastion on which keys may listen.
        busy: whether a process of this machine holds a port.
    """

    def __init__(
        self,
        url: str,
        pool: ports.Pool,
        *,
        lease: float = WEEK,
        approve: bool = False,
        bind: str = "localhost",
        clock: Callable[[], float] = time.time,
        busy: ports.Busy = ports.busy,
    ) -> None:
        self.pool, self.lease, self.approve, self.bind = pool, lease, approve, bind
        self.clock, self._busy = clock, busy
        self.engine = tables.engine(url)
        tables.prepare(self.engine, pool)
        self._writer = self.engine.execution_options(writes=True)
        # SQLite lets one write at a time, and those who wait for it sleep; here they queue.
        self._turn = threading.Lock()

    # --- registering ---------------------------------------------------------------------------

    def register(self, wish: Wish, caller: Caller, owners: tuple[str, ...] = ()) -> tuple[Machine, str]:
        """Give the machine its port: a new one, the one that it has, or the one that it had.

        Args:
            owners: the shared keys of today. A machine of a shared key that is no longer among them goes
                over to the caller's; otherwise no key could ever be changed.

        Returns:
            The machine, and the secret that a new one over HTTP comes back with, or "".

        Raises:
            SSHError: ``gateway-token``, ``gateway-revoked``, ``gateway-identity``, ``gateway-full``,
                ``gateway-name-taken``.
        """
        for _ in range(5):
            try:
                with self.writing() as db:
                    return self._register(db, wish, caller, owners)
            except IntegrityError as problem:
                # Another gateway on the same database was faster: look again.
                collision = problem
        raise error("gateway-storage", url="of this gateway", why=str(collision.orig)) from collision

    def _register(
        self, db: Connection, wish: Wish, caller: Caller, owners: tuple[str, ...] = ()
    ) -> tuple[Machine, str]:
        row = self._find(db, wish)
        if row is None:
            return self._first(db, wish, caller)
        if row["state"] == "revoked":
            raise error("gateway-revoked", name=row["name"])
        self._same(db, row, caller, owners)
        if row["state"] == "pending":
            return self._get(db, row["id"]), ""
        port = row["port"]
        if port is None or port not in self.pool:
            self._free(db, port)
            port = self._allot(db, row["last_port"])
        self._set(db, row["id"], state="active", port=port, last_port=port, bind=self.bind)
        self._set(db, row["id"], public_key=str(wish.key), fingerprint=wish.key.fingerprint)
        self._describe(db, row["id"], wish, caller)
        self._note(db, "renewed" if row["state"] == "active" else "returned", row["id"], port, caller)
        return self._get(db, row["id"]), ""

    def _find(self, db: Connection, wish: Wish) -> RowMapping | None:
        mine = MACHINES.c.id == wish.id if wish.id else MACHINES.c.fingerprint == wish.key.fingerprint
        return db.execute(select(MACHINES).where(mine).with_for_update()).mappings().first()

    def _same(self, db: Connection, row: RowMapping, caller: Caller, owners: tuple[str, ...]) -> None:
        """Raise an error unless the caller is who enrolled this machine."""
        if caller.owner:
            retired = owners and row["owner"].startswith("key:") and row["owner"] not in owners
            if row["owner"] != caller.owner and not retired:
                raise error("gateway-identity", name=row["name"])
            self._set(db, row["id"], owner=caller.owner)
        elif not caller.proven and not secrets.same(secrets.digest(caller.secret), row["secret"] or ""):
            # The key is known, and who sends it has not shown that it is theirs: a token is as good.
            secrets.consume(db, caller.token, self.clock())

    def _first(self, db: Connection, wish: Wish, caller: Caller) -> tuple[Machine, str]:
        """A machine that nobody has seen before."""
        owner = caller.owner or "token:" + secrets.consume(db, caller.token, self.clock())
        key = str(uuid4()) if wish.id is None else wish.id
        name = wish.name or wish.id or MachineName(f"machine-{key[:8]}")
        if db.scalar(select(MACHINES.c.id).where(MACHINES.c.name == name)):
            raise error("gateway-name-taken", name=name, what="machine")
        if db.scalar(select(MACHINES.c.id).where(MACHINES.c.fingerprint == wish.key.fingerprint)):
            raise error("gateway-identity", name=name)
        port = None if self.approve else self._allot(db, None)
        given = "" if caller.owner or caller.proven else secrets.new()
        now = self.clock()
        db.execute(
            insert(MACHINES).values(
                id=key,
                name=name,
                state="pending" if self.approve else "active",
                port=port,
                last_port=port,
                bind=self.bind,
                public_key=str(wish.key),
                fingerprint=wish.key.fingerprint,
                owner=owner,
                secret=secrets.digest(given) if given else None,
                created=now,
                seen=now,
                expires=now + self.lease,
            )
        )
        self._describe(db, key, wish, caller)
        self._note(db, "pending" if self.approve else "enrolled", key, port, caller)
        return self._get(db, key), given

    def _describe(self, db: Connection, key: str, wish: Wish, caller: Caller) -> None:
        """Write down what it says of itself, and that it was seen."""
        said: dict[str, object] = {"address": caller.address[:64]}
        if wish.login:
            said["login"] = wish.login[:64]
        if wish.host_keys:
            said["host_keys"] = "\n".join(map(str, wish.host_keys[:5]))
        now = self.clock()
        self._set(db, key, seen=now, expires=now + self.lease, **said)

    def _allot(self, db: Connection, former: int | None) -> int:
        """Take a free port out of the pool: the former one if it can be, else the one free the longest."""
        passed: set[int] = set()
        if former is not None:
            found: int | None = db.scalar(_free_port(FREE.c.port == former))
            if found is not None and not self._busy(found):
                db.execute(delete(FREE).where(FREE.c.port == found))
                return found
            passed.add(former)
        while True:
            found = db.scalar(_free_port().order_by(FREE.c.freed, FREE.c.port).limit(1))
            if found is None or (found in passed and self._busy(found)):
                raise error("gateway-full", first=self.pool.first, last=self.pool.last)
            if not self._busy(found):
                db.execute(delete(FREE).where(FREE.c.port == found))
                return found
            # A program of the bastion holds it: to the back of the queue.
            passed.add(found)
            db.execute(update(FREE).where(FREE.c.port == found).values(freed=self.clock()))

    # --- living --------------------------------------------------------------------------------

    def renew(self, key: str, caller: Caller) -> Machine:
        """A sign of life of an active machine, by the one who enrolled it: ``gateway-unknown`` otherwise."""
        with self.writing() as db:
            row = db.execute(select(MACHINES).where(MACHINES.c.id == key)).mappings().first()
            if row is None or row["state"] != "active" or (caller.owner and row["owner"] != caller.owner):
                raise error("gateway-unknown", name=key, what="machine")
            now = self.clock()
            self._set(db, key, seen=now, expires=now + self.lease, address=caller.address[:64])
            return self._get(db, key)

    def saw(self, live: Collection[int]) -> int:
        """Renew the leases of the machines whose ports are held by their tunnels; how many."""
        now, count, numbers = self.clock(), 0, sorted(live)
        for start in range(0, len(numbers), 500):
            with self.writing() as db:
                mine = and_(MACHINES.c.port.in_(numbers[start : start + 500]), MACHINES.c.state == "active")
                done = db.execute(update(MACHINES).where(mine).values(seen=now, expires=now + self.lease))
                count += done.rowcount
        return count

    def expire(self, live: Collection[int] = ()) -> list[Machine]:
        """End the leases that are over, but for those whose tunnel is up at this moment."""
        self.saw(live)
        with self.writing() as db:
            over = and_(MACHINES.c.state == "active", MACHINES.c.expires < self.clock())
            ended = [Machine.of(row) for row in db.execute(select(MACHINES).where(over).with_for_update())]
            for machine in ended:
                self._set(db, machine.id, state="expired", port=None)
                self._free(db, machine.port)
                self._note(db, "expired", machine.id, machine.port, Caller())
        return ended

    # --- what an admin does --------------------------------------------------------------------

    def find(self, name: str) -> Machine:
        """The machine of that name or id; ``gateway-unknown`` when there is none."""
        with self.reading() as db:
            return self._named(db, name)

    def holder(self, fingerprint: str) -> Machine:
        """The machine of a key; ``gateway-unknown`` when there is none."""
        with self.reading() as db:
            row = db.execute(select(MACHINES).where(MACHINES.c.fingerprint == fingerprint)).first()
            if row is None:
                raise error("gateway-unknown", name=fingerprint, what="machine with the key")
            return Machine.of(row)

    def approve_machine(self, name: str, who: str = "admin") -> Machine:
        """Give a machine that waits its port."""
        with self.writing() as db:
            machine = self._named(db, name)
            if machine.state == "revoked":
                raise error("gateway-revoked", name=machine.name)
            if machine.state == "pending":
                port, now = self._allot(db, machine.last_port), self.clock()
                self._set(db, machine.id, state="active", port=port, last_port=port)
                self._set(db, machine.id, seen=now, expires=now + self.lease)
                self._note(db, "approved", machine.id, port, Caller(owner=who))
            return self._get(db, machine.id)

    def revoke(self, name: str, who: str = "admin") -> Machine:
        """Take a machine its port and its key's line; its live session is to be cut."""
        with self.writing() as db:
            machine = self._named(db, name)
            if machine.state != "revoked":
                self._set(db, machine.id, state="revoked", port=None, secret=None)
                self._free(db, machine.port)
                if machine.port is not None:
                    self._cut(db, machine.port)
                self._note(db, "revoked", machine.id, machine.port, Caller(owner=who))
            return machine

    def rename(self, name: str, to: MachineName, who: str = "admin") -> Machine:
        """Call a machine by another name."""
        with self.writing() as db:
            machine = self._named(db, name)
            other = db.scalar(select(MACHINES.c.id).where(MACHINES.c.name == to))
            if other not in (None, machine.id):
                raise error("gateway-name-taken", name=to, what="machine")
            self._set(db, machine.id, name=to)
            self._note(db, "renamed", machine.id, machine.port, Caller(owner=who))
            return self._get(db, machine.id)

    def machines(self, state: str = "") -> list[Machine]:
        """All of them, or those in a state, by name."""
        wanted = select(MACHINES).order_by(MACHINES.c.name)
        with self.reading() as db:
            rows = db.execute(wanted.where(MACHINES.c.state == state) if state else wanted)
            return [Machine.of(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many machines are in which state, and how many ports are free."""
        with self.reading() as db:
            rows = db.execute(select(MACHINES.c.state, func.count()).group_by(MACHINES.c.state))
            return {**{row[0]: row[1] for row in rows}, "free": _count(db)}

    def audit(self, limit: int = 100) -> list[dict[str, object]]:
        """Who got what when, the newest first."""
        with self.reading() as db:
            rows = db.execute(select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)).mappings()
            return [dict(row) for row in rows]

    def cut(self, port: int) -> None:
        """Have the session that holds the port now end."""
        with self.writing() as db:
            self._cut(db, port)

    def cuts(self) -> dict[int, float]:
        """Ports whose sessions are to end, if they began before that time."""
        with self.reading() as db:
            return {row.port: row.before for row in db.execute(select(CUTS))}

    def was_cut(self, port: int, before: float) -> None:
        """The session is gone."""
        with self.writing() as db:
            db.execute(delete(CUTS).where(CUTS.c.port == port, CUTS.c.before == before))

    # --- within a transaction ------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; what it did is on the disk when it ends without an error."""
        with self._turn, _told(), self._writer.begin() as db:
            yield db

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of all tables."""
        with _told(), self.engine.begin() as db:
            yield db

    def _named(self, db: Connection, name: str) -> Machine:
        name = MachineName(name)
        mine = (MACHINES.c.id == name) | (MACHINES.c.name == name)
        row = db.execute(select(MACHINES).where(mine).with_for_update()).first()
        if row is None:
            raise error("gateway-unknown", name=name, what="machine")
        return Machine.of(row)

    def _get(self, db: Connection, key: str) -> Machine:
        return Machine.of(db.execute(select(MACHINES).where(MACHINES.c.id == key)).one())

    def _set(self, db: Connection, key: str, **values: object) -> None:
        db.execute(update(MACHINES).where(MACHINES.c.id == key).values(**values))

    def _free(self, db: Connection, port: int | None) -> None:
        if port is not None and port in self.pool:
            db.execute(insert(FREE).values(port=port, freed=self.clock()))

    def _cut(self, db: Connection, port: int) -> None:
        db.execute(delete(CUTS).where(CUTS.c.port == port))
        db.execute(insert(CUTS).values(port=port, before=self.clock()))

    def _note(self, db: Connection, what: str, machine: str, port: int | None, caller: Caller) -> None:
        who = caller.owner or ("its own key" if caller.proven else "token")
        db.execute(
            insert(AUDIT).values(
                at=self.clock(), what=what, machine=machine, port=port, who=who, address=caller.address[:64]
            )
        )


@contextmanager
def _told() -> Iterator[None]:
    """A database that fails, as an error of the catalogue."""
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as problem:
        why = str(getattr(problem, "orig", None) or problem).splitlines()[0]
        raise error("gateway-storage", url="of this gateway", why=why) from problem


def _free_port(*where: ColumnElement[bool]) -> Select[Any]:
    """Free ports that no other gateway is taking at this moment."""
    return select(FREE.c.port).where(*where).with_for_update(skip_locked=True)


def _count(db: Connection) -> int:
    return db.scalar(select(func.count()).select_from(FREE)) or 0
