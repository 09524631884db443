"""Whatever is sent to whatever path of the OpenAPI document, nothing breaks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error

from scitex_ssh.gateway import app, bounds, limits, secrets
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store

from .model import POOL, Clock, token, url

_FOLDER = tempfile.TemporaryDirectory()
SETTINGS = Settings(url(Path(_FOLDER.name)), ("correct-horse",), server_keys=True)
STORE = Store(SETTINGS.database, POOL, clock=Clock(), busy=lambda port: False)
with STORE.writing() as db:
    ADMIN = secrets.create(db, "root", "admin", STORE.clock(), None, None)
JOIN = token(STORE, "join")
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", bounds.Bounded(app.made(SETTINGS, STORE)))


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address is wrong here as often as it takes."""
    monkeypatch.setattr(limits, "MOST", 10**9)


@SCHEMA.parametrize()
@hypothesis.settings(max_examples=5, deadline=None, derandomize=True, database=None)
def test_no_request_breaks_the_gateway(case: schemathesis.Case) -> None:
    """As an admin, as a machine with a token and as a stranger: never a 5xx, always our form of error."""
    if isinstance(case.body, dict) and "public_key" in case.body:
        case.body["token"] = JOIN
    for headers in ({"Authorization": f"Bearer {ADMIN}", "X-API-Key": "correct-horse"}, {}):
        response = case.call(headers=headers)
        case.validate_response(response, checks=[not_a_server_error])
        assert response.status_code < 400 or response.headers["content-type"] == ["application/problem+json"]
