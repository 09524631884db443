"""Bounds on what a stranger may cost: bytes of a request, and the time until it is there."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from scitex_ssh.errors import SSHError, error
from scitex_ssh.gateway import problems

BYTES = 32 * 1024
# Of a request's head, and what the last read from the network brings on top of it.
HEAD = 16 * 1024
SECONDS = 15.0


class Bounded:
    """An ASGI application that gets only requests whose body is small and comes in time."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Read the whole body, then call the application with it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(_body(receive), SECONDS)
        except asyncio.TimeoutError:
            refusal = error("gateway-request", why=f"its body was not there after {SECONDS:.0f} s")
            await _last(refusal, 408)(scope, receive, send)
            return
        if body is None:
            refusal = error("gateway-request", why=f"its body is longer than {BYTES} bytes")
            await _last(refusal, 413)(scope, receive, send)
            return
        told = False

        async def again() -> Any:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)


def _last(refusal: SSHError, code: int) -> Any:
    """An answer after which the connection ends: what is still to come of the request is not read."""
    answer = problems.answer(refusal, code)
    answer.headers["Connection"] = "close"
    return answer


async def _body(receive: Any) -> bytes | None:
    """The body, or None when it is too long."""
    parts, length = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        length += len(part)
        if length > BYTES:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


class Impatient(HttpToolsProtocol):
    """HTTP of uvicorn, which by itself waits for ever for the end of a request's head, however long."""

    _clock: asyncio.TimerHandle | None = None
    _waited = 0

    def connection_made(self, transport: Any) -> None:
        """A connection begins, and has to say what it wants."""
        super().connection_made(transport)
        self._clock = self.loop.call_later(SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Some bytes came; a head that is whole stops the clock, and one that begins starts it."""
        super().data_received(data)
        # uvicorn has no cycle before the first head, whatever its annotation says.
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop()
            return
        self._waited += len(data)
        if self.transport.is_closing():
            return
        if self._waited > HEAD:
            self.send_400_response(f"The head of the request is longer than {HEAD} bytes.")
        elif self._clock is None:
            self._clock = self.loop.call_later(SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, and so is the clock."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        self._waited = 0
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
