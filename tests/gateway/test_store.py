"""Who gets which port, and who does not."""

from __future__ import annotations

import itertools
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from scitex_ssh.cli.gateway import gateway as gateway_commands
from scitex_ssh.errors import SSHError
from scitex_ssh.gateway import ports, secrets, tables
from scitex_ssh.gateway.machine import MachineName
from scitex_ssh.gateway.ports import Pool
from scitex_ssh.gateway.registration import Caller
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store
from scitex_ssh.gateway.tables import Bastion

from .model import POOL, SHARED, Clock, served, token, url, wish


@pytest.fixture
def clock() -> Clock:
    """A time that only a test moves."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    """An empty gateway on a bastion whose ports are all free."""
    return Store(url(tmp_path), POOL, clock=clock, busy=lambda port: False)


def slug(caught: pytest.ExceptionInfo[SSHError]) -> str:
    """The slug of an error that was raised."""
    return caught.value.slug


# Tokens


def test_a_token_is_good_for_its_uses(store: Store) -> None:
    """Each new machine uses it up by one, and the next is told so."""
    made = token(store, uses=2)
    first, secret = store.register(wish(), Caller(token=made))
    assert (first.state, first.owner) == ("active", "token:t")
    assert secret
    store.register(wish(), Caller(token=made))
    with pytest.raises(SSHError, match="it is used up") as caught:
        store.register(wish(), Caller(token=made))
    assert slug(caught) == "gateway-token"


def test_a_failed_registration_uses_no_token(store: Store) -> None:
    """What was refused for another reason can be tried again with the same token."""
    made = token(store, uses=1)
    taken, _ = store.register(wish("a"), SHARED)
    with pytest.raises(SSHError) as caught:
        store.register(wish(name=taken.name), Caller(token=made))
    assert slug(caught) == "gateway-name-taken"
    assert store.register(wish(), Caller(token=made))[0].state == "active"


def test_a_token_expires(store: Store, clock: Clock) -> None:
    """It is good up to its time, and not after it."""
    made = token(store, seconds=60)
    store.register(wish(), Caller(token=made))
    clock.now += 61
    with pytest.raises(SSHError, match="it has expired"):
        store.register(wish(), Caller(token=made))


@pytest.mark.parametrize("wrong", ["", "x", "ü" * 5, "\udcff"])
def test_a_wrong_token_is_refused(store: Store, wrong: str) -> None:
    """One that nobody made opens nothing."""
    token(store)
    with pytest.raises(SSHError) as caught:
        store.register(wish(), Caller(token=wrong))
    assert slug(caught) == "gateway-token"
    assert store.machines() == []


def test_a_revoked_token_is_unknown(store: Store) -> None:
    """Revoking a token ends it at once, and machines that used it stay."""
    made = token(store)
    machine, _ = store.register(wish(), Caller(token=made))
    with store.writing() as db:
        secrets.revoke(db, "t")
    with pytest.raises(SSHError, match="was revoked"):
        store.register(wish(), Caller(token=made))
    assert store.find(machine.id).state == "active"


def test_a_token_is_kept_as_a_digest(store: Store, tmp_path: Path) -> None:
    """Neither a token nor a machine's secret is anywhere in the database."""
    made = token(store)
    _, secret = store.register(wish(), Caller(token=made))
    store.engine.dispose()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"token:t" in content
    assert made.encode() not in content
    assert secret.encode() not in content


# Identity


def test_a_shared_key_does_not_take_another_owners_machine(store: Store) -> None:
    """A machine that somebody else vouched for stays that one's."""
    machine, _ = store.register(wish("a"), SHARED)
    thief = replace(SHARED, owner="key:other")
    with pytest.raises(SSHError) as caught:
        store.register(wish("a"), thief)
    assert slug(caught) == "gateway-identity"
    with pytest.raises(SSHError):
        store.renew("a", thief)
    assert store.find("a") == machine


def test_a_shared_key_does_not_take_a_machine_with_a_key_of_its_own(store: Store) -> None:
    """Nor one that enrolled with a token."""
    machine, _ = store.register(wish(), Caller(token=token(store)))
    with pytest.raises(SSHError) as caught:
        store.register(wish(machine.id), SHARED)
    assert slug(caught) == "gateway-identity"


