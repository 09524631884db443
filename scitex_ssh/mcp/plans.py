"""What is applied is what was shown: a plan, its digest, and the same plan again before it is applied."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from scitex_ssh.api import Result
from scitex_ssh.errors import error

# Calls the Python API: with True for a dry run, with False for the real thing.
Call = Callable[[bool], Result]


def of(arguments: object, shown: Result) -> str:
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
