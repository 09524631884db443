"""The one truth of a gateway: which machine has which port, until when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Connection,
    RowMapping,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from scitex_ssh.errors import error
from scitex_ssh.gateway import ports, secrets, tables
from scitex_ssh.gateway.machine import Machine, MachineName
from scitex_ssh.gateway.tables import AUDIT, AWAY, BASTIONS, CUTS, FREE, MACHINES, Bastion
from scitex_ssh.render.authorized_keys import PublicKey

WEEK = 7 * 86400.0
# Seconds after which a tunnel that was not seen is down.
DOWN = 50.0


# What every registration asks, made once: to put a statement together costs more than to run it.
_BY_ID = select(MACHINES).where(MACHINES.c.id == bindparam("id")).with_for_update()
_BY_KEY = select(MACHINES).where(MACHINES.c.fingerprint == bindparam("print")).with_for_update()
_CLASH = (
    select(MACHINES.c.name)
    .where(or_(MACHINES.c.name == bindparam("name"), MACHINES.c.fingerprint == bindparam("print")))
    .order_by(MACHINES.c.name != bindparam("name"))
)
_THERE = select(BASTIONS.c.name, BASTIONS.c.held, BASTIONS.c.size).where(
    or_(BASTIONS.c.name == bindparam("own"), BASTIONS.c.seen > bindparam("since"))
)
# Free ports of a bastion that no other gateway is taking at this moment.
_FREE = (
    select(FREE.c.port)
    .where(FREE.c.bastion == bindparam("at"), FREE.c.foreign.is_(False))
    .with_for_update(skip_locked=True)
)
_NEXT = _FREE.order_by(FREE.c.freed, FREE.c.port).limit(1)
_TAKE = delete(FREE).where(FREE.c.bastion == bindparam("at"), FREE.c.port == bindparam("number"))
_COUNT = (
    update(BASTIONS)
    .where(BASTIONS.c.name == bindparam("at"))
    .values(held=BASTIONS.c.held + bindparam("more"))
)
_NEW, _NOTE = insert(MACHINES), insert(AUDIT)
# Of a tunnel on a port that was given out just now.
_UNSEEN: dict[str, Any] = {"up": 0.0, "dialled": 0.0, "proof": ""}


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
        bastion: what this machine is, among those that share the database.
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
        bastion: Bastion = Bastion(),  # noqa: B008  # a frozen value
        clock: Callable[[], float] = time.time,
        busy: ports.Busy = ports.busy,
    ) -> None:
        self.pool, self.lease, self.approve, self.bind = pool, lease, approve, bind
        self.clock, self._busy, self.bastion = clock, busy, bastion
        self.engine = tables.engine(url)
        tables.prepare(self.engine, pool, bastion, clock())
        self._writer = self.engine.execution_options(writes=True)
        # SQLite lets one write at a time, and those who wait for it sleep; here they queue.
        alone = self.engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[object] = threading.Lock() if alone else nullcontext()

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
        if port is None or not self._stays(db, row["bastion"], port):
            self._free(db, row["bastion"], port)
            self._set(db, row["id"], **self._allot(db, row["bastion"], row["last_port"]))
        self._set(db, row["id"], state="active", bind=self.bind)
        self._set(db, row["id"], public_key=str(wish.key), fingerprint=wish.key.fingerprint)
        self._describe(db, row["id"], wish, caller)
        machine = self._get(db, row["id"])
        what = "renewed" if row["state"] == "active" else "returned"
        self._note(db, what, machine.id, machine.port, caller)
        return machine, ""

    def _find(self, db: Connection, wish: Wish) -> RowMapping | None:
        if wish.id:
            return db.execute(_BY_ID, {"id": wish.id}).mappings().first()
        return db.execute(_BY_KEY, {"print": wish.key.fingerprint}).mappings().first()

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
        other = db.execute(_CLASH, {"name": name, "print": wish.key.fingerprint}).first()
        if other is not None and other.name == name:
            raise error("gateway-name-taken", name=name, what="machine")
        if other is not None:
            raise error("gateway-identity", name=name)
        given = "" if caller.owner or caller.proven else secrets.new()
        now = self.clock()
        where: dict[str, Any] = {"bastion": self.bastion.name, "port": None, "last_port": None}
        if not self.approve:
            where = self._allot(db, self.bastion.name, None)
        machine = Machine(
            **_UNSEEN | where,
            id=key,
            name=name,
            state="pending" if self.approve else "active",
            bind=self.bind,
            public_key=str(wish.key),
            fingerprint=wish.key.fingerprint,
            owner=owner,
            host_keys=_lines(wish),
            login=wish.login[:64],
            address=caller.address[:64],
            created=now,
            seen=now,
            expires=now + self.lease,
        )
        db.execute(_NEW, {**vars(machine), "secret": secrets.digest(given) if given else None})
        self._note(db, "pending" if self.approve else "enrolled", key, machine.port, caller)
        return machine, given

    def _describe(self, db: Connection, key: str, wish: Wish, caller: Caller) -> None:
        """Write down what it says of itself, and that it was seen."""
        said: dict[str, object] = {"address": caller.address[:64]}
        if wish.login:
            said["login"] = wish.login[:64]
        if wish.host_keys:
            said["host_keys"] = _lines(wish)
        now = self.clock()
        self._set(db, key, seen=now, expires=now + self.lease, **said)

    def _allot(self, db: Connection, bastion: str, former: int | None) -> dict[str, Any]:
        """A port for a machine: the one that it had if it can be, else one of the least loaded bastion.

        Returns:
            The values of the machine's columns that say where it is.
        """
        for name in self._bastions(db, bastion if former is not None else None):
            port = self._take(db, name, former if name == bastion else None)
            if port is not None:
                self._count(db, name, 1)
                where = {"bastion": name, "port": port, "last_port": port}
                return _UNSEEN | where
        raise error("gateway-full", first=self.pool.first, last=self.pool.last)

    def _bastions(self, db: Connection, first: str | None) -> list[str]:
        """The bastions that are there: one that a machine was on before, then by their load."""
        rows = db.execute(_THERE, {"own": self.bastion.name, "since": self.clock() - AWAY}).all()
        rows = sorted(rows, key=lambda row: (row.name != first, row.held / (row.size or 1), row.name))
        return [row.name for row in rows]

    def _take(self, db: Connection, bastion: str, former: int | None) -> int | None:
        """Take a port out of a bastion's pool: the former one, else the one free the longest; or None."""
        passed: set[int] = set()
        if former is not None:
            found: int | None = db.scalar(_FREE.where(FREE.c.port == former), {"at": bastion})
            if found is not None and not self._foreign(bastion, found):
                db.execute(_TAKE, {"at": bastion, "number": found})
                return found
            passed.add(former)
        while True:
            # Not by their order alone: two that were put to the back in the same moment have none.
            untried = _NEXT.where(FREE.c.port.not_in(passed)) if passed else _NEXT
            found = db.scalar(untried, {"at": bastion})
            if found is None:
                return None
            if not self._foreign(bastion, found):
                db.execute(_TAKE, {"at": bastion, "number": found})
                return int(found)
            # A program of the bastion holds it: to the back of the queue.
            passed.add(found)
            mine = and_(FREE.c.bastion == bastion, FREE.c.port == found)
            db.execute(update(FREE).where(mine).values(freed=self.clock()))

    def _foreign(self, bastion: str, port: int) -> bool:
        """Whether another program holds a port. Of other bastions it is known from when they looked."""
        return bastion == self.bastion.name and self._busy(port)

    def _stays(self, db: Connection, bastion: str, port: int) -> bool:
        """Whether a machine can keep its port: it is in the pool, and its bastion is there."""
        if bastion == self.bastion.name:
            return port in self.pool
        seen = db.scalar(select(BASTIONS.c.seen).where(BASTIONS.c.name == bastion))
        return seen is not None and seen > self.clock() - AWAY

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
                mine = and_(
                    MACHINES.c.bastion == self.bastion.name,
                    MACHINES.c.port.in_(numbers[start : start + 500]),
                    MACHINES.c.state == "active",
                )
                fresh = {"seen": now, "up": now, "expires": now + self.lease}
                done = db.execute(update(MACHINES).where(mine).values(fresh))
                count += done.rowcount
        return count

    def expire(self, live: Collection[int] = ()) -> list[Machine]:
        """End the leases that are over, but for those whose tunnel is up at this moment."""
        self.saw(live)
        now = self.clock()
        with self.writing() as db:
            # Of other bastions only what has been away for as long: nobody else knows what is up there.
            away = select(BASTIONS.c.name).where(BASTIONS.c.seen < now - self.lease)
            ours = or_(MACHINES.c.bastion == self.bastion.name, MACHINES.c.bastion.in_(away))
            over = and_(MACHINES.c.state == "active", MACHINES.c.expires < now, ours)
            ended = [Machine.of(row) for row in db.execute(select(MACHINES).where(over).with_for_update())]
            for machine in ended:
                self._set(db, machine.id, state="expired", port=None)
                self._free(db, machine.bastion, machine.port)
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
                now, where = self.clock(), self._allot(db, machine.bastion, machine.last_port)
                self._set(db, machine.id, state="active", seen=now, expires=now + self.lease, **where)
                machine = self._get(db, machine.id)
                self._note(db, "approved", machine.id, machine.port, Caller(owner=who))
            return machine

    def revoke(self, name: str, who: str = "admin") -> Machine:
        """Take a machine its port and its key's line; its live session is to be cut."""
        with self.writing() as db:
            machine = self._named(db, name)
            if machine.state != "revoked":
                self._set(db, machine.id, state="revoked", port=None, secret=None)
                self._free(db, machine.bastion, machine.port)
                if machine.port is not None:
                    self._cut(db, machine.bastion, machine.port)
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

    def here(self) -> list[Machine]:
        """Those that have a port of this bastion."""
        mine = and_(MACHINES.c.state == "active", MACHINES.c.bastion == self.bastion.name)
        with self.reading() as db:
            return [Machine.of(row) for row in db.execute(select(MACHINES).where(mine))]

    def bastions(self) -> list[RowMapping]:
        """The bastions that share the database, by name: rows of `tables.BASTIONS`."""
        with self.reading() as db:
            return list(db.execute(select(BASTIONS).order_by(BASTIONS.c.name)).mappings())

    def bastion_of(self, name: str) -> Bastion:
        """A bastion by its name; ``gateway-unknown`` when there is none."""
        with self.reading() as db:
            row = db.execute(select(BASTIONS).where(BASTIONS.c.name == name)).mappings().first()
        if row is None:
            raise error("gateway-unknown", name=name or "without a name", what="bastion")
        return Bastion.of(row)

    # --- what a bastion sees -------------------------------------------------------------------

    def looked(
        self, live: Collection[int], foreign: Collection[int], load: float = 0.0, memory: float = 0.0
    ) -> None:
        """This bastion is there: tunnels hold these ports of it, and others these of its pool.

        Args:
            load: processes that run or want to, a processor.
            memory: the share that is in use.
        """
        name, taken = self.bastion.name, sorted(foreign)[:1000]
        with self.writing() as db:
            seen = {"seen": self.clock(), "live": len(live), "load": load, "memory": memory}
            db.execute(update(BASTIONS).where(BASTIONS.c.name == name).values(seen))
            mine = FREE.c.bastion == name
            gone = and_(mine, FREE.c.foreign.is_(True), FREE.c.port.not_in(taken))
            db.execute(update(FREE).where(gone).values(foreign=False))
            new = and_(mine, FREE.c.foreign.is_(False), FREE.c.port.in_(taken))
            db.execute(update(FREE).where(new).values(foreign=True))

    def due(self, live: Collection[int], every: float, most: int) -> list[Machine]:
        """Machines of this bastion that are up and were not dialled lately; they count as dialled now."""
        now, ports = self.clock(), set(live)
        with self.writing() as db:
            mine = and_(MACHINES.c.state == "active", MACHINES.c.bastion == self.bastion.name)
            # What is down has to be dialled anew when it is back.
            lost = and_(mine, MACHINES.c.dialled > 0, MACHINES.c.up < now - DOWN)
            db.execute(update(MACHINES).where(lost).values(dialled=0.0, proof=""))
            late = and_(MACHINES.c.dialled < now - every, MACHINES.c.up >= now - DOWN)
            wanted = select(MACHINES).where(mine, late).order_by(MACHINES.c.dialled).limit(most)
            rows = db.execute(wanted.with_for_update(skip_locked=True))
            chosen = [machine for machine in map(Machine.of, rows) if machine.port in ports]
            for machine in chosen:
                self._set(db, machine.id, dialled=now)
            return chosen

    def proven(self, proofs: Mapping[str, str]) -> None:
        """What answered on the ports of these machines, by their ids."""
        with self.writing() as db:
            for key, proof in proofs.items():
                self._set(db, key, proof=proof)

    def counts(self) -> dict[str, int]:
        """How many machines are in which state, and how many ports are free."""
        with self.reading() as db:
            rows = db.execute(select(MACHINES.c.state, func.count()).group_by(MACHINES.c.state))
            free = db.scalar(select(func.count()).select_from(FREE)) or 0
            return {**{row[0]: row[1] for row in rows}, "free": free}

    def audit(self, limit: int = 100) -> list[dict[str, object]]:
        """Who got what when, the newest first."""
        with self.reading() as db:
            rows = db.execute(select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)).mappings()
            return [dict(row) for row in rows]

    def cut(self, bastion: str, port: int) -> None:
        """Have the session that holds the port now end."""
        with self.writing() as db:
            self._cut(db, bastion, port)

    def cuts(self) -> dict[int, float]:
        """Ports of this bastion whose sessions are to end, if they began before that time."""
        with self.reading() as db:
            mine = CUTS.c.bastion == self.bastion.name
            return {row.port: row.before for row in db.execute(select(CUTS).where(mine))}

    def was_cut(self, port: int, before: float) -> None:
        """The session is gone."""
        mine = CUTS.c.bastion == self.bastion.name
        with self.writing() as db:
            db.execute(delete(CUTS).where(mine, CUTS.c.port == port, CUTS.c.before == before))

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

    def _free(self, db: Connection, bastion: str, port: int | None) -> None:
        if port is None:
            return
        self._count(db, bastion, -1)
        # What a range of another bastion holds is put right when that bastion starts anew.
        if bastion != self.bastion.name or port in self.pool:
            db.execute(insert(FREE).values(bastion=bastion, port=port, freed=self.clock()))

    def _count(self, db: Connection, bastion: str, more: int) -> None:
        """One machine more, or less, on a bastion: counting them each time would cost more with each."""
        db.execute(_COUNT, {"at": bastion, "more": more})

    def _cut(self, db: Connection, bastion: str, port: int) -> None:
        db.execute(delete(CUTS).where(CUTS.c.bastion == bastion, CUTS.c.port == port))
        db.execute(insert(CUTS).values(bastion=bastion, port=port, before=self.clock()))

    def _note(self, db: Connection, what: str, machine: str, port: int | None, caller: Caller) -> None:
        who = caller.owner or ("its own key" if caller.proven else "token")
        said = {"at": self.clock(), "what": what, "machine": machine, "port": port, "who": who}
        db.execute(_NOTE, {**said, "address": caller.address[:64]})


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


def _lines(wish: Wish) -> str:
    return "\n".join(map(str, wish.host_keys[:5]))