def test_a_machine_comes_back_by_what_it_has(store: Store, clock: Clock) -> None:
    """With its secret or the proof of its key, but not with the public key alone; to its old port."""
    wanted = wish()
    machine, secret = store.register(wanted, Caller(token=token(store, uses=1)))
    clock.now += store.lease + 1
    assert [one.id for one in store.expire()] == [machine.id]
    with pytest.raises(SSHError) as caught:
        store.register(wanted, Caller())
    assert slug(caught) == "gateway-token"
    with pytest.raises(SSHError):
        store.register(wanted, Caller(secret="wrong"))
    for caller in (Caller(secret=secret), Caller(proven=True)):
        again, _ = store.register(wanted, caller)
        assert (again.id, again.port, again.state) == (machine.id, machine.port, "active")


def test_an_old_port_that_is_another_machines_is_not_taken(store: Store, clock: Clock) -> None:
    """The machine that comes back gets another one, and keeps that."""
    first, _ = store.register(wish("first"), SHARED)
    clock.now += store.lease + 1
    store.expire()
    others = [store.register(wish(f"o{number}"), SHARED)[0].port for number in range(10)]
    assert first.port in others
    with pytest.raises(SSHError) as caught:
        store.register(wish("first"), SHARED)
    assert slug(caught) == "gateway-full"
    store.revoke("o0")
    again, _ = store.register(wish("first"), SHARED)
    assert again.port == others[0]


# Approval


def test_in_approve_mode_a_machine_waits_without_a_port(tmp_path: Path) -> None:
    """It has no port before an admin says so, and then it has one."""
    store = Store(url(tmp_path), POOL, approve=True, busy=lambda port: False)
    machine, _ = store.register(wish("a"), SHARED)
    assert (machine.state, machine.port) == ("pending", None)
    assert store.register(wish("a"), SHARED)[0].state == "pending"
    assert store.counts()["free"] == 10
    approved = store.approve_machine("a")
    assert (approved.state, approved.port) == ("active", 20000)
    assert [note["what"] for note in store.audit()] == ["approved", "pending"]


def test_a_name_is_one_machines(store: Store) -> None:
    """A machine can be called otherwise, but not as another is."""
    store.register(wish("a"), SHARED)
    store.register(wish("b"), SHARED)
    assert store.rename("a", MachineName("lab")).name == "lab"
    assert store.find("lab").id == "a"
    with pytest.raises(SSHError) as caught:
        store.rename("b", MachineName("lab"))
    assert slug(caught) == "gateway-name-taken"


