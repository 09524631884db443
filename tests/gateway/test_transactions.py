"""What is asked for at once is written at once, and nobody is answered before it is on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from scitex_ssh.errors import SSHError
from scitex_ssh.gateway import limits
from scitex_ssh.gateway.machine import Machine
from scitex_ssh.gateway.registration import Caller, Wish
from scitex_ssh.gateway.store import Store

from .model import POOL, SHARED, token, url, wish


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty gateway on a bastion whose ports are all free."""
    return Store(url(tmp_path), POOL, busy=lambda port: False)


@contextmanager
def crowd(store: Store) -> Iterator[list[str]]:
    """All that is asked for in here waits, and then comes at once; gives what became of transactions."""
    ended: list[str] = []
    busy = store.transactions.soon(lambda db: None)
    busy.result()
    for what in ("commit", "rollback"):
        event.listen(store.engine, what, lambda _, what=what: ended.append(what))
    with store.transactions._turn:
        # Takes the one thread that writes, until the lock is let go.
        busy = store.transactions.soon(lambda db: None)
        while not busy.running():
            pass
        yield ended
    busy.result()


def come(store: Store, wanted: Wish, caller: Caller = SHARED) -> Future[tuple[Machine, str]]:
    """A machine asks for its port."""
    return store.transactions.soon(lambda db: store.registered(db, wanted, caller))


def test_what_comes_at_once_costs_one_commit(store: Store) -> None:
    """Eight machines get eight ports in one transaction; nobody is answered before it has ended."""
    with crowd(store) as ended:
        asked = [come(store, wish(f"m{number}")) for number in range(8)]
        assert not any(each.done() for each in asked)
    ports = {each.result()[0].port for each in asked}
    assert len(ports) == 8
    assert {machine.port for machine in store.machines("active")} == ports
    # One for what held them up, one for the eight, and those of `machines`.
    assert ended[:2] == ["commit", "commit"]
    assert len(store.audit()) == 8


def test_who_is_refused_takes_nobody_along(store: Store) -> None:
    """Of those who come at once the wrong one is told so, and the others have their ports."""
    good = token(store, uses=2)
    with crowd(store) as ended:
        right = [come(store, wish(), Caller(token=good)) for _ in range(2)]
        wrong = come(store, wish(), Caller(token="nonsense"))
        late = come(store, wish(), Caller(token=good))
    assert {each.result()[0].state for each in right} == {"active"}
    for each, why in ((wrong, "unknown"), (late, "used up")):
        with pytest.raises(SSHError) as caught:
            each.result()
        assert caught.value.slug == "gateway-token"
        assert why in caught.value.sentence
    assert len(store.machines()) == 2
    assert "rollback" in ended


def test_the_same_machine_twice_at_once(store: Store) -> None:
    """Both are told of the one port."""
    wanted = wish("m")
    with crowd(store):
        asked = [come(store, wanted) for _ in range(2)]
    assert len({each.result()[0].port for each in asked}) == 1
    assert len(store.machines()) == 1


def test_keys_are_written_once_for_all(store: Store) -> None:
    """What is due after a registration is done once for those that came at once, before any is answered."""
    done: list[int] = []

    def then() -> None:
        assert not any(each.done() for each in asked)
        done.append(len(store.machines()))

    with crowd(store):
        asked = [
            store.transactions.soon(lambda db, n=n: store.registered(db, wish(f"m{n}"), SHARED), then)
            for n in range(5)
        ]
    assert all(each.result() for each in asked)
    assert done == [5]


def test_keys_that_cannot_be_written_are_told_to_all(store: Store) -> None:
    """Nobody is told of a port that sshd would refuse."""

    def then() -> None:
        raise OSError("disk full")

    with crowd(store):
        asked = [
            store.transactions.soon(lambda db, n=n: store.registered(db, wish(f"m{n}"), SHARED), then)
            for n in range(3)
        ]
    for each in asked:
        with pytest.raises(OSError, match="disk full"):
            each.result()


def test_who_gave_up_is_not_waited_for(store: Store) -> None:
    """A request that was given up before its turn leaves nothing behind, and holds up nobody."""
    with crowd(store):
        first, second = come(store, wish("a")), come(store, wish("b"))
        assert first.cancel()
    assert second.result()[0].id == "b"
    assert [machine.id for machine in store.machines()] == ["b"]


def test_a_limit_that_is_met_in_a_crowd(store: Store) -> None:
    """Of many that are wrong at once, each is counted."""

    def wrong() -> Future[None]:
        return store.transactions.soon(lambda db: limits.counted(db, store.clock(), "192.0.2.9"))

    with crowd(store):
        asked = [wrong() for _ in range(limits.MOST)]
    assert [each.result() for each in asked] == [None] * limits.MOST
    with pytest.raises(SSHError) as caught:
        limits.check(store, "192.0.2.9")
    assert caught.value.slug == "gateway-limit"
