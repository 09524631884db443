"""The addresses of the page."""

# No `from __future__ import annotations`: FastAPI reads the annotations of what is defined in a function.
import hashlib
import logging
from importlib.resources import files
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from scitex_ssh.errors import SSHError, error
from scitex_ssh.gateway import problems, reach, roster, secrets, sittings
from scitex_ssh.gateway.machine import MachineName
from scitex_ssh.gateway.page import view
from scitex_ssh.gateway.service import Service

log = logging.getLogger("scitex_ssh.gateway")

COOKIE = "scitex-ssh-gateway"
HEADERS = {
    # Nothing from anywhere else, nothing inline, in nobody's frame.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: a browser would then hide the origin of our own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_NEAR = ("localhost", "127.0.0.1", "::1")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_KINDS = {"style.css": "text/css", "script.js": "text/javascript"}

Name = Annotated[str, Path(max_length=128)]


async def form(request: Request) -> dict[str, str]:
    """The fields of a form, which only a page of this server may send."""
    if not _from_here(request):
        raise error("gateway-form", why="it comes from another site")
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, max_num_fields=10))
    except ValueError as problem:
        raise error("gateway-request", why="it is no form") from problem


Form = Annotated[dict[str, str], Depends(form)]


def add(app: FastAPI, service: Service) -> None:
    """Give an application the page."""
    settings, store = service.settings, service.store

    def admin(request: Request) -> str:
        with store.reading() as db:
            return sittings.who(db, request.cookies.get(COOKIE, ""), store.clock())

    Admin = Annotated[str, Depends(admin)]

    def shown(request: Request, text: str, status: int = 200) -> Response:
        """A page, or nothing where the browser has the same one already."""
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
        headers = {**HEADERS, "ETag": tag, "Vary": "Cookie"}
        if status == 200 and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(text, status, headers)

    def sign_in_page(request: Request, problem: str = "", status: int = 200) -> Response:
        # As many steps up as the address is deep; a proxy may have put the page anywhere.
        root = "../" * (request.url.path.removeprefix(request.scope.get("root_path", "")).count("/") - 1)
        return shown(request, view.sign_in(problem, root), status)

    def listed(request: Request, who: str, asked: roster.Asked, part: str = "", problem: str = "") -> str:
        word = sittings.form_word(request.cookies.get(COOKIE, "")) if who else ""
        seen = view.Seen(roster.found(store, asked), asked, store.bastions(), store.clock(), who, word)
        return view.live(seen) if part else view.machines(seen, problem)

    @app.get("/", include_in_schema=False)
    def machines(
        request: Request,
        who: Admin,
        q: Annotated[str, Query(max_length=128)] = "",
        state: Annotated[str, Query(max_length=16)] = "",
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        part: Annotated[str, Query(max_length=8)] = "",
    ) -> Response:
        """The machines, as a page or as the part of it that changes."""
        if not (who or settings.open_page or _near(request)):
            if part:
                return Response(status_code=401, headers=HEADERS)
            return RedirectResponse("page/sign-in", 303, HEADERS)
        return shown(request, listed(request, who, roster.Asked(q.strip(), state, page), part))

    @app.get("/page/sign-in", include_in_schema=False)
    def asked(request: Request) -> Response:
        """The form for a token."""
        return sign_in_page(request)

    @app.post("/page/sign-in", include_in_schema=False)
    def sign_in(request: Request, fields: Form) -> Response:
        """Sign in with an admin token."""
        where = request.client.host if request.client else "unknown"
        try:
            name = service.admin(fields.get("token", "").strip(), where)
        except SSHError as problem:
            log.warning("sign-in failed: ip=%s reason=%s", where, problem.slug)
            return sign_in_page(request, problem.sentence, problems.status(problem))
        with store.writing() as db:
            secret = sittings.begin(db, name, store.clock())
        log.info("sign-in ok: ip=%s token=%s", where, name)
        answer = RedirectResponse("../", 303, HEADERS)
        answer.set_cookie(
            COOKIE,
            secret,
            max_age=int(sittings.SECONDS),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    @app.post("/page/sign-out", include_in_schema=False)
    def sign_out(request: Request, fields: Form) -> Response:
        """Sign out."""
        with store.writing() as db:
            sittings.end(db, request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("../", 303, HEADERS)
        answer.delete_cookie(COOKIE)
        return answer

    @app.post("/page/machines/{key}/{what}", include_in_schema=False)
    def act(
        request: Request, who: Admin, fields: Form, key: Name, what: Literal["approve", "rename", "revoke"]
    ) -> Response:
        """Do what an admin does to a machine."""
        word = sittings.form_word(request.cookies.get(COOKIE, ""))
        if not who or not secrets.same(fields.get("form", ""), word):
            return sign_in_page(request, "Sign in to do that.", 403)
        try:
            if what == "approve":
                store.approve_machine(key, who)
            elif what == "rename":
                store.rename(key, MachineName(fields.get("name", "").strip()), who)
            else:
                store.revoke(key, who)
            service.changed()
        except SSHError as problem:
            page = listed(request, who, roster.Asked(key), problem=problem.sentence)
            return shown(request, page, problems.status(problem))
        return RedirectResponse("../../../", 303, HEADERS)

    @app.get("/page/machines/{key}/ssh_config", include_in_schema=False)
    def block(request: Request, who: Admin, key: Name) -> Response:
        """The block for a client's ssh_config."""
        if not (who or settings.open_page or _near(request)):
            return RedirectResponse("../../sign-in", 303, HEADERS)
        machine = store.find(key)
        text = reach.block([(machine, service.bastion(machine.bastion))])
        name = {"Content-Disposition": f'attachment; filename="{machine.name}.ssh_config"'}
        return Response(text, 200, {**HEADERS, **name}, "text/plain; charset=utf-8")

    @app.get("/page/{name}", include_in_schema=False)
    def asset(request: Request, name: Literal["style.css", "script.js"]) -> Response:
        """What the page is drawn and moved with."""
        text = files(__package__).joinpath(name).read_text("utf-8")
        answer = shown(request, text)
        answer.headers["Content-Type"] = f"{_KINDS[name]}; charset=utf-8"
        return answer


def _near(request: Request) -> bool:
    """Whether a browser of this very machine asks, by no other name than this machine's own.

    Through a proxy it would be anybody; under another name, a page of somebody else's that has its own
    name lead here.
    """
    client = request.client.host if request.client else ""
    through = any(header in request.headers for header in _FORWARDED)
    return (
        client in _NEAR and not through and urlsplit(f"//{request.headers.get('host', '')}").hostname in _NEAR
    )


def _from_here(request: Request) -> bool:
    """Whether a form was sent from a page of this server, as far as the browser tells."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
