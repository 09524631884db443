"""What the tests of the gateway have in common."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from scitex_ssh.gateway import app, bounds, secrets, serve
from scitex_ssh.gateway.machine import MachineName
from scitex_ssh.gateway.ports import Pool
from scitex_ssh.gateway.registration import Caller, Wish
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store
from scitex_ssh.render.authorized_keys import PublicKey

POOL = Pool(20000, 20009)


class Clock:
    """A time that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def key() -> PublicKey:
    """A public key that nobody has."""
    name = b"ssh-ed25519"
    body = len(name).to_bytes(4, "big") + name + (32).to_bytes(4, "big") + os.urandom(32)
    return PublicKey("ssh-ed25519", base64.b64encode(body).decode())


# Makes the database of a test that is to have another one than SQLite.
ELSEWHERE: list[Callable[[Path], str]] = []


def url(folder: Path) -> str:
    """The database of a test: the same one each time for the same folder."""
    return ELSEWHERE[-1](folder) if ELSEWHERE else f"sqlite:///{folder / 'gateway.db'}"


def wish(id: str | None = None, name: str | None = None) -> Wish:
    """What a new machine says of itself."""
    return Wish(key(), MachineName(id) if id else None, MachineName(name) if name else None)


def token(store: Store, name: str = "t", uses: int | None = None, seconds: float | None = None) -> str:
    """A join token."""
    with store.writing() as db:
        return secrets.create(db, name, "join", store.clock(), uses, seconds)


def until(what: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition; the time is a bound and says nothing else."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


@contextmanager
def served(settings: Settings, store: Store) -> Iterator[str]:
    """A gateway that answers; gives its address."""
    server = uvicorn.Server(
        uvicorn.Config(bounds.Bounded(app.made(settings, store)), **{**serve.options(settings), "port": 0})
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    scheme = "https" if settings.certificate else "http"
    try:
        yield f"{scheme}://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


SHARED = Caller(address="192.0.2.1", owner="key:abc")
