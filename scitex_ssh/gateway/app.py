"""The gateway over HTTP: the actions of ssh-tunnel-gateway 0.4.3 on POST /, and an API of its own."""

# No `from __future__ import annotations`: FastAPI reads the annotations of what is defined in a function.
import logging
from typing import Annotated, Any, Literal, Optional

from fastapi import Body, Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

import scitex_ssh
from scitex_ssh.errors import SSHError, error
from scitex_ssh.gateway import metrics as metered
from scitex_ssh.gateway import page, problems, secrets
from scitex_ssh.gateway.machine import MachineName
from scitex_ssh.gateway.registration import Caller
from scitex_ssh.gateway.service import Service, way
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store

log = logging.getLogger("scitex_ssh.gateway")

Name = Annotated[str, Path(max_length=128)]
Text = Annotated[str, Field(max_length=4096)]


class Enrol(BaseModel):
    """A machine that asks for its port."""

    model_config = ConfigDict(extra="forbid")
    public_key: Annotated[str, Field(max_length=16384, description="one line, as in a .pub file")]
    token: Text = ""
    secret: Text = ""
    name: Optional[Annotated[str, Field(max_length=128)]] = None
    login: Optional[Annotated[str, Field(max_length=64)]] = None
    host_keys: Annotated[list[Text], Field(max_length=5)] = []


class NewToken(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=128)]
    kind: Literal["join", "admin"] = "join"
    uses: Optional[Annotated[int, Field(ge=1, le=1_000_000)]] = 1
    seconds: Optional[Annotated[int, Field(ge=1, le=10**9)]] = 86400


