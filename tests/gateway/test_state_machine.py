# ruff: noqa: PT017  # a refusal is one of the outcomes that the model predicts
"""Whatever happens in whatever order: no port is given out twice, and nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select

from scitex_ssh.errors import SSHError
from scitex_ssh.gateway.ports import Pool
from scitex_ssh.gateway.store import Store
from scitex_ssh.gateway.tables import FREE, MACHINES

from .model import SHARED, Clock, url, wish

IDS = st.sampled_from([f"m{number}" for number in range(12)])
POOL = Pool(20000, 20007)


class PulledPlug(Exception):
    """The process ends in the middle of a transaction."""


class Gateway(RuleBasedStateMachine):
    """A gateway, and beside it in plain dictionaries what it has promised."""

    @initialize()
    def begin(self) -> None:
        """Start with an empty database."""
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.foreign: set[int] = set()
        # By machine: its port and when its lease ends; the ports that they once had; the revoked.
        self.held: dict[str, tuple[int, float]] = {}
        self.former: dict[str, int] = {}
        self.revoked: set[str] = set()
        self.open()

    def open(self) -> None:
        """Start the gateway on what is on the disk."""
        self.store = Store(
            url(Path(self.folder.name)), POOL, clock=self.clock, busy=self.foreign.__contains__
        )

    @rule(name=IDS)
    def register(self, name: str) -> None:
        """A machine asks for its port."""
        free = set(POOL) - {port for port, _ in self.held.values()}
        usable = free - self.foreign
        try:
            machine, _ = self.store.register(wish(name), SHARED)
        except SSHError as problem:
            expected = "gateway-revoked" if name in self.revoked else "gateway-full"
            assert problem.slug == expected
            assert name in self.revoked or (name not in self.held and not usable)
            return
        assert machine.port is not None
        if name in self.held:
            assert machine.port == self.held[name][0]
        else:
            assert machine.port in usable
            if self.former.get(name) in usable:
                assert machine.port == self.former[name]
        self.held[name] = (machine.port, self.clock.now + self.store.lease)
        self.former[name] = machine.port

    @rule(name=IDS)
    def renew(self, name: str) -> None:
        """A machine gives a sign of life."""
        try:
            machine = self.store.renew(name, SHARED)
        except SSHError as problem:
            assert problem.slug == "gateway-unknown"
            assert name not in self.held
            return
        assert machine.port == self.held[name][0]
        self.held[name] = (self.held[name][0], self.clock.now + self.store.lease)

    @rule(days=st.floats(0, 8), up=st.sets(IDS))
    def expire(self, days: float, up: set[str]) -> None:
        """Time passes; some tunnels are up, and those leases renew themselves."""
        self.clock.now += days * 86400
        live = {self.held[name][0] for name in up if name in self.held}
        ended = {machine.id for machine in self.store.expire(live)}
        over = {name for name, (port, end) in self.held.items() if end < self.clock.now and port not in live}
        assert ended == over
        for name, (port, _) in list(self.held.items()):
            if port in live:
                self.held[name] = (port, self.clock.now + self.store.lease)
        for name in ended:
            del self.held[name]

    @rule(name=IDS)
    def revoke(self, name: str) -> None:
        """An admin ends a machine."""
        try:
            self.store.revoke(name)
        except SSHError as problem:
            assert problem.slug == "gateway-unknown"
            assert name not in self.former
            return
        if name in self.held:
            assert self.held[name][0] in self.store.cuts()
        self.held.pop(name, None)
        self.revoked.add(name)

    @rule(ports=st.sets(st.sampled_from(list(POOL))))
    def others(self, ports: set[int]) -> None:
        """Other programs of the bastion hold these ports now."""
        self.foreign.clear()
        self.foreign |= ports

    @rule(name=IDS)
    def crash(self, name: str) -> None:
        """The process ends after it has written, before it has committed."""
        with contextlib.suppress(PulledPlug, SSHError), self.store.writing() as db:
            self.store.registered(db, wish(name), SHARED)
            raise PulledPlug
        self.open()

    @rule()
    def restart(self) -> None:
        """The gateway is started again."""
        self.store.engine.dispose()
        self.open()

    @invariant()
    def promises_are_kept(self) -> None:
        """What is on the disk is what was acknowledged."""
        assert {m.id: (m.port, m.expires) for m in self.store.machines("active")} == self.held
        assert {m.id for m in self.store.machines("revoked")} == self.revoked

    @invariant()
    def each_port_is_somewhere_once(self) -> None:
        """Every port of the pool is free or held by one machine."""
        with self.store.reading() as db:
            free = list(db.scalars(select(FREE.c.port)))
            held = list(db.scalars(select(MACHINES.c.port).where(MACHINES.c.port.is_not(None))))
        assert sorted(free + held) == list(POOL)

    def teardown(self) -> None:
        """Take the database away."""
        if hasattr(self, "store"):
            self.store.engine.dispose()
            self.folder.cleanup()


TestGateway = Gateway.TestCase
TestGateway.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