# Ports


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_port_that_a_program_holds_is_not_given_out(tmp_path: Path, address: str) -> None:
    """Whatever the address is on which it listens; when it lets go, the port is free again."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((address, 0))
        listener.listen()
        taken = listener.getsockname()[1]
        pool = Pool(taken, taken, ephemeral=range(0))
        with pytest.raises(SSHError) as caught:
            Store(url(tmp_path), pool).register(wish(), Caller(owner="key:a"))
        assert slug(caught) == "gateway-full"
        assert ports.busy(taken)
    assert not ports.busy(taken)
    assert Store(url(tmp_path), pool).register(wish(), Caller(owner="key:a"))[0].port == taken


def test_the_ephemeral_range_is_left_out(tmp_path: Path) -> None:
    """But for what the kernel was told to leave alone."""
    (tmp_path / "ip_local_port_range").write_text("32768\t60999\n")
    (tmp_path / "ip_local_reserved_ports").write_text("32770,32780-32781\n")
    pool = Pool.here(32766, 32790, tmp_path)
    assert list(pool) == [32766, 32767, 32770, 32780, 32781]


@pytest.mark.parametrize(("first", "last"), [(40000, 50000), (5, 2000), (3000, 2000), (60000, 70000)])
def test_a_range_that_cannot_be(first: int, last: int) -> None:
    """A range of nothing but ephemeral, privileged or no ports is refused."""
    with pytest.raises(SSHError) as caught:
        Pool(first, last)
    assert slug(caught) == "gateway-settings"


def test_another_range_later_keeps_what_is_held(tmp_path: Path) -> None:
    """A machine keeps its port for as long as it is there; free ports follow the range."""
    free = lambda port: False  # noqa: E731  # a busy() that says no
    machine, _ = Store(url(tmp_path), POOL, busy=free).register(wish("a"), SHARED)
    store = Store(url(tmp_path), Pool(21000, 21001), busy=free)
    assert store.find("a").port == machine.port
    assert store.counts()["free"] == 2
    assert store.register(wish("b"), SHARED)[0].port == 21000


# Trouble


def test_two_hundred_at_once(tmp_path: Path) -> None:
    """Two gateways on one database, and two hundred machines that come in the same second."""
    pool = Pool(20000, 20399)
    stores = [Store(url(tmp_path), pool, busy=lambda port: False) for _ in range(2)]

    def come(number: int) -> int | None:
        return stores[number % 2].register(wish(f"m{number}"), SHARED)[0].port

    with ThreadPoolExecutor(40) as crowd:
        given = list(crowd.map(come, range(200)))
    assert len(set(given)) == 200
    assert set(given) <= set(pool)
    assert len(stores[0].machines("active")) == 200


REGISTERING = """
import itertools, sys
sys.path.insert(0, {root!r})
from tests.gateway.model import *
store = Store({url!r}, Pool(20000, 32767), busy=lambda port: False)
def come(number):
    return store.transactions.soon(lambda db: store.registered(db, wish(f"m{{number}}"), SHARED))
for number in itertools.count({start}, {crowd}):
    for asked in [come(number + each) for each in range({crowd})]:
        machine, _ = asked.result()
        print(machine.id, machine.port, flush=True)
"""


def test_kill_dash_nine_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Five times a gateway is killed while crowds register; each port that it named is that machine's."""
    crowd, root = 8, str(Path(__file__).parents[2])
    told: dict[str, int] = {}
    for turn in range(5):
        program = REGISTERING.format(root=root, url=url(tmp_path), start=turn * 10_000, crowd=crowd)
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(0.05 + 0.07 * turn)
            child.send_signal(signal.SIGKILL)
            lines = [first, *child.stdout.readlines()]
        for line in lines:
            if line.endswith("\n"):
                name, port = line.split()
                told[name] = int(port)
    store = Store(url(tmp_path), Pool(20000, 32767), busy=lambda port: False)
    kept = {machine.id: machine.port for machine in store.machines("active")}
    assert len(told) >= 5
    assert told.items() <= kept.items()
    # At most those who were being told when the plug was pulled.
    assert len(kept) - len(told) <= 5 * crowd
    if store.engine.dialect.name != "sqlite":
        return
    with store.reading() as db:
        assert db.scalar(text("PRAGMA integrity_check")) == "ok"
        assert db.scalar(text("PRAGMA synchronous")) == 2


def test_a_database_of_the_future_is_left_alone(tmp_path: Path) -> None:
    """An older gateway does not touch what a newer one wrote."""
    store = Store(url(tmp_path), POOL)
    with store.writing() as db:
        db.execute(text("UPDATE meta SET value = '99' WHERE key = 'schema'"))
    with pytest.raises(SSHError, match="newer version") as caught:
        Store(url(tmp_path), POOL)
    assert slug(caught) == "gateway-storage"


