"""What the tests of the gateway have in common."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from scitex_ssh.gateway import secrets
from scitex_ssh.gateway.machine import MachineName
from scitex_ssh.gateway.ports import Pool
from scitex_ssh.gateway.store import Caller, Store, Wish
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


def url(folder: Path) -> str:
    """The database of a test."""
    return f"sqlite:///{folder / 'gateway.db'}"


def wish(id: str | None = None, name: str | None = None) -> Wish:
    """What a new machine says of itself."""
    return Wish(key(), MachineName(id) if id else None, MachineName(name) if name else None)


def token(store: Store, name: str = "t", uses: int | None = None, seconds: float | None = None) -> str:
    """A join token."""
    with store.writing() as db:
        return secrets.create(db, name, "join", store.clock(), uses, seconds)


SHARED = Caller(address="192.0.2.1", owner="key:abc")
