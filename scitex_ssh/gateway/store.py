"""The one truth of a gateway: which machine has which port, until when."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager

from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, func, insert, or_, select, update

from scitex_ssh.errors import error
from scitex_ssh.gateway import ports, tables
from scitex_ssh.gateway.allotment import Allotment
from scitex_ssh.gateway.machine import Machine, MachineName
from scitex_ssh.gateway.registration import Caller, Registration, Wish, note, put
from scitex_ssh.gateway.tables import AUDIT, BASTIONS, CUTS, FREE, MACHINES, Bastion
from scitex_ssh.gateway.transactions import Transactions

WEEK = 7 * 86400.0
# Seconds after which a tunnel that was not seen is down.
DOWN = 50.0
# Asked at every sign of life, so put together once.
_BY_ID = select(MACHINES).where(MACHINES.c.id == bindparam("id")).with_for_update()


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
        self.pool, self.lease, self.clock, self.bastion = pool, lease, clock, bastion
        self.engine = tables.engine(url)
        tables.prepare(self.engine, pool, bastion, clock())
        self.transactions = Transactions(self.engine)
        self._ports = Allotment(pool, bastion, clock, busy)
        self._registration = Registration(self._ports, lease, approve, bind, clock)

    def close(self) -> None:
        """Let the database go."""
        self.engine.dispose()

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that writes; what it did is on the disk when it ends without an error."""
        return self.transactions.writing()

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that reads one state of all tables."""
        return self.transactions.reading()

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
        return self.transactions.write(lambda db: self.registered(db, wish, caller, owners))

    def registered(
        self, db: Connection, wish: Wish, caller: Caller, owners: tuple[str, ...] = ()
    ) -> tuple[Machine, str]:
        """The same as `register`, as part of a transaction."""
        return self._registration.register(db, wish, caller, owners)

    # --- living --------------------------------------------------------------------------------

    def renew(self, key: str, caller: Caller) -> Machine:
        """A sign of life of an active machine, by the one who enrolled it: ``gateway-unknown`` otherwise."""
        return self.transactions.write(lambda db: self.renewed(db, key, caller))

    def renewed(self, db: Connection, key: str, caller: Caller) -> Machine:
        """The same as `renew`, as part of a transaction."""
        row = db.execute(_BY_ID, {"id": key}).mappings().first()
        if row is None or row["state"] != "active" or (caller.owner and row["owner"] != caller.owner):
            raise error("gateway-unknown", name=key, what="machine")
        now = self.clock()
        fresh = {"seen": now, "expires": now + self.lease, "address": caller.address[:64]}
        put(db, key, **fresh)
        return Machine.of({**row, **fresh})

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
                put(db, machine.id, state="expired", port=None)
                self._ports.free(db, machine.bastion, machine.port)
                note(db, self.clock(), "expired", machine.id, machine.port, Caller())
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
                now, where = self.clock(), self._ports.allot(db, machine.bastion, machine.last_port)
                put(db, machine.id, state="active", seen=now, expires=now + self.lease, **where)
                machine = self._get(db, machine.id)
                note(db, self.clock(), "approved", machine.id, machine.port, Caller(owner=who))
            return machine

    def revoke(self, name: str, who: str = "admin") -> Machine:
        """Take a machine its port and its key's line; its live session is to be cut."""
        with self.writing() as db:
            machine = self._named(db, name)
            if machine.state != "revoked":
                put(db, machine.id, state="revoked", port=None, secret=None)
                self._ports.free(db, machine.bastion, machine.port)
                if machine.port is not None:
                    self.end_session(db, machine.bastion, machine.port)
                note(db, self.clock(), "revoked", machine.id, machine.port, Caller(owner=who))
            return machine

    def rename(self, name: str, to: MachineName, who: str = "admin") -> Machine:
        """Call a machine by another name."""
        with self.writing() as db:
            machine = self._named(db, name)
            other = db.scalar(select(MACHINES.c.id).where(MACHINES.c.name == to))
            if other not in (None, machine.id):
                raise error("gateway-name-taken", name=to, what="machine")
            put(db, machine.id, name=to)
            note(db, self.clock(), "renamed", machine.id, machine.port, Caller(owner=who))
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
            return self.bastion_in(db, name)

    def bastion_in(self, db: Connection, name: str) -> Bastion:
        """The same as `bastion_of`, as part of a transaction."""
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
                put(db, machine.id, dialled=now)
            return chosen

    def proven(self, proofs: Mapping[str, str]) -> None:
        """What answered on the ports of these machines, by their ids."""
        with self.writing() as db:
            for key, proof in proofs.items():
                put(db, key, proof=proof)

    def counts(self) -> dict[str, int]:
        """How many machines are in which state, and how many ports are free."""
        with self.reading() as db:
            rows = db.execute(select(MACHINES.c.state, func.count()).group_by(MACHINES.c.state))
            free = db.scalar(select(func.count()).select_from(FREE)) or 0
            return {**{row[0]: row[1] for row in rows}, "free": free}

    def ending(self, seconds: float) -> int:
        """How many leases end within this time."""
        soon = and_(MACHINES.c.state == "active", MACHINES.c.expires < self.clock() + seconds)
        with self.reading() as db:
            return db.scalar(select(func.count()).select_from(MACHINES).where(soon)) or 0

    def events(self, after: int) -> tuple[int, dict[str, int]]:
        """The number of the newest note of the audit log, and how often what happened after another one."""
        with self.reading() as db:
            last = db.scalar(select(func.max(AUDIT.c.number))) or 0
            new = and_(AUDIT.c.number > after, AUDIT.c.number <= last)
            rows = db.execute(select(AUDIT.c.what, func.count()).where(new).group_by(AUDIT.c.what))
            return last, {row[0]: row[1] for row in rows}

    @property
    def in_order(self) -> bool:
        """Notes appear in the order of their numbers: one is written at a time."""
        return self.engine.dialect.name == "sqlite"

    def audit(self, limit: int = 100) -> list[dict[str, object]]:
        """Who got what when, the newest first."""
        with self.reading() as db:
            rows = db.execute(select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)).mappings()
            return [dict(row) for row in rows]

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

    def _named(self, db: Connection, name: str) -> Machine:
        name = MachineName(name)
        mine = (MACHINES.c.id == name) | (MACHINES.c.name == name)
        row = db.execute(select(MACHINES).where(mine).with_for_update()).first()
        if row is None:
            raise error("gateway-unknown", name=name, what="machine")
        return Machine.of(row)

    def held(self, port: int | None, bastion: str) -> bool:
        """Whether a process of this very bastion holds a port."""
        return port is not None and self._ports.foreign(bastion, port)

    def _get(self, db: Connection, key: str) -> Machine:
        return Machine.of(db.execute(select(MACHINES).where(MACHINES.c.id == key)).one())

    def end_session(self, db: Connection, bastion: str, port: int) -> None:
        """Have the session that holds the port now end, as part of a transaction."""
        db.execute(delete(CUTS).where(CUTS.c.bastion == bastion, CUTS.c.port == port))
        db.execute(insert(CUTS).values(bastion=bastion, port=port, before=self.clock()))
