"""The HTTP side: what ssh-tunnel-gateway 0.4.3 speaks, our own API, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from fastapi.testclient import TestClient

from scitex_ssh.errors import CATALOGUE, SSHError
from scitex_ssh.gateway import app, bounds, limits, secrets, serve
from scitex_ssh.gateway.metrics import FAMILIES
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store

from .model import POOL, Clock, key, served, token, url

API_KEY = "correct-horse"
OTHER = "battery-staple"


class Desk:
    """A gateway, and one who talks to it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = Clock()
        self.settings = Settings(
            url(folder), (API_KEY, OTHER), public_host="gw.example.com", **{"server_keys": True, **settings}
        )
        self.store = Store(
            self.settings.database,
            POOL,
            approve=self.settings.approve,
            clock=self.clock,
            busy=lambda port: False,
        )
        self.http = TestClient(bounds.Bounded(app.made(self.settings, self.store)))
        with self.store.writing() as db:
            self.admin = secrets.create(db, "root", "admin", self.clock(), None, None)

    def act(self, body: dict[str, Any], api_key: str = API_KEY) -> Any:
        """Speak as an old agent."""
        return self.http.post("/", json=body, headers={"X-API-Key": api_key})

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Speak as the admin."""
        return self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.admin}"})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A gateway that makes keys for old agents."""
    return Desk(tmp_path)


def problem(response: Any, status: int, slug: str) -> str:
    """Assert that an answer is this problem, whole; returns its sentence."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["title"]) == (status, slug)
    assert slug in CATALOGUE
    assert body["type"].endswith("#" + slug)
    assert body["next"]
    return str(body["detail"])


# As ssh-tunnel-gateway 0.4.3


def test_an_old_agent_registers(desk: Desk) -> None:
    """Every field of 0.4.3 is there, and the key opens with the API key as the agent opens it."""
    said = desk.act({"action": "register", "agent_id": "lab-1"}).json()
    assert {name: said[name] for name in said if name not in ("public_key", "encrypted_private_key")} == {
        "agent_id": "lab-1",
        "port_b": 20000,
        "ssh_user": "tunnel",
        "ssh_jump_user": "tunnel",
        "ssh_jump_host": "gw.example.com",
        "reverse_bind_host": "localhost",
    }
    sealed = said["encrypted_private_key"]
    assert (sealed["kdf"], sealed["n"], sealed["r"], sealed["p"]) == ("scrypt", 16384, 8, 1)
    salt, nonce, body = (base64.b64decode(sealed[f"{part}_b64"]) for part in ("salt", "nonce", "ciphertext"))
    opened = AESGCM(Scrypt(salt=salt, length=32, n=16384, r=8, p=1).derive(API_KEY.encode()))
    assert b"OPENSSH PRIVATE KEY" in opened.decrypt(nonce, body, None)
    assert desk.store.find("lab-1").public_key == said["public_key"]


def test_an_old_agent_keeps_its_port_with_a_new_key(desk: Desk) -> None:
    """Registered again, it has the same port; the former key is nobody's any more."""
    first, again = (desk.act({"action": "register", "agent_id": "a"}).json() for _ in range(2))
    assert first["port_b"] == again["port_b"]
    assert first["public_key"] != again["public_key"]
    assert [machine.public_key for machine in desk.store.machines()] == [again["public_key"]]


def test_an_agent_without_an_id_gets_one(desk: Desk) -> None:
    """As 0.4.3 did it: a UUID."""
    said = desk.act({"action": "register"}).json()
    assert len(said["agent_id"]) == 36
    assert desk.act({"action": "heartbeat", "agent_id": said["agent_id"]}).json() == {"status": "ok"}


def test_a_heartbeat_renews_the_lease(desk: Desk) -> None:
    """Six days and a heartbeat and six days are no seven days without one."""
    desk.act({"action": "register", "agent_id": "a"})
    for _ in range(3):
        desk.clock.now += 6 * 86400
        assert desk.store.expire() == []
        assert desk.act({"action": "heartbeat", "agent_id": "a"}).status_code == 200
    desk.clock.now += 8 * 86400
    assert [machine.id for machine in desk.store.expire()] == ["a"]
    problem(desk.act({"action": "heartbeat", "agent_id": "a"}), 404, "gateway-unknown")