VERSION_1 = """
CREATE TABLE meta (key VARCHAR(32) NOT NULL, value TEXT, PRIMARY KEY (key));
CREATE TABLE machines (id VARCHAR(128) NOT NULL, name VARCHAR(128) NOT NULL, state VARCHAR(8) NOT NULL,
  port INTEGER, last_port INTEGER, bind VARCHAR(64) NOT NULL, public_key TEXT NOT NULL,
  fingerprint VARCHAR(64) NOT NULL, owner VARCHAR(140) NOT NULL, secret VARCHAR(64), host_keys TEXT NOT NULL,
  login VARCHAR(64) NOT NULL, address VARCHAR(64) NOT NULL, created FLOAT NOT NULL, seen FLOAT NOT NULL,
  expires FLOAT NOT NULL, PRIMARY KEY (id), UNIQUE (name), UNIQUE (port), UNIQUE (fingerprint),
  UNIQUE (secret));
CREATE INDEX machines_by_expiry ON machines (state, expires);
CREATE TABLE free (port INTEGER NOT NULL, freed FLOAT NOT NULL, PRIMARY KEY (port));
CREATE INDEX free_by_age ON free (freed, port);
CREATE TABLE cuts (port INTEGER NOT NULL, before FLOAT NOT NULL, PRIMARY KEY (port));
INSERT INTO meta VALUES ('schema', '1'), ('pool', '20000-20009 without 32768-60999 0');
INSERT INTO machines VALUES ('a', 'lab', 'active', 20003, 20003, 'localhost', 'ssh-ed25519 AAAA', 'SHA256:x',
  'key:abc', NULL, '', 'alice', '192.0.2.1', 1, 2, 9999999999);
INSERT INTO free VALUES (20000, 0), (20001, 5), (20002, 0), (20004, 0);
INSERT INTO cuts VALUES (20001, 7);
"""


def older(folder: Path) -> None:
    """The database of a gateway of version 1."""
    with sqlite3.connect(folder / "gateway.db") as db:
        db.executescript(VERSION_1)


def test_an_older_database_is_brought_up_to_date(tmp_path: Path) -> None:
    """Nothing of it is lost: machines with their ports, the ports in their order, what is to be cut."""
    older(tmp_path)
    for _ in range(2):
        store = Store(url(tmp_path), POOL, bastion=Bastion("b1"), busy=lambda port: False)
        machine = store.find("lab")
        assert (machine.port, machine.bastion, machine.login) == (20003, "b1", "alice")
        assert store.cuts() == {20001: 7}
        assert [row["held"] for row in store.bastions()] == [1]
        assert store.counts()["free"] == 9
    assert [store.register(wish(f"m{n}"), SHARED)[0].port for n in range(9)][-1] == 20001


