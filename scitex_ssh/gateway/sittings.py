"""Who is signed in on the page: a secret in a cookie, good for half a day or until the admin's token ends."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from scitex_ssh.gateway import secrets
from scitex_ssh.gateway.tables import SITTINGS, TOKENS

SECONDS = 12 * 3600.0


def begin(db: Connection, token: str, now: float) -> str:
    """Sign in the holder of the admin token of this name; the secret for their cookie."""
    made = secrets.new()
    db.execute(delete(SITTINGS).where(SITTINGS.c.expires < now))
    db.execute(insert(SITTINGS).values(hash=secrets.digest(made), token=token, expires=now + SECONDS))
    return made


def who(db: Connection, secret: str, now: float) -> str:
    """The name of the admin token of a cookie, while both are good; or ""."""
    if not secret:
        return ""
    # Looked up by its digest: how long that takes tells nothing of the secret.
    mine = (SITTINGS.c.hash == secrets.digest(secret)) & (SITTINGS.c.expires >= now)
    good = (TOKENS.c.kind == "admin") & (TOKENS.c.expires.is_(None) | (TOKENS.c.expires >= now))
    found = select(TOKENS.c.name).join(SITTINGS, SITTINGS.c.token == TOKENS.c.name).where(mine, good)
    # A token that was made anew under the name of an ended one is another's.
    return str(db.scalar(found.where(TOKENS.c.created <= SITTINGS.c.expires - SECONDS)) or "")


def end(db: Connection, secret: str) -> None:
    """Sign out."""
    db.execute(delete(SITTINGS).where(SITTINGS.c.hash == secrets.digest(secret)))


def form_word(secret: str) -> str:
    """What each form of the signed-in carries: a page of somebody else's cannot know it."""
    return secrets.digest(f"form:{secret}")