def test_wrong_keys_are_told_apart_as_0_4_3_did(desk: Desk) -> None:
    """401 without a key, 403 with a wrong one, and the words are in ``detail``."""
    assert problem(desk.http.post("/", json={}), 401, "gateway-token")
    assert problem(desk.act({"action": "register"}, "wrong"), 403, "gateway-token")
    assert desk.store.machines() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "destroy"},
        {"action": "heartbeat"},
        {"action": "register", "agent_id": "../etc"},
        {"action": "register", "agent_id": 7},
        {"action": "register", "agent_id": "a" * 129},
        {"action": ["register"]},
    ],
)
def test_a_wrong_action_is_422(desk: Desk, body: dict[str, Any]) -> None:
    """As in 0.4.3, and nothing is enrolled."""
    assert desk.act(body).status_code == 422
    assert desk.store.machines() == []


def test_one_api_key_does_not_take_anothers_machine(desk: Desk) -> None:
    """Two keys are two owners."""
    desk.act({"action": "register", "agent_id": "a"})
    problem(desk.act({"action": "register", "agent_id": "a"}, OTHER), 403, "gateway-identity")
    problem(desk.act({"action": "heartbeat", "agent_id": "a"}, OTHER), 404, "gateway-unknown")


def test_a_shared_key_can_be_changed(tmp_path: Path) -> None:
    """Machines of a key that is no longer given out come back with the new one, to their ports."""
    first = Desk(tmp_path).act({"action": "register", "agent_id": "a"}).json()
    settings = Settings(url(tmp_path), ("a-new-key",), server_keys=True)
    store = Store(settings.database, POOL, busy=lambda port: False)
    http = TestClient(app.made(settings, store))
    again = http.post("/", json={"action": "register", "agent_id": "a"}, headers={"X-API-Key": "a-new-key"})
    assert again.json()["port_b"] == first["port_b"]


def test_keys_are_made_only_when_asked_for(tmp_path: Path) -> None:
    """By default a gateway makes no private key."""
    desk = Desk(tmp_path, server_keys=False)
    problem(desk.act({"action": "register", "agent_id": "a"}), 403, "gateway-server-keys")
    assert desk.store.machines() == []
    assert not Settings.of({}).server_keys


# Our own


def test_a_machine_enrols_and_comes_back(desk: Desk) -> None:
    """With a token once; then with its secret, after its lease has ended, to the same port."""
    body = {"public_key": str(key()), "token": token(desk.store, uses=1), "name": "lab", "login": "alice"}
    first = desk.http.post("/v1/enrol", json=body)
    assert first.status_code == 200
    said = first.json()
    assert (said["name"], said["state"], said["port"]) == ("lab", "active", 20000)
    assert said["bastion"]["user"] == "tunnel"
    desk.clock.now += 8 * 86400
    desk.store.expire()
    problem(desk.http.post("/v1/enrol", json=body), 401, "gateway-token")
    again = desk.http.post("/v1/enrol", json={"public_key": body["public_key"], "secret": said["secret"]})
    assert again.json()["port"] == 20000
    assert "secret" not in again.json()


def test_an_admin_approves_renames_and_revokes(tmp_path: Path) -> None:
    """Each by the API, each written down with the name of the admin's token."""
    desk = Desk(tmp_path, approve=True)
    body = {"public_key": str(key()), "token": token(desk.store), "name": "lab"}
    answer = desk.http.post("/v1/enrol", json=body)
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert desk.ask("POST", "/v1/machines/lab/approve").json()["port"] == 20000
    assert desk.ask("POST", "/v1/machines/lab/rename", {"name": "lab2"}).json()["name"] == "lab2"
    assert desk.ask("POST", "/v1/machines/lab2/revoke").json()["state"] == "revoked"
    secret = answer.json()["secret"]
    again = desk.http.post("/v1/enrol", json={"public_key": body["public_key"], "secret": secret})
    problem(again, 403, "gateway-revoked")
    notes = desk.ask("GET", "/v1/audit").json()
    assert [(note["what"], note["who"]) for note in notes] == [
        ("revoked", "root"),
        ("renamed", "root"),
        ("approved", "root"),
        ("pending", "token"),
    ]