def test_an_update_that_fails_leaves_the_older_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is all one transaction: the gateway of before can go on."""
    older(tmp_path)

    def dump() -> list[str]:
        with sqlite3.connect(tmp_path / "gateway.db") as db:
            return sorted(db.iterdump())

    before = dump()

    def fails(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("disk full"))

    monkeypatch.setattr(tables, "_announce", fails)
    with pytest.raises(SSHError, match="disk full"):
        Store(url(tmp_path), POOL)
    assert dump() == before


# Several bastions


def several(folder: Path, clock: Clock, ports: int = 10) -> list[Store]:
    """Three bastions that share a database, each with its own sshd and as many ports."""
    names = [Bastion(f"b{n}", f"b{n}.example.com", host_keys=f"ssh-ed25519 {n}") for n in range(3)]
    pool = Pool(20000, 19999 + ports)
    stores = [Store(url(folder), pool, bastion=name, clock=clock, busy=lambda port: False) for name in names]
    for one in stores:
        one.looked((), ())
    return stores


def by_bastion(store: Store) -> list[int]:
    """How many machines each bastion has, as counted and as it is."""
    have = Counter(machine.bastion for machine in store.machines("active"))
    assert {row["name"]: row["held"] for row in store.bastions()} == {
        f"b{n}": have[f"b{n}"] for n in range(3)
    }
    return [have[f"b{n}"] for n in range(3)]


def test_three_bastions_share_the_load(tmp_path: Path, clock: Clock) -> None:
    """Whichever is asked, the least loaded gets the machine; the same port on each is no clash."""
    stores = several(tmp_path, clock)
    given = [stores[0].register(wish(f"m{n}"), SHARED)[0] for n in range(30)]
    assert by_bastion(stores[1]) == [10, 10, 10]
    assert len({(machine.bastion, machine.port) for machine in given}) == 30
    with pytest.raises(SSHError) as caught:
        stores[2].register(wish("one-too-many"), SHARED)
    assert slug(caught) == "gateway-full"
    freed = next(machine for machine in given if machine.bastion == "b1")
    stores[0].revoke(freed.id)
    # Its own bastion is to end its session, and no other.
    assert [bool(store.cuts()) for store in stores] == [False, True, False]
    machine, _ = stores[2].register(wish("new"), SHARED)
    assert (machine.bastion, machine.port) == (freed.bastion, freed.port)


def test_a_machine_stays_with_its_bastion(tmp_path: Path, clock: Clock) -> None:
    """It comes back to the same one and the same port, whichever it asks; only that one lets its key in."""
    stores = several(tmp_path, clock)
    first, _ = stores[0].register(wish("a"), SHARED)
    for store in stores:
        again, _ = store.register(wish("a"), SHARED)
        assert (again.bastion, again.port) == (first.bastion, first.port)
    assert [len(store.here()) for store in stores] == [1, 0, 0]
    # What another bastion sees on that port is not this machine's tunnel.
    stores[1].saw([first.port or 0])
    assert stores[1].find("a").up == 0
    stores[0].saw([first.port or 0])
    assert stores[1].find("a").up == clock.now


def test_a_bastion_that_is_gone_gets_no_machines(tmp_path: Path, clock: Clock) -> None:
    """Its machines go over to others when they ask again, and come no more than once."""
    stores = several(tmp_path, clock)
    for n in range(9):
        stores[0].register(wish(f"m{n}"), SHARED)
    clock.now += tables.AWAY + 1
    for store in stores[:2]:
        store.looked((), ())
    assert stores[0].register(wish("new"), SHARED)[0].bastion != "b2"
    moved = [machine.id for machine in stores[2].here()]
    assert len(moved) == 3
    for name in moved:
        assert stores[0].register(wish(name), SHARED)[0].bastion != "b2"
    assert by_bastion(stores[0]) == [5, 5, 0]


def test_a_port_that_is_held_on_another_bastion_is_passed_over(tmp_path: Path, clock: Clock) -> None:
    """It has said so when it looked; when it is let go, it is given out again."""
    stores = several(tmp_path, clock, ports=2)
    stores[1].looked((), {20000, 20001})
    given = {stores[0].register(wish(f"m{n}"), SHARED)[0].bastion for n in range(4)}
    assert given == {"b0", "b2"}
    stores[1].looked((), {20000})
    machine, _ = stores[0].register(wish("new"), SHARED)
    assert (machine.bastion, machine.port) == ("b1", 20001)


def test_two_machines_are_not_the_same_bastion(tmp_path: Path, clock: Clock) -> None:
    """The second that goes by a name is refused, while the first is there."""
    first = several(tmp_path, clock)[0]
    with pytest.raises(SSHError, match="SCITEX_SSH_GATEWAY_BASTION") as caught:
        Store(url(tmp_path), POOL, bastion=Bastion("b0", host_keys="ssh-ed25519 other"), clock=clock)
    assert slug(caught) == "gateway-settings"
    clock.now += tables.AWAY + 1
    # Made anew after the first was lost, it takes over what that one had.
    again = Bastion("b0", host_keys="ssh-ed25519 other")
    assert Store(url(tmp_path), first.pool, bastion=again, clock=clock).bastions()[0]["host_keys"]


@pytest.mark.parametrize("wrong", ["sqlite:////nowhere/at/all.db", "nonsense", "oracle9://x", "sqlite:////"])
def test_a_database_that_cannot_be(wrong: str) -> None:
    """A URL that leads nowhere is one clear error."""
    with pytest.raises(SSHError) as caught:
        Store(wrong, POOL)
    assert slug(caught) == "gateway-storage"


def test_the_password_of_a_database_is_not_told() -> None:
    """An error names the database without the secret in its URL."""
    with pytest.raises(SSHError) as caught:
        Store("oracle9://user:hunter2@host/db", POOL)
    assert "hunter2" not in str(caught.value)


def test_a_backup_while_machines_come_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged before is in it; put back, a server that runs gives no port twice."""
    here = url(tmp_path)
    if not here.startswith("sqlite"):
        pytest.skip("pg_dump does that")
    monkeypatch.setenv("SCITEX_SSH_GATEWAY_DATABASE", here)
    pool = Pool(20000, 20999)
    store = Store(here, pool, busy=lambda port: False)
    before = {f"m{n}": store.register(wish(f"m{n}"), SHARED)[0].port for n in range(20)}
    stop = threading.Event()

    def come() -> int:
        for number in itertools.count():
            if stop.is_set():
                return number
            store.register(wish(f"late{number}"), SHARED)
        raise AssertionError

    with ThreadPoolExecutor(1) as crowd:
        late = crowd.submit(come)
        result = CliRunner().invoke(gateway_commands, ["backup", str(tmp_path / "kept.db")])
        stop.set()
        assert result.exit_code == 0, result.output
        assert late.result() > 0
    assert (tmp_path / "kept.db").stat().st_mode & 0o777 == 0o600
    again = CliRunner().invoke(gateway_commands, ["backup", str(tmp_path / "kept.db")])
    assert isinstance(again.exception, SSHError)
    assert again.exception.slug == "file-failed"

    # Put back while a server answers: it goes on with what was so then.
    last = store.register(wish("last"), SHARED)[0]
    with served(Settings(here, ("correct-horse",), server_keys=True), store):
        done = CliRunner().invoke(gateway_commands, ["restore", str(tmp_path / "kept.db")])
        assert done.exit_code == 0, done.output
        kept = {machine.id: machine.port for machine in store.machines("active")}
        assert before.items() <= kept.items()
        assert "last" not in kept
        new = [store.register(wish(f"new{n}"), SHARED)[0].port for n in range(20)]
        assert len({*kept.values(), *new}) == len(kept) + 20
        assert store.register(wish("m3"), SHARED)[0].port == before["m3"]
        # And what was there before is there again.
        former = done.output.strip().rpartition(" ")[2]
        assert CliRunner().invoke(gateway_commands, ["restore", former]).exit_code == 0
        assert store.find("last").port == last.port


