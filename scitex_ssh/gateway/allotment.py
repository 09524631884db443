"""Which free port a machine gets, of which bastion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, or_, select, update

from scitex_ssh.errors import error
from scitex_ssh.gateway import ports
from scitex_ssh.gateway.quick import Quick
from scitex_ssh.gateway.tables import AWAY, BASTIONS, FREE, Bastion

_THERE = Quick(
    select(BASTIONS.c.name, BASTIONS.c.held, BASTIONS.c.size).where(
        or_(BASTIONS.c.name == bindparam("own"), BASTIONS.c.seen > bindparam("since"))
    )
)
# Free ports of a bastion that no other gateway is taking at this moment.
_FREE = (
    select(FREE.c.port)
    .where(FREE.c.bastion == bindparam("at"), FREE.c.foreign.is_(False))
    .with_for_update(skip_locked=True)
)
_THIS = _FREE.where(FREE.c.port == bindparam("number"))
_NEXT = _FREE.order_by(FREE.c.freed, FREE.c.port).limit(1)
_FIRST = Quick(_NEXT)
_TAKE = Quick(delete(FREE).where(FREE.c.bastion == bindparam("at"), FREE.c.port == bindparam("number")))
_GIVE = insert(FREE)
_COUNT = Quick(
    update(BASTIONS)
    .where(BASTIONS.c.name == bindparam("at"))
    .values(held=BASTIONS.c.held + bindparam("more"))
)
# Of a tunnel on a port that was given out just now.
UNSEEN: dict[str, Any] = {"up": 0.0, "dialled": 0.0, "proof": ""}


class Allotment:
    """The free ports of the bastions that share a database; each method is part of a transaction.

    Args:
        bastion: the name of this machine among them.
        busy: whether a process of this machine holds a port.
    """

    def __init__(
        self, pool: ports.Pool, bastion: Bastion, clock: Callable[[], float], busy: ports.Busy
    ) -> None:
        self.pool, self.own, self._clock, self._busy = pool, bastion.name, clock, busy

    def allot(self, db: Connection, bastion: str, former: int | None) -> dict[str, Any]:
        """A port for a machine: the one that it had if it can be, else one of the least loaded bastion.

        Returns:
            The values of the machine's columns that say where it is.

        Raises:
            SSHError: ``gateway-full``.
        """
        for name in self._bastions(db, bastion if former is not None else None):
            port = self._take(db, name, former if name == bastion else None)
            if port is not None:
                self._count(db, name, 1)
                return UNSEEN | {"bastion": name, "port": port, "last_port": port}
        raise error("gateway-full", first=self.pool.first, last=self.pool.last)

    def free(self, db: Connection, bastion: str, port: int | None) -> None:
        """Take a port back."""
        if port is None:
            return
        self._count(db, bastion, -1)
        # What a range of another bastion holds is put right when that bastion starts anew.
        if bastion != self.own or port in self.pool:
            db.execute(_GIVE, {"bastion": bastion, "port": port, "freed": self._clock()})

    def stays(self, db: Connection, bastion: str, port: int) -> bool:
        """Whether a machine can keep its port: it is in the pool, and its bastion is there."""
        if bastion == self.own:
            return port in self.pool
        seen = db.scalar(select(BASTIONS.c.seen).where(BASTIONS.c.name == bastion))
        return seen is not None and seen > self._clock() - AWAY

    def foreign(self, bastion: str, port: int) -> bool:
        """Whether a process holds a port. Of other bastions it is known from when they looked."""
        return bastion == self.own and self._busy(port)

    def _bastions(self, db: Connection, first: str | None) -> list[str]:
        """The bastions that are there: one that a machine was on before, then by their load."""
        rows = _THERE.rows(db, own=self.own, since=self._clock() - AWAY)
        rows.sort(key=lambda row: (row["name"] != first, row["held"] / (row["size"] or 1), row["name"]))
        return [row["name"] for row in rows]

    def _take(self, db: Connection, bastion: str, former: int | None) -> int | None:
        """Take a port out of a bastion's pool: the former one, else the one free the longest; or None."""
        passed: set[int] = set()
        if former is not None:
            found: int | None = db.scalar(_THIS, {"at": bastion, "number": former})
            if found is not None and not self.foreign(bastion, found):
                _TAKE.run(db, at=bastion, number=found)
                return found
            passed.add(former)
        while True:
            # Not by their order alone: two that were put to the back in the same moment have none.
            if passed:
                found = db.scalar(_NEXT.where(FREE.c.port.not_in(passed)), {"at": bastion})
            else:
                found = _FIRST.value(db, at=bastion)
            if found is None:
                return None
            if not self.foreign(bastion, found):
                _TAKE.run(db, at=bastion, number=found)
                return int(found)
            # A program of the bastion holds it: to the back of the queue.
            passed.add(found)
            mine = and_(FREE.c.bastion == bastion, FREE.c.port == found)
            db.execute(update(FREE).where(mine).values(freed=self._clock()))

    def _count(self, db: Connection, bastion: str, more: int) -> None:
        """One machine more, or less, on a bastion: counting them each time would cost more with each."""
        _COUNT.run(db, at=bastion, more=more)