class NewName(BaseModel):
    """Another name for a machine."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=128)]


def made(settings: Settings, store: Store) -> FastAPI:
    """The application."""
    service = Service(settings, store)
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"description": "problem+json, with the slug of the error in title"}
        for code in (401, 403, 404, 409, 413, 422, 429)
    }
    app = FastAPI(
        title="scitex-ssh gateway",
        version=scitex_ssh.__version__,
        docs_url=None,
        redoc_url=None,
        responses=refusals,
    )
    _errors(app)
    meter, events = metered.Meter(), metered.Events(store)
    app.add_middleware(meter.around)

    def admin(request: Request, authorization: Annotated[str, Header(max_length=4096)] = "") -> str:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise error("gateway-token", why="Authorization: Bearer TOKEN is missing")
        return service.admin(token.strip(), address(request))

    Admin = Annotated[str, Depends(admin)]

    @app.post("/")
    async def action(request: Request, payload: Annotated[dict[str, Any], Body()]) -> Response:
        """``register`` or ``heartbeat``, as ssh-tunnel-agent 0.4.3 speaks."""
        where = address(request)
        api_key = request.headers.get(settings.api_key_header, "")
        if not api_key:
            log.warning("auth failed: ip=%s reason=missing_api_key", where)
            return problems.answer(error("gateway-token", why="the API key is missing"), 401)
        try:
            owner = service.api_owner(api_key)
            if not owner:
                await service.soon(service.wrong_api_key(where), where)
            return await _acted(service, payload, api_key, Caller(address=where, owner=owner))
        except SSHError as problem:
            if problem.slug not in ("gateway-token", "gateway-limit"):
                raise
            log.warning("auth failed: ip=%s reason=%s", where, problem.slug)
            return problems.answer(problem, 403 if problem.slug == "gateway-token" else 0)

    @app.post("/v1/enrol")
    async def enrol(request: Request, wanted: Enrol) -> Response:
        """Enrol a machine by its own public key: with a token, or with what it got at its first time.

        Who accepts ``text/plain`` is told ``PORT USER HOST PORT``, and of no secret to come back with.
        """
        caller = Caller(address=address(request), token=wanted.token, secret=wanted.secret)
        job = service.enrolling(wanted.model_dump(exclude={"token", "secret"}), caller)
        granted, secret = await service.soon(job, caller.address, service.changed)
        log.info("enrol ok: ip=%s agent_id=%s port_b=%s", caller.address, granted["id"], granted["port"])
        if request.headers.get("accept") == "text/plain" and granted["state"] == "active":
            return PlainTextResponse(way(granted) + "\n")
        body = {**granted, **({"secret": secret} if secret else {})}
        return JSONResponse(body, 202 if granted["state"] == "pending" else 200)

    page.add(app, service)

    @app.get("/v1/machines")
    def machines(who: Admin, state: Annotated[str, Query(max_length=8)] = "") -> list[dict[str, object]]:
        """All machines, or those in a state."""
        return [machine.as_dict() for machine in store.machines(state)]

    @app.get("/v1/machines/{name}")
    def machine(who: Admin, name: Name) -> dict[str, object]:
        """One machine, by name or id."""
        return store.find(name).as_dict()

    @app.post("/v1/machines/{name}/approve")
    def approve(who: Admin, name: Name) -> dict[str, object]:
        """Give a machine that waits its port."""
        machine = store.approve_machine(name, who)
        service.changed()
        return machine.as_dict()

    @app.post("/v1/machines/{name}/revoke")
    def revoke(who: Admin, name: Name) -> dict[str, object]:
        """Take a machine its port and key, and end its session."""
        store.revoke(name, who)
        service.changed()
        return store.find(name).as_dict()

    @app.post("/v1/machines/{name}/rename")
    def rename(who: Admin, name: Name, to: NewName) -> dict[str, object]:
        """Call a machine by another name."""
        return store.rename(name, MachineName(to.name), who).as_dict()

    @app.get("/v1/tokens")
    def tokens(who: Admin) -> list[dict[str, object]]:
        """The tokens that there are, without the tokens themselves."""
        with store.reading() as db:
            return [vars(token) for token in secrets.listed(db)]

    @app.post("/v1/tokens", status_code=201)
    def token(who: Admin, wanted: NewToken) -> dict[str, str]:
        """Make a token; it is shown this once."""
        name = MachineName(wanted.name)
        with store.writing() as db:
            made = secrets.create(db, name, wanted.kind, store.clock(), wanted.uses, wanted.seconds)
        return {"name": name, "token": made}

    @app.delete("/v1/tokens/{name}", status_code=204)
    def forget(who: Admin, name: Name) -> Response:
        """End a token."""
        with store.writing() as db:
            secrets.revoke(db, name)
        return Response(status_code=204)

    @app.get("/v1/audit")
    def audit(who: Admin, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> list[dict[str, object]]:
        """Who got what when, the newest first."""
        return store.audit(limit)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        """The database answers, too."""
        store.counts()
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> str:
        """Counts for Prometheus."""
        return metered.text(store, events, meter)

    return app


def address(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else "unknown"


async def _acted(service: Service, payload: dict[str, Any], api_key: str, caller: Caller) -> Response:
    """Answer one action; the fields of the log are those of ssh-tunnel-gateway."""
    word, agent_id = payload.get("action"), payload.get("agent_id")
    if word == "register" and (agent_id is None or isinstance(agent_id, str)):
        job = service.registering(agent_id, api_key, caller)
        answer = await service.soon(job, caller.address, service.changed)
        if answer.pop("state") == "pending":
            raise error("gateway-pending", name=answer["agent_id"])
        log.info(
            "register ok: ip=%s agent_id=%s port_b=%s ssh_user=%s jump_user=%s jump_host=%s "
            "reverse_bind_host=%s",
            *(caller.address, answer["agent_id"], answer["port_b"], answer["ssh_user"]),
            *(answer["ssh_jump_user"], answer["ssh_jump_host"] or "unset", answer["reverse_bind_host"]),
        )
        return JSONResponse(answer)
    if word == "heartbeat" and isinstance(agent_id, str):
        name = MachineName(agent_id)
        try:
            await service.soon(lambda db: service.store.renewed(db, name, caller), caller.address)
        except SSHError as problem:
            log.warning("heartbeat unknown agent: ip=%s agent_id=%s", caller.address, ascii(agent_id))
            return problems.answer(problem)
        log.info("heartbeat ok: ip=%s agent_id=%s", caller.address, agent_id)
        return JSONResponse({"status": "ok"})
    log.warning("invalid action: ip=%s action=%s", caller.address, ascii(word)[:80])
    return problems.answer(
        error("gateway-request", why="action is 'register' or 'heartbeat', of an agent_id")
    )


def _errors(app: FastAPI) -> None:
    """Have every error answered as problem+json."""

    @app.exception_handler(SSHError)
    async def known(request: Request, problem: SSHError) -> Response:
        return problems.answer(problem)

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, problem: RequestValidationError) -> Response:
        first = problem.errors()[0]
        # What was sent is not repeated: a token may be in it.
        place = ".".join(str(part) for part in first["loc"])
        return problems.answer(error("gateway-request", why=f"{place[:200]}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def http(request: Request, problem: HTTPException) -> Response:
        why = f"{request.method} {ascii(request.url.path)[:80]}: {problem.detail}".lower()
        answer = problems.answer(error("gateway-request", why=why), problem.status_code)
        answer.headers.update(problem.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def ours(request: Request, problem: Exception) -> Response:
        log.error("internal error: %s", type(problem).__name__, exc_info=problem)
        return problems.answer(error("internal", why=type(problem).__name__))
