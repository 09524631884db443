"""What is applied is what was shown: a plan, its digest, and the same plan again before it is applied."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Protocol

from scitex_ssh.errors import error


class Told(Protocol):
    """What a call of the Python API came to."""

    @property
    def success(self) -> bool:
        """True when the exit status is 0."""

    def as_dict(self) -> dict[str, object]:
        """The result as JSON types; of a dry run, with ``events`` and ``diff``."""


# Calls the Python API: with True for a dry run, with False for the real thing.
Call = Callable[[bool], Told]


def of(arguments: object, shown: Told) -> str:
    """The digest of what was asked for together with what it would change."""
    body = shown.as_dict()
    seen = [arguments, body["events"], body["diff"]]
    text = json.dumps(seen, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def planned(arguments: object, call: Call) -> dict[str, object]:
    """What would change, and the digest that applies it; nothing is changed."""
    shown = call(True)
    return {**shown.as_dict(), "applied": False, "digest": of(arguments, shown) if shown.success else None}


def applied(arguments: object, call: Call, digest: str) -> dict[str, object]:
    """What became of it, if the plan is still the one of the digest.

    Raises:
        TunnelError: ``plan-changed``; nothing was touched.
    """
    shown = call(True)
    if not shown.success:
        return {**shown.as_dict(), "applied": False, "digest": None}
    if of(arguments, shown) != digest:
        raise error("plan-changed")
    return {**call(False).as_dict(), "applied": True, "digest": digest}
