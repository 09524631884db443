"""What a gateway does by itself: renew what is up, end what is over, cut what was revoked."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from scitex_ssh.errors import SSHError
from scitex_ssh.gateway import keys, proofs, sessions
from scitex_ssh.gateway.round import Round
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store
from scitex_ssh.render.authorized_keys import PublicKey

log = logging.getLogger("scitex_ssh.gateway")
EVERY = 20.0
# Who is up is dialled when it comes, and then every five minutes: each time costs a handshake, and a port
# that is dialled all the time keeps a dead session alive in the eyes of sshd. So many a round.
AGAIN, MOST = 300.0, 64


def tick(settings: Settings, store: Store) -> Round:
    """One round. Sessions are cut by root only; for others they stay to be cut."""
    live = sessions.listening(settings.ssh_user)
    foreign = {port for port in sessions.taken() if port in store.pool}
    store.looked(live, foreign, os.getloadavg()[0] / (os.cpu_count() or 1), memory())
    over = store.expire(live)
    for machine in over:
        log.info("expired: agent_id=%s port_b=%s", machine.id, machine.port)
    write_keys(settings, store)
    cut = []
    for port, before in store.cuts().items():
        if port not in live or sessions.end(settings.ssh_user, port, before):
            store.was_cut(port, before)
            cut.append(port)
    found = proofs.dial(store.due(live, AGAIN, MOST))
    if found:
        store.proven(found)
    return Round(len(live), len(found), tuple(machine.id for machine in over), tuple(cut))


def memory(path: Path = Path("/proc/meminfo")) -> float:
    """The share of this machine's memory that is in use."""
    try:
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in path.read_text().splitlines()}
        return 1 - sizes["MemAvailable"] / sizes["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return 0.0


def write_keys(settings: Settings, store: Store) -> None:
    """Bring the file of keys up to date, where there is one. The cost grows with the machines in it."""
    if settings.authorized_keys is not None:
        keys.write_block(settings.authorized_keys, lambda: lines(store))


def lines(store: Store) -> list[str]:
    """The line of every machine that has a port of this bastion."""
    return [
        keys.line(machine.name, machine.port, PublicKey.parse(machine.public_key), machine.bind)
        for machine in store.here()
        if machine.port is not None
    ]


class Ticker:
    """Rounds in a thread of their own, until it is told to stop."""

    def __init__(self, settings: Settings, store: Store, every: float = EVERY) -> None:
        self._settings, self._store, self._every = settings, store, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            try:
                tick(self._settings, self._store)
            except SSHError as problem:
                log.error("upkeep: %s [%s]", problem.sentence, problem.slug)
            if self._stop.wait(self._every):
                return