def test_tokens_by_the_api(desk: Desk) -> None:
    """Made, listed without themselves, ended."""
    made = desk.ask("POST", "/v1/tokens", {"name": "door", "uses": 3}).json()["token"]
    listed = desk.ask("GET", "/v1/tokens")
    assert made not in listed.text
    assert {entry["name"] for entry in listed.json()} == {"door", "root"}
    assert desk.ask("DELETE", "/v1/tokens/door").status_code == 204
    problem(desk.ask("DELETE", "/v1/tokens/door"), 404, "gateway-unknown")
    problem(desk.http.post("/v1/enrol", json={"public_key": str(key()), "token": made}), 401, "gateway-token")


ADMINS = [
    ("GET", "/v1/machines"),
    ("GET", "/v1/machines/a"),
    ("POST", "/v1/machines/a/approve"),
    ("POST", "/v1/machines/a/revoke"),
    ("POST", "/v1/machines/a/rename"),
    ("GET", "/v1/tokens"),
    ("POST", "/v1/tokens"),
    ("DELETE", "/v1/tokens/t"),
    ("GET", "/v1/audit"),
]


@pytest.mark.parametrize(("method", "path"), ADMINS)
@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer wrong", "Basic eDp5", "join"])
def test_an_admins_matters_are_an_admins(desk: Desk, method: str, path: str, header: str | None) -> None:
    """Neither nothing, nor a wrong token, nor a join token is enough."""
    if header == "join":
        header = f"Bearer {token(desk.store, 'j')}"
    body = {"name": "x"} if method == "POST" else None
    headers = {"Authorization": header} if header is not None else {}
    problem(desk.http.request(method, path, json=body, headers=headers), 401, "gateway-token")


def test_wrong_tokens_have_a_limit(desk: Desk) -> None:
    """After so many in a minute an address waits, even with the right one; then it may again."""
    for _ in range(limits.MOST):
        desk.act({"action": "register"}, "wrong")
    answer = desk.act({"action": "register"})
    problem(answer, 429, "gateway-limit")
    assert 0 < int(answer.headers["retry-after"]) <= 61
    desk.clock.now += limits.WINDOW + 1
    assert desk.act({"action": "register"}).status_code == 200


def test_no_secret_is_in_a_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Neither of what succeeds nor of what fails."""
    caplog.set_level(logging.DEBUG)
    made = token(desk.store)
    answer = desk.http.post("/v1/enrol", json={"public_key": str(key()), "token": made})
    desk.http.post("/v1/enrol", json={"public_key": str(key()), "token": "guessed-token"})
    desk.http.post("/v1/enrol", json={"public_key": 5, "token": "another-guess", "x": "y"})
    desk.act({"action": "register"})
    desk.act({"action": "register"}, "guessed-key")
    desk.ask("GET", "/v1/machines")
    words = " ".join(record.getMessage() for record in caplog.records)
    assert "enrol ok" in words
    for hidden in (made, answer.json()["secret"], API_KEY, desk.admin, "guess", "PRIVATE"):
        assert hidden not in words


def test_what_is_sent_is_not_sent_back(desk: Desk) -> None:
    """A token in a malformed request is not in the answer."""
    answer = desk.http.post("/v1/enrol", json={"public_key": ["x"], "token": "my-token"})
    problem(answer, 422, "gateway-request")
    assert "my-token" not in answer.text


# What a stranger may cost


def test_a_long_body_is_refused(desk: Desk) -> None:
    """Before it is read to its end, and whether its length is told or not."""
    long = json.dumps({"x": "y" * bounds.BYTES})
    problem(desk.http.post("/", content=long), 413, "gateway-request")

    def parts() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * 10_000

    problem(desk.http.post("/", content=parts()), 413, "gateway-request")


def test_a_slow_body_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not come is not waited for."""
    monkeypatch.setattr(bounds, "SECONDS", 0.05)
    sent: list[dict[str, Any]] = []

    async def never() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(bounds.Bounded(app.made(desk.settings, desk.store))(scope, never, send))
    assert sent[0]["status"] == 408


