"""The gateway's tables, and how a database comes to have them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from sqlite3 import Connection as SQLite
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    delete,
    event,
    false,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from scitex_ssh.errors import error
from scitex_ssh.gateway.ports import Pool

VERSION = 2
# Seconds without a sign of life after which a bastion is not there.
AWAY = 120.0
METADATA = MetaData()

META = Table("meta", METADATA, Column("key", String(32), primary_key=True), Column("value", Text))

MACHINES = Table(
    "machines",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    # pending (waits for approval), active, expired, revoked
    Column("state", String(8), nullable=False),
    # Only an active machine has a port. Unique on its bastion, whatever the code does.
    Column("bastion", String(64), nullable=False, default=""),
    Column("port", Integer),
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
    # When its port was last seen held by its tunnel, when the port was last dialled, and what answered.
    Column("up", Float, nullable=False, default=0.0),
    Column("dialled", Float, nullable=False, default=0.0),
    Column("proof", String(16), nullable=False, default=""),
    UniqueConstraint("bastion", "port", name="machines_port"),
    Index("machines_by_expiry", "state", "expires"),
)

# The machines that hold tunnels: this one, and others that share the database.
BASTIONS = Table(
    "bastions",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("host", String(255), nullable=False, default=""),
    Column("ssh_port", Integer, nullable=False, default=22),
    Column("ssh_user", String(64), nullable=False, default=""),
    Column("jump_user", String(64), nullable=False, default=""),
    Column("host_keys", Text, nullable=False, default=""),
    # Its range of ports as text, how many they are, how many of them machines have.
    Column("pool", Text, nullable=False, default=""),
    Column("size", Integer, nullable=False, default=0),
    Column("held", Integer, nullable=False, default=0),
    # How many tunnels stood when it last looked, and when that was.
    Column("live", Integer, nullable=False, default=0),
    Column("seen", Float, nullable=False, default=0.0),
    # Processes that run or want to, a processor; the share of memory in use.
    Column("load", Float, nullable=False, default=0.0),
    Column("memory", Float, nullable=False, default=0.0),
)

# Every port of a bastion's pool is either here or some machine's. The one that is free the longest goes
# first, so that a machine which comes back finds its own.
FREE = Table(
    "free",
    METADATA,
    Column("bastion", String(64), primary_key=True, default=""),
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("freed", Float, nullable=False),
    # Another program of that bastion held it when the bastion last looked.
    Column("foreign", Boolean, nullable=False, default=False, server_default=false()),
    Index("free_by_age", "bastion", "freed", "port"),
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
    Column("bastion", String(64), primary_key=True, default=""),
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("before", Float, nullable=False),
)

# Who is signed in on the page: for how long, by which admin token. It ends with the token.
SITTINGS = Table(
    "sittings",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("token", String(128), nullable=False),
    Column("expires", Float, nullable=False),
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
        # As people write it, and pg_dump takes it: the driver is the one that the extra brings.
        url = re.sub("^postgres(ql)?://", "postgresql+psycopg://", url)
        made = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (ArgumentError, NoSuchModuleError, ImportError) as problem:
        raise error("gateway-storage", url=_plain(url), why=str(problem).splitlines()[0]) from problem
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _pragmas)
        event.listen(made, "begin", _begin)
    return made


@dataclass(frozen=True)
class Bastion:
    """A machine that holds tunnels, as machines and people reach it.

    Attributes:
        name: what it is called among those that share a database; "" is good for a single one.
        host: its name or address, or "" where machines are to take the one that they asked.
        host_keys: its own, a line each.
    """

    name: str = ""
    host: str = ""
    ssh_port: int = 22
    ssh_user: str = "tunnel"
    jump_user: str = "tunnel"
    host_keys: str = ""

    @classmethod
    def of(cls, row: RowMapping) -> Bastion:
        """The bastion of a row of the table."""
        return cls(**{field: row[field] for field in cls.__dataclass_fields__})


def prepare(made: Engine, pool: Pool, bastion: Bastion, now: float) -> None:
    """Make the tables, or bring them to this version, write down this bastion and fill its pool.

    Raises:
        SSHError: ``gateway-storage`` when the database cannot be used, or is of a newer version;
            ``gateway-settings`` when another machine goes by this bastion's name.
    """
    try:
        with made.execution_options(writes=True).begin() as db:
            _migrate(db, made, bastion.name)
            _announce(db, pool, bastion, now)
    except SQLAlchemyError as problem:
        why = str(getattr(problem, "orig", None) or problem).splitlines()[0]
        raise error("gateway-storage", url=_plain(made.url), why=why) from problem


def _migrate(db: Connection, made: Engine, name: str) -> None:
    """Bring the tables to this version, in this transaction: after a failure they are as they were."""
    if made.dialect.name == "postgresql":
        # Two gateways that start at once make the tables one after the other.
        db.execute(select(func.pg_advisory_xact_lock(0x5C17)))
    META.create(db, checkfirst=True)
    found = db.scalar(select(META.c.value).where(META.c.key == "schema"))
    if found is not None and int(found) > VERSION:
        why = f"it was written by a newer version (tables {found}, known {VERSION})"
        raise error("gateway-storage", url=_plain(made.url), why=why)
    if found == "1":
        _from_1(db, name)
    METADATA.create_all(db)
    if found != str(VERSION):
        db.execute(delete(META).where(META.c.key.in_(("schema", "pool"))))
        db.execute(insert(META).values(key="schema", value=str(VERSION)))


def _from_1(db: Connection, name: str) -> None:
    """Tables of one bastion become those of several: taken out, made anew, put back."""
    kept = {}
    for table in (MACHINES, FREE, CUTS):
        columns = {column["name"] for column in inspect(db).get_columns(table.name)}
        rows = db.execute(select(*(column for column in table.c if column.name in columns))).mappings()
        kept[table] = [{**row, "bastion": name} for row in rows]
        table.drop(db)
    METADATA.create_all(db)
    for table, former in kept.items():
        if former:
            db.execute(insert(table), former)


def _announce(db: Connection, pool: Pool, bastion: Bastion, now: float) -> None:
    """Write down what this bastion is, and have exactly the ports of its pool that no machine has free."""
    mine = BASTIONS.c.name == bastion.name
    found = db.execute(select(BASTIONS).where(mine)).mappings().first()
    about = {**vars(bastion), "pool": str(pool)}
    if found is not None and all(found[name] == value for name, value in about.items()):
        return
    if found is not None and _another(found["host_keys"], bastion.host_keys) and found["seen"] > now - AWAY:
        why = f"another machine ({found['host'] or 'of another host key'}) is the bastion {bastion.name!a}"
        raise error("gateway-settings", name="SCITEX_SSH_GATEWAY_BASTION", why=why)
    has = MACHINES.c.port.is_not(None)
    held = set(db.scalars(select(MACHINES.c.port).where(_at(MACHINES, bastion), has)))
    known = set(db.scalars(select(FREE.c.port).where(_at(FREE, bastion))))
    wanted = {port for port in pool if port not in held}
    if known - wanted:
        db.execute(delete(FREE).where(_at(FREE, bastion), FREE.c.port.in_(known - wanted)))
    if new := sorted(wanted - known):
        rows = [{"bastion": bastion.name, "port": port, "freed": 0.0, "foreign": False} for port in new]
        db.execute(insert(FREE), rows)
    about |= {"size": len(wanted) + len(held), "held": len(held)}
    if found is None:
        db.execute(insert(BASTIONS).values(**about))
    else:
        db.execute(update(BASTIONS).where(mine).values(**about))


def _at(table: Table, bastion: Bastion) -> ColumnElement[bool]:
    return table.c.bastion == bastion.name


def _another(former: str, keys: str) -> bool:
    """Whether two machines have these host keys."""
    one, other = set(former.splitlines()), set(keys.splitlines())
    return bool(one and other) and not one & other


def _pragmas(connection: SQLite, _: Any) -> None:
    # Transactions are begun by hand: those that write take the lock at once, not half-way.
    connection.isolation_level = None
    pragmas = (
        *("journal_mode=WAL", "synchronous=FULL", "busy_timeout=20000", "foreign_keys=ON"),
        # 32 MiB hold what some 50,000 machines need; the 2 of SQLite are full with 3,000.
        "cache_size=-32768",
        # Seldom, since a server does it beside its writes (see `transactions`); others end before that.
        "wal_autocheckpoint=20000",
    )
    for pragma in pragmas:
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
