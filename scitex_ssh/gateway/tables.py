"""The gateway's tables, and how a database comes to have them."""

from __future__ import annotations

from sqlite3 import Connection as SQLite
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    insert,
    select,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from scitex_ssh.errors import error
from scitex_ssh.gateway.ports import Pool

VERSION = 1
METADATA = MetaData()

META = Table("meta", METADATA, Column("key", String(32), primary_key=True), Column("value", Text))

MACHINES = Table(
    "machines",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    # pending (waits for approval), active, expired, revoked
    Column("state", String(8), nullable=False),
    # Only an active machine has one. Unique, whatever the code does.
    Column("port", Integer, unique=True),
    Column("last_port", Integer),
    Column("bind", String(64), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False, unique=True),
    # Who vouched for it; an agent that has no key of its own comes back with the same one only.
    Column("owner", String(140), nullable=False),
    Column("secret", String(64), unique=True),
    Column("host_keys", Text, nullable=False, default=""),
    Column("login", String(64), nullable=False, default=""),
    Column("address", String(64), nullable=False, default=""),
    Column("created", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Index("machines_by_expiry", "state", "expires"),
)

# Every port of the pool is either here or some machine's. The one that is free the longest goes first, so
# that a machine which comes back finds its own.
FREE = Table(
    "free",
    METADATA,
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("freed", Float, nullable=False),
    Index("free_by_age", "freed", "port"),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("name", String(128), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("uses", Integer),
    Column("expires", Float),
    Column("created", Float, nullable=False),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("what", String(16), nullable=False),
    Column("machine", String(128), nullable=False),
    Column("port", Integer),
    Column("who", String(140), nullable=False),
    Column("address", String(64), nullable=False),
)

# Sessions that are to end: what listens on the port since before that time.
CUTS = Table(
    "cuts",
    METADATA,
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("before", Float, nullable=False),
)

FAILURES = Table(
    "failures",
    METADATA,
    Column("address", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("since", Float, nullable=False),
)


def engine(url: str) -> Engine:
    """Connect to a database; SQLite in write-ahead mode, with every commit on the disk."""
    try:
        made = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (ArgumentError, NoSuchModuleError, ImportError) as problem:
        raise error("gateway-storage", url=_plain(url), why=str(problem).splitlines()[0]) from problem
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _pragmas)
        event.listen(made, "begin", _begin)
    return made


def prepare(made: Engine, pool: Pool) -> None:
    """Make the tables, or bring them to this version, and fill the pool.

    Raises:
        SSHError: ``gateway-storage`` when the database cannot be used, or is of a newer version.
    """
    try:
        with made.execution_options(writes=True).begin() as db:
            METADATA.create_all(db)
            found = db.scalar(select(META.c.value).where(META.c.key == "schema"))
            if found is None:
                db.execute(insert(META).values(key="schema", value=str(VERSION)))
            elif int(found) > VERSION:
                why = f"it was written by a newer version (tables {found}, known {VERSION})"
                raise error("gateway-storage", url=_plain(made.url), why=why)
            _fill(db, pool)
    except SQLAlchemyError as problem:
        why = str(getattr(problem, "orig", None) or problem).splitlines()[0]
        raise error("gateway-storage", url=_plain(made.url), why=why) from problem


def _fill(db: Connection, pool: Pool) -> None:
    """Have exactly the ports of the pool that no machine has among the free ones."""
    if db.scalar(select(META.c.value).where(META.c.key == "pool")) == str(pool):
        return
    held = set(db.scalars(select(MACHINES.c.port).where(MACHINES.c.port.is_not(None))))
    known = set(db.scalars(select(FREE.c.port)))
    wanted = {port for port in pool if port not in held}
    gone = known - wanted
    if gone:
        db.execute(delete(FREE).where(FREE.c.port.in_(gone)))
    if wanted - known:
        db.execute(insert(FREE), [{"port": port, "freed": 0.0} for port in sorted(wanted - known)])
    db.execute(delete(META).where(META.c.key == "pool"))
    db.execute(insert(META).values(key="pool", value=str(pool)))


def _pragmas(connection: SQLite, _: Any) -> None:
    # Transactions are begun by hand: those that write take the lock at once, not half-way.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=20000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _plain(url: Any) -> str:
    """The address of a database without its password."""
    from sqlalchemy import make_url

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "of that URL"
