"""How often an address may be wrong, and how often it may ask at all where each time costs a process."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from scitex_ssh.errors import error
from scitex_ssh.gateway.quick import Quick
from scitex_ssh.gateway.store import Store
from scitex_ssh.gateway.tables import FAILURES

MOST = 20
# Sessions that enrol over SSH: a whole laboratory may come at once from behind one address.
SESSIONS = 300
WINDOW = 60.0
# Rows of addresses that were wrong lately; with more, the oldest windows go.
_ROWS = 10_000
_OF = Quick(select(FAILURES).where(FAILURES.c.address == bindparam("at")))


def session(store: Store, address: str) -> None:
    """Count a session; raise ``gateway-limit`` for an address that had too many in the last minute."""
    failed(store, f"ssh {address}")
    check(store, f"ssh {address}", SESSIONS)


def check(store: Store, address: str, most: int | None = None) -> None:
    """Raise ``gateway-limit`` for an address that was wrong too often in the last minute."""
    with store.reading() as db:
        checked(db, store.clock(), address, most)


def failed(store: Store, address: str) -> None:
    """Remember that this address was wrong."""
    store.transactions.write(lambda db: counted(db, store.clock(), address))


def checked(db: Connection, now: float, address: str, most: int | None = None) -> None:
    """The same as `check`, as part of a transaction."""
    for row in _OF.rows(db, at=address[:64]):
        left = int(row["since"] + WINDOW - now) + 1
        if left > 0 and row["count"] >= (MOST if most is None else most):
            raise error("gateway-limit", address=address.removeprefix("ssh "), seconds=left)


def counted(db: Connection, now: float, address: str) -> None:
    """The same as `failed`, as part of a transaction."""
    mine = FAILURES.c.address == address[:64]
    db.execute(delete(FAILURES).where(mine, FAILURES.c.since < now - WINDOW))
    if db.execute(update(FAILURES).where(mine).values(count=FAILURES.c.count + 1)).rowcount == 0:
        if (db.scalar(select(func.count()).select_from(FAILURES)) or 0) >= _ROWS:
            db.execute(delete(FAILURES).where(FAILURES.c.since < now - WINDOW))
        db.execute(insert(FAILURES).values(address=address[:64], count=1, since=now))
