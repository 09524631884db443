"""Machines as people look for them: found by a word, by how they stand, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, case, func, or_, select

from scitex_ssh.gateway.machine import Machine
from scitex_ssh.gateway.store import DOWN, Store
from scitex_ssh.gateway.tables import MACHINES

# How a machine stands: what its own host key proves, what is only seen, what an admin has to decide.
STANDINGS = ("verified", "open", "up", "other", "silent", "down", "pending", "expired", "revoked")
PAGE = 100


@dataclass(frozen=True)
class Asked:
    """What is looked for.

    Attributes:
        word: part of a name, an id, an account or an address; or a port, whole.
        standing: one of `STANDINGS`, or "" for all.
        page: from 1 on, of `PAGE` machines each.
    """

    word: str = ""
    standing: str = ""
    page: int = 1


@dataclass(frozen=True)
class Found:
    """Machines with how they stand, how many there are of that kind, and of each."""

    machines: list[tuple[Machine, str]]
    total: int
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def pages(self) -> int:
        """How many pages they fill."""
        return max(1, -(-self.total // PAGE))


def found(store: Store, asked: Asked) -> Found:
    """Look for machines; those that wait for an admin come first, then by name."""
    standing = _standing(store.clock()).label("standing")
    matching = select(MACHINES, standing).where(*_matching(asked.word)).subquery()
    chosen = select(matching)
    if asked.standing:
        chosen = chosen.where(matching.c.standing == asked.standing)
    order = (case((matching.c.state == "pending", 0), else_=1), matching.c.name)
    with store.reading() as db:
        groups = select(matching.c.standing, func.count()).group_by(matching.c.standing)
        counts = {row[0]: row[1] for row in db.execute(groups)}
        rows = db.execute(chosen.order_by(*order).limit(PAGE).offset((asked.page - 1) * PAGE)).all()
    total = counts.get(asked.standing, 0) if asked.standing else sum(counts.values())
    return Found([(Machine.of(row), row.standing) for row in rows], total, counts)


def standings(store: Store) -> dict[str, int]:
    """How many machines stand how."""
    standing = _standing(store.clock()).label("standing")
    with store.reading() as db:
        return {row[0]: row[1] for row in db.execute(select(standing, func.count()).group_by(standing))}


def _standing(now: float) -> ColumnElement[str]:
    return case(
        (MACHINES.c.state != "active", MACHINES.c.state),
        (MACHINES.c.up < now - DOWN, "down"),
        (MACHINES.c.proof == "", "up"),
        else_=MACHINES.c.proof,
    )


def _matching(word: str) -> list[ColumnElement[bool]]:
    if not word:
        return []
    texts = (MACHINES.c.name, MACHINES.c.id, MACHINES.c.login, MACHINES.c.address, MACHINES.c.bastion)
    either = [text.icontains(word, autoescape=True) for text in texts]
    if word.isascii() and word.isdigit() and len(word) <= 5:
        either.append(MACHINES.c.port == int(word))
    return [or_(*either)]