@pytest.mark.parametrize("content", [b"", b"no database at all\n" * 100, "another's", "of tomorrow"])
def test_what_is_no_backup_is_not_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | str
) -> None:
    """Nothing, something else, another program's and one of a newer version: all stays as it is."""
    here = f"sqlite:///{tmp_path}/gateway.db"
    monkeypatch.setenv("SCITEX_SSH_GATEWAY_DATABASE", here)
    store = Store(here, POOL)
    known = store.register(wish("m1"), SHARED)[0]
    file = tmp_path / "file.db"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE meta (key TEXT, value TEXT)")
            if content == "of tomorrow":
                db.execute("INSERT INTO meta VALUES ('schema', ?)", (str(tables.VERSION + 1),))
    done = CliRunner().invoke(gateway_commands, ["restore", str(file)])
    assert isinstance(done.exception, SSHError)
    assert done.exception.slug == "gateway-storage"
    assert [machine.id for machine in store.machines()] == [known.id]
    assert not list(tmp_path.glob("before-*"))


def test_a_backup_has_to_have_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that there is not is named; of PostgreSQL its own programs make copies."""
    monkeypatch.setenv("SCITEX_SSH_GATEWAY_DATABASE", f"sqlite:///{tmp_path}/gateway.db")
    nowhere = CliRunner().invoke(gateway_commands, ["backup", str(tmp_path / "no" / "kept.db")])
    assert isinstance(nowhere.exception, SSHError)
    assert nowhere.exception.slug == "file-failed"
    monkeypatch.setenv("SCITEX_SSH_GATEWAY_DATABASE", "postgresql://gateway@db/gateway")
    other = CliRunner().invoke(gateway_commands, ["backup", str(tmp_path / "kept.db")])
    assert isinstance(other.exception, SSHError)
    assert "pg_dump" in other.exception.sentence


def test_a_state_that_there_is_not_is_no_empty_list() -> None:
    """Nobody takes a slip for a gateway without machines."""
    done = CliRunner().invoke(gateway_commands, ["list", "--state", "actve"])
    assert done.exit_code == 2
    assert "'actve' is not one of" in done.output