def metrics(desk: Desk) -> dict[str, float]:
    """What Prometheus is told, by name and labels; each family has its kind."""
    text = desk.http.get("/metrics").text
    lines = text.splitlines()
    kinds = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    for name in told:
        family = name.partition("{")[0]
        assert family in kinds or re.sub("_(bucket|sum|count)$", "", family) in kinds
    return {name.removeprefix("scitex_ssh_gateway_"): float(value) for name, value in told.items()}


def test_metrics_and_health(desk: Desk) -> None:
    """They need no token, and count what happened: who came, who was refused, how long it took."""
    refused = 'refusals_total{slug="gateway-token"}'
    before = metrics(desk).get(refused, 0)
    answer = desk.act({"action": "register"}).json()
    desk.act({"action": "register", "agent_id": answer["agent_id"]})
    desk.act({"action": "register"}, api_key="wrong-horse")
    desk.http.get("/nonsense-of-a-stranger")
    assert desk.http.get("/healthz").json() == desk.http.get("/readyz").json() == {"status": "ok"}
    told = metrics(desk)
    assert told['machines{state="active"}'] == told['machines_standing{standing="down"}'] == 1
    assert (told["ports_free"], told["leases_ending"]) == (9, 0)
    assert (told['events_total{what="enrolled"}'], told['events_total{what="renewed"}']) == (1, 1)
    assert told[refused] == before + 1
    assert told['requests_total{path="/",status="200"}'] == 2
    assert told['requests_total{path="/",status="403"}'] == 1
    assert told['requests_total{path="other",status="404"}'] == 1
    assert told["request_seconds_count"] == told['request_seconds_bucket{le="+Inf"}'] == 7
    assert 0 < told["request_seconds_sum"] < 60
    desk.clock.now += 6.5 * 86400
    assert metrics(desk)["leases_ending"] == 1
    desk.store.revoke(answer["agent_id"])
    told = metrics(desk)
    assert (told['events_total{what="enrolled"}'], told['events_total{what="revoked"}']) == (1, 1)
    assert told['machines{state="revoked"}'] == 1


def test_the_load_of_each_bastion_is_told(desk: Desk) -> None:
    """What it saw when it last looked, and that it has not been heard of since."""
    desk.act({"action": "register"})
    desk.store.looked([20000], [], load=0.5, memory=0.25)
    told = {name.partition("{")[0]: value for name, value in metrics(desk).items() if "bastion=" in name}
    assert told == {
        "bastion_up": 1,
        "bastion_ports": 10,
        "bastion_ports_held": 1,
        "bastion_tunnels": 1,
        "bastion_load": 0.5,
        "bastion_memory_used": 0.25,
    }
    desk.clock.now += 121
    assert metrics(desk)['bastion_up{bastion=""}'] == 0


def test_every_metric_is_documented() -> None:
    """The page for who runs a gateway names each, and no other."""
    page = (Path(__file__).parents[2] / "docs/how-to/gateway.md").read_text()
    assert set(re.findall("`scitex_ssh_gateway_([a-z_]+)`", page)) == set(FAMILIES)


@pytest.mark.parametrize("path", ["/nothing", "/v1/machines/..%2f", "/v1"])
def test_an_unknown_path_is_a_problem_too(desk: Desk, path: str) -> None:
    """Also what is not there is answered in the same form."""
    answer = desk.http.get(path)
    assert answer.status_code in (401, 404)
    assert answer.headers["content-type"] == "application/problem+json"


# Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "gw.example.com"])
def test_plain_http_for_others_is_refused(host: str, tmp_path: Path) -> None:
    """Before anything is opened, the database included."""
    with pytest.raises(SSHError) as caught:
        serve.run(Settings(url(tmp_path), host=host))
    assert caught.value.slug == "gateway-plain-http"
    assert list(tmp_path.iterdir()) == []


