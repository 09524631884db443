"""What the gateway knows of one token."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """What is known of a token; never the token itself.

    Attributes:
        name: what it is called.
        kind: ``join`` (machines enrol with it) or ``admin`` (for the API and the page).
        uses: how often it is still good; None for as often as wanted.
        expires: until when (seconds since 1970); None for never.
        created: when it was made.
    """

    name: str
    kind: str
    uses: int | None
    expires: float | None
    created: float
