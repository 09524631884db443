"""Errors of the catalogue as answers of HTTP (RFC 9457)."""

from __future__ import annotations

import threading
from collections import Counter

from fastapi.responses import JSONResponse

from scitex_ssh.errors import Exit, SSHError

PAGE = "https://scitex-ssh.readthedocs.io/en/latest/reference/errors.html"
_STATUS = {
    "gateway-token": 401,
    "gateway-limit": 429,
    "gateway-unknown": 404,
    "gateway-name-taken": 409,
    "gateway-full": 409,
    "gateway-request": 422,
    "gateway-storage": 503,
    "bad-public-key": 422,
    "bad-machine": 422,
}
_answered: Counter[str] = Counter()
_lock = threading.Lock()
_BY_EXIT = {Exit.USAGE: 422, Exit.REFUSED: 403}


def status(problem: SSHError) -> int:
    """The status of HTTP that an error has."""
    return _STATUS.get(problem.slug) or _BY_EXIT.get(problem.status, 500)


def answer(problem: SSHError, code: int = 0) -> JSONResponse:
    """The answer; ``detail`` is where ssh-tunnel-gateway had its words, too."""
    code = code or status(problem)
    with _lock:
        _answered[problem.slug] += 1
    body = {
        "type": f"{PAGE}#{problem.slug}",
        "title": problem.slug,
        "status": code,
        "detail": problem.sentence,
        "next": problem.next_move,
        "facts": problem.facts,
    }
    headers = {"Retry-After": problem.facts["seconds"]} if problem.slug == "gateway-limit" else {}
    if code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="scitex-ssh gateway"'
    return JSONResponse(body, code, headers, "application/problem+json")


def answered() -> dict[str, int]:
    """How often this process has answered with which error."""
    with _lock:
        return dict(sorted(_answered.items()))