def test_the_variables_of_0_4_3_mean_the_same() -> None:
    """Each that its documentation names."""
    made = Settings.of(
        {
            "API_KEY": "first-key",
            "API_KEYS": "second-key, third-key,first-key",
            "STATE_DIR": "/srv/state",
            "SERVER_HOST": "192.0.2.7",
            "SERVER_PORT": "12001",
            "SSH_USER": "gw-tunnel",
            "SSH_JUMP_USER": "li",
            "SSH_PUBLIC_HOST": "gateway.example.com",
            "AUTHORIZED_KEYS_PATH": "/home/gw/.ssh/authorized_keys",
            "AGENT_REVERSE_BIND_HOST": "0.0.0.0",
            "LEASE_TTL_DAYS": "3",
            "PORT_RANGE_START": "21000",
            "PORT_RANGE_END": "22000",
            "API_KEY_HEADER": "X-Key",
        }
    )
    assert made == Settings(
        database="sqlite:////srv/state/gateway.db",
        api_keys=("first-key", "second-key", "third-key"),
        api_key_header="X-Key",
        host="192.0.2.7",
        port=12001,
        ssh_user="gw-tunnel",
        jump_user="li",
        public_host="gateway.example.com",
        bind="0.0.0.0",
        first=21000,
        last=22000,
        lease_days=3,
        authorized_keys=Path("/home/gw/.ssh/authorized_keys"),
    )
    assert made.jump_host == "gateway.example.com"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVER_PORT", "http"),
        ("SERVER_PORT", "70000"),
        ("LEASE_TTL_DAYS", "0"),
        ("PORT_RANGE_START", "80"),
        ("API_KEY", "short"),
        ("TUNNEL_KEY_RESTRICTIONS", "0"),
        ("SCITEX_SSH_GATEWAY_APPROVE", "ture"),
        ("AGENT_REVERSE_BIND_HOST", 'x",command="id'),
        ("SSH_PUBLIC_HOST", "a b"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    """One clear error, with the name of what is wrong."""
    with pytest.raises(SSHError, match=name) as caught:
        Settings.of({name: value})
    assert caught.value.slug == "gateway-settings"


WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = WHOLE.replace(b"x\r\n", b"x\r\nConnection: close\r\n")


def spoken(url: str, *parts: bytes) -> bytes:
    """What a server answers to bytes that come one after the other, up to the end of the connection."""
    said, port = b"", int(url.rpartition(":")[2])
    line = socket.create_connection(("127.0.0.1", port), timeout=20)
    with line, contextlib.suppress(ConnectionError):
        for part in parts:
            line.sendall(part)
            if part == WHOLE:
                said += line.recv(4096)
        while more := line.recv(4096):
            said += more
    return said


def test_a_slow_head_is_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real server ends connections that never finish their first line, and answers the others."""
    monkeypatch.setattr(bounds, "SECONDS", 0.3)
    with served(desk.settings, desk.store) as at:
        assert spoken(at, b"GET /healthz HT") == b""
        # The second of a connection, too.
        said = spoken(at, WHOLE, b"GET /healthz HT")
        assert said.startswith(b"HTTP/1.1 200 OK")
        assert said.count(b"HTTP/1.1") == 1


def test_a_head_without_an_end_is_refused(desk: Desk) -> None:
    """However quickly it comes; a second request of the same connection has a count of its own."""
    line = b"X-Fill: " + b"x" * 1000 + b"\r\n"
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    with served(desk.settings, desk.store) as at:
        said = spoken(at, head, *[line] * 500)
        assert said.startswith(b"HTTP/1.1 400") or said == b""
        wide = head + line * 8
        said = spoken(at, wide + b"\r\n", WHOLE, wide + b"Connection: close\r\n\r\n")
        assert said.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT other:22 HTTP/1.1\r\nHost: other:22\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch, nonsense: bytes) -> None:
    """It ends its own connection, nobody else's, and never with an error of ours."""
    monkeypatch.setattr(bounds, "SECONDS", 1.0)
    with served(desk.settings, desk.store) as at:
        said = spoken(at, nonsense)
        assert re.match(rb"HTTP/1\.1 4\d\d |$", said), said
        assert spoken(at, CLOSE).startswith(b"HTTP/1.1 200")
