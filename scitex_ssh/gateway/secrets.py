"""Tokens and secrets: made here, shown once, kept as digests."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from scitex_ssh.errors import error
from scitex_ssh.gateway.tables import TOKENS
from scitex_ssh.gateway.token import Token

# 256 random bits need no slow digest: nobody guesses them.
_BYTES = 32


def new() -> str:
    """A secret that nobody can guess."""
    return secrets.token_urlsafe(_BYTES)


def digest(text: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def create(db: Connection, name: str, kind: str, now: float, uses: int | None, seconds: float | None) -> str:
    """Make a token; ``gateway-name-taken`` when there is one of that name."""
    made = new()
    if db.scalar(select(TOKENS.c.name).where(TOKENS.c.name == name)):
        raise error("gateway-name-taken", name=name, what="token")
    try:
        db.execute(
            insert(TOKENS).values(
                name=name,
                kind=kind,
                hash=digest(made),
                uses=uses,
                expires=None if seconds is None else now + seconds,
                created=now,
            )
        )
    except IntegrityError as problem:
        raise error("gateway-name-taken", name=name, what="token") from problem
    return made


def consume(db: Connection, token: str, now: float) -> str:
    """Use a join token up by one; its name. Rolled back with the rest when the registration fails.

    Raises:
        SSHError: ``gateway-token``, saying whether it is missing, unknown, expired or used up.
    """
    if not token:
        raise error("gateway-token", why="none was given")
    # Looked up by its digest: how long that takes tells nothing of the token.
    mine = (TOKENS.c.hash == digest(token)) & (TOKENS.c.kind == "join")
    found = db.execute(select(TOKENS).where(mine).with_for_update()).mappings().first()
    if found is None:
        raise error("gateway-token", why="it is unknown, or was revoked")
    if found["expires"] is not None and found["expires"] < now:
        raise error("gateway-token", why="it has expired")
    if found["uses"] is not None:
        if found["uses"] < 1:
            raise error("gateway-token", why="it is used up")
        db.execute(update(TOKENS).where(mine).values(uses=TOKENS.c.uses - 1))
    return str(found["name"])


def admin(db: Connection, token: str, now: float) -> str:
    """The name of a valid admin token, or ""."""
    mine = (TOKENS.c.hash == digest(token)) & (TOKENS.c.kind == "admin")
    found = db.execute(select(TOKENS).where(mine)).mappings().first()
    if found is None or (found["expires"] is not None and found["expires"] < now):
        return ""
    return str(found["name"])


def listed(db: Connection) -> list[Token]:
    """All tokens, by name."""
    rows = db.execute(select(TOKENS).order_by(TOKENS.c.name)).mappings()
    return [Token(row["name"], row["kind"], row["uses"], row["expires"], row["created"]) for row in rows]


def revoke(db: Connection, name: str) -> None:
    """Forget a token; ``gateway-unknown`` when there is none of that name."""
    if db.execute(delete(TOKENS).where(TOKENS.c.name == name)).rowcount == 0:
        raise error("gateway-unknown", name=name, what="token")
