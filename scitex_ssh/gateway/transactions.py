"""Transactions of a gateway's database: what one did is on the disk when it ends, or nothing of it is."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from scitex_ssh.errors import error

Answer = TypeVar("Answer")
Job = Callable[[Connection], Answer]
Then = Callable[[], None]
# Jobs of one transaction: who comes first waits for all of them.
_MOST = 64
# Jobs after which what SQLite has logged goes to its place in the file. Whoever comes meanwhile waits for
# the disk, so that is seldom: a job logs some ten pages.
_MOVE = 1000
# Connections on which PostgreSQL is written to at the same time.
_CREW = 8


@dataclass(frozen=True)
class _Asked:
    """A job that waits for its turn."""

    job: Job[Any]
    then: Then | None
    answer: Future[Any] = field(default_factory=Future)


class Transactions:
    """Reads and writes of one process.

    SQLite lets one write at a time, and waits for the disk at the end of each: so what is asked for while
    the disk is busy goes into one transaction, which costs one wait. PostgreSQL does as much by itself for
    connections that commit at the same time.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)
        single = engine.dialect.name == "sqlite"
        # Those who wait for SQLite's lock sleep; here they queue.
        self._turn: AbstractContextManager[object] = threading.Lock() if single else nullcontext()
        self._most = _MOST if single else 1
        self._waiting: deque[_Asked] = deque()
        self._crew = ThreadPoolExecutor(1 if single else _CREW, "gateway-writes")
        self._movers = ThreadPoolExecutor(1, "gateway-moves") if single else None
        self._logged = 0

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes."""
        with self._turn, _told(), self._writer.begin() as db:
            yield db

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of all tables."""
        with _told(), self.engine.begin() as db:
            yield db

    def write(self, job: Job[Answer]) -> Answer:
        """Do a job in a transaction of its own; again, where another process was faster.

        Args:
            job: is called anew each time, and leaves nothing behind but what is in the database.
        """
        for _ in range(5):
            try:
                with self.writing() as db:
                    return job(db)
            except IntegrityError as problem:
                collision = problem
        raise error("gateway-storage", url="of this gateway", why=str(collision.orig)) from collision

    def soon(self, job: Job[Answer], then: Then | None = None) -> Future[Answer]:
        """Have a job done, with others that wait; it is on the disk when the answer is there.

        Args:
            job: as of `write`.
            then: called after the transaction, before anybody is answered; once for all that name the same.
        """
        asked = _Asked(job, then)
        self._waiting.append(asked)
        self._crew.submit(self._work)
        return asked.answer

    def _work(self) -> None:
        """Do what waits. As often called as something was asked for, so nothing is left lying."""
        batch: list[_Asked] = []
        with contextlib.suppress(IndexError):
            while len(batch) < self._most:
                asked = self._waiting.popleft()
                if asked.answer.set_running_or_notify_cancel():
                    batch.append(asked)
        if len(batch) < 2 or not self._together(batch):
            for asked in batch:
                self._singly(asked)
        self._logged += len(batch)
        if self._movers is not None and self._logged >= _MOVE:
            self._logged = 0
            self._movers.submit(self._move)

    def _move(self) -> None:
        """Bring what was logged to its place; whoever did it within a commit would hold up a crowd."""
        with contextlib.suppress(SQLAlchemyError), self.engine.connect() as db:
            db.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def _together(self, batch: list[_Asked]) -> bool:
        """Do all in one transaction; False, and nothing is done, when one of them cannot be."""
        try:
            with self.writing() as db:
                answers = [asked.job(db) for asked in batch]
        except Exception:
            # Whose fault it was, each finds out alone.
            return False
        try:
            for then in {asked.then for asked in batch if asked.then is not None}:
                then()
        except Exception as problem:
            for asked in batch:
                asked.answer.set_exception(problem)
            return True
        for asked, answer in zip(batch, answers):
            asked.answer.set_result(answer)
        return True

    def _singly(self, asked: _Asked) -> None:
        try:
            answer = self.write(asked.job)
            if asked.then is not None:
                asked.then()
        except BaseException as problem:
            asked.answer.set_exception(problem)
        else:
            asked.answer.set_result(answer)


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
