"""The page of the gateway: who sees it, what it shows, and what a form of somebody else's cannot do."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from scitex_ssh.cli.app import app as commands
from scitex_ssh.errors import SSHError
from scitex_ssh.gateway import app, bounds, limits, reach, roster, secrets, sittings
from scitex_ssh.gateway.machine import MachineName
from scitex_ssh.gateway.registration import Caller, Wish
from scitex_ssh.gateway.service import here
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import DOWN, Store
from scitex_ssh.gateway.tables import Bastion

from .model import POOL, SHARED, Clock, key, token, url, wish


class Browser:
    """A gateway, and a browser on the same machine."""

    def __init__(self, folder: Path, approve: bool = False, **settings: Any) -> None:
        self.clock = Clock()
        self.settings = Settings(url(folder), public_host="gw.example.com", **settings)
        self.store = Store(
            self.settings.database,
            POOL,
            approve=approve,
            bastion=here(self.settings),
            clock=self.clock,
            busy=lambda port: False,
        )
        self.app = bounds.Bounded(app.made(self.settings, self.store))
        self.http = self.client()
        with self.store.writing() as db:
            self.admin = secrets.create(db, "root", "admin", self.clock(), None, 10**6)

    def client(self, address: str = "127.0.0.1", at: str = "http://localhost:12000") -> TestClient:
        """A browser at an address, which calls the gateway by a name."""
        return TestClient(self.app, at, client=(address, 50000), follow_redirects=False)

    def sign_in(self) -> str:
        """Sign in; gives what the forms carry."""
        answer = self.post("sign-in", token=self.admin)
        assert answer.status_code == 303, answer.text
        return sittings.form_word(self.http.cookies["scitex-ssh-gateway"])

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> Any:
        """Send a form."""
        return self.http.post(f"/page/{path}", data=fields, headers=headers)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """A browser that is not signed in."""
    return Browser(tmp_path)


# Who sees it


def test_on_this_machine_everyone_may_look_and_nobody_may_act(browser: Browser) -> None:
    """Read only: no form but the one for the search."""
    browser.store.register(wish(name="lab1"), SHARED)
    page = browser.http.get("/")
    assert page.status_code == 200
    assert "lab1" in page.text
    assert re.findall(r'<form[^>]*action="([^"]*)"', page.text) == ["./"]


@pytest.mark.parametrize(
    ("address", "at", "headers"),
    [
        ("192.0.2.1", "http://localhost:12000", {}),
        ("127.0.0.1", "http://gw.example.com:12000", {}),
        ("127.0.0.1", "http://rebound.example.net", {}),
        ("127.0.0.1", "http://localhost:12000", {"X-Forwarded-For": "192.0.2.1"}),
        ("127.0.0.1", "http://localhost:12000", {"Forwarded": "for=192.0.2.1"}),
    ],
)
def test_from_elsewhere_one_signs_in_first(
    browser: Browser, address: str, at: str, headers: dict[str, str]
) -> None:
    """Other machines, other names of this one, proxies: neither the page, nor its part, nor a block."""
    machine, _ = browser.store.register(wish(name="lab1"), SHARED)
    http = browser.client(address, at)
    for path in ("/", "/?part=live", f"/page/machines/{machine.id}/ssh_config"):
        answer = http.get(path, headers=headers)
        assert answer.status_code in (303, 401)
        assert "lab1" not in answer.text
    assert http.get("/", headers=headers).headers["location"] == "page/sign-in"
    assert http.get("/page/sign-in", headers=headers).status_code == 200


def test_an_open_page_is_open_when_told(tmp_path: Path) -> None:
    """SCITEX_SSH_GATEWAY_OPEN_PAGE=1 shows it to all, read only."""
    told = Settings.of({"SCITEX_SSH_GATEWAY_OPEN_PAGE": "1"})
    assert (told.open_page, Settings.of({}).open_page) == (True, False)
    browser = Browser(tmp_path, open_page=True)
    assert browser.client("192.0.2.1", "http://gw.example.com").get("/").status_code == 200


def test_it_takes_nothing_from_elsewhere(browser: Browser) -> None:
    """Its policy forbids other origins, inline scripts and frames; what it names is there."""
    page = browser.http.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
    assert {"page/style.css", "page/script.js"} <= set(named)
    for path in named:
        assert browser.http.get(f"/{path}").status_code == 200
    assert "style=" not in page.text
    assert re.findall(r"https?://", page.text) == []


def test_nothing_new_is_not_sent_again(browser: Browser) -> None:
    """The part that changes is asked for every few seconds: the same one costs no bytes."""
    browser.store.register(wish(name="lab1"), SHARED)
    first = browser.http.get("/?part=live")
    again = browser.http.get("/?part=live", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    browser.store.register(wish(name="lab2"), SHARED)
    later = browser.http.get("/?part=live", headers={"If-None-Match": first.headers["etag"]})
    assert "lab2" in later.text


# Signing in


def test_the_cookie_is_for_nobody_else(browser: Browser) -> None:
    """No script reads it, no other site sends it, over TLS it stays there; the token is not in it."""
    cookie = browser.post("sign-in", token=browser.admin).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert browser.admin not in cookie
    assert "Secure" not in cookie
    over_tls = browser.client(at="https://localhost:12000").post(
        "/page/sign-in", data={"token": browser.admin}
    )
    assert "Secure" in over_tls.headers["set-cookie"]


def test_a_wrong_token_signs_nobody_in(browser: Browser) -> None:
    """Neither nothing, nor a join token; and an address that guesses has to wait."""
    for wrong in ("", "nonsense", token(browser.store, "join")):
        answer = browser.post("sign-in", token=wrong)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert 'role="alert"' in answer.text
    for _ in range(limits.MOST):
        browser.post("sign-in", token="nonsense")
    assert browser.post("sign-in", token=browser.admin).status_code == 429


def test_a_sitting_ends(browser: Browser) -> None:
    """By signing out, by time, and with the token."""
    machine, _ = browser.store.register(wish(name="lab1"), SHARED)

    def signed_in() -> bool:
        return "Sign out" in browser.http.get("/").text

    browser.sign_in()
    kept = browser.http.cookies["scitex-ssh-gateway"]
    assert signed_in()
    assert browser.post("sign-out").status_code == 303
    # The cookie itself is worth nothing any more.
    browser.http.cookies.set("scitex-ssh-gateway", kept, domain="localhost.local")
    assert not signed_in()
    browser.http.cookies.clear()

    word = browser.sign_in()
    browser.clock.now += sittings.SECONDS + 1
    assert not signed_in()
    assert browser.post(f"machines/{machine.id}/revoke", form=word).status_code == 403

    browser.http.cookies.clear()
    browser.sign_in()
    with browser.store.writing() as db:
        secrets.revoke(db, "root")
    assert not signed_in()


# What an admin does


def test_an_admin_approves_renames_and_revokes(tmp_path: Path) -> None:
    """Each by its form, written down under the name of the token."""
    browser = Browser(tmp_path, approve=True)
    machine, _ = browser.store.register(wish(name="lab1"), SHARED)
    word = browser.sign_in()
    for what, fields in (("approve", {}), ("rename", {"name": "lab2"}), ("revoke", {})):
        answer = browser.post(f"machines/{machine.id}/{what}", form=word, **fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "../../../")
    found = browser.store.find("lab2")
    assert (found.id, found.state) == (machine.id, "revoked")
    assert [note["who"] for note in browser.store.audit()][:3] == ["root"] * 3


def test_a_mistake_is_told_on_the_page(browser: Browser) -> None:
    """A name that cannot be, or is another's; nothing changes."""
    machine, _ = browser.store.register(wish(name="lab1"), SHARED)
    browser.store.register(wish(name="lab2"), SHARED)
    word = browser.sign_in()
    for name, status in (("lab2", 409), ("a b", 422), ("<script>alert(1)</script>", 422), ("", 422)):
        answer = browser.post(f"machines/{machine.id}/rename", form=word, name=name)
        assert answer.status_code == status
        assert 'role="alert"' in answer.text
        assert "<script>alert" not in answer.text
    assert browser.store.find(machine.id) == machine


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example.net"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    """Even with the cookie and the word of the forms; and nobody is signed in by one."""
    machine, _ = browser.store.register(wish(name="lab1"), SHARED)
    word = browser.sign_in()
    answer = browser.post(f"machines/{machine.id}/revoke", headers, form=word)
    assert answer.status_code == 403
    assert answer.json()["title"] == "gateway-form"
    assert browser.post("sign-in", headers, token=browser.admin).status_code == 403
    assert browser.store.find("lab1").state == "active"
    ours = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:12000"}
    assert browser.post(f"machines/{machine.id}/revoke", ours, form=word).status_code == 303


@pytest.mark.parametrize("word", ["", "x", "another sitting's"])
def test_a_form_without_its_word_is_refused(browser: Browser, word: str) -> None:
    """The cookie alone is not enough, nor the word of a former sitting."""
    machine, _ = browser.store.register(wish(name="lab1"), SHARED)
    former = browser.sign_in()
    browser.sign_in()
    answer = browser.post(f"machines/{machine.id}/revoke", form=former if len(word) > 1 else word)
    assert answer.status_code == 403
    assert browser.store.find("lab1").state == "active"


# What it shows


def test_how_a_machine_stands(browser: Browser) -> None:
    """By what is known of its tunnel, not by its row alone."""
    store, clock = browser.store, browser.clock
    machine, _ = store.register(wish(name="lab1"), SHARED)

    def standing() -> str:
        return roster.found(store, roster.Asked()).machines[0][1]

    assert standing() == "down"
    store.saw([machine.port or 0])
    assert standing() == "up"
    assert [one.id for one in store.due([machine.port or 0], 300, 10)] == [machine.id]
    assert store.due([machine.port or 0], 300, 10) == []
    for proof in ("verified", "other", "silent", "open"):
        store.proven({machine.id: proof})
        assert standing() == proof
    clock.now += DOWN + 1
    assert standing() == "down"
    # Back again, it is dialled anew, and what was proven before says nothing.
    store.due([], 300, 10)
    store.saw([machine.port or 0])
    assert standing() == "up"
    assert [one.id for one in store.due([machine.port or 0], 300, 10)] == [machine.id]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("LAB", ["lab1", "lab2"]),
        ("20001", ["lab2"]),
        ("alice", ["lab1"]),
        ("192.0.2", ["lab1", "lab2", "pi_1"]),
        ("i_1", ["pi_1"]),
        ("%", []),
        ("'; DROP TABLE machines", []),
    ],
)
def test_search(browser: Browser, word: str, names: list[str]) -> None:
    """By part of a name, an account or an address, or by a whole port; nothing in it is a pattern."""
    for name, login in (("lab1", "alice"), ("lab2", ""), ("pi_1", "")):
        browser.store.register(Wish(key(), None, MachineName(name), login), SHARED)
    found = roster.found(browser.store, roster.Asked(word))
    assert [machine.name for machine, _ in found.machines] == names
    assert browser.http.get("/", params={"q": word}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/?page=0", "/?page=x", "/?page=99", "/?state=nonsense", "/?q=" + "x" * 200]
)
def test_a_wrong_address_breaks_nothing(browser: Browser, path: str) -> None:
    """It is refused, or shows nothing."""
    assert browser.http.get(path).status_code in (200, 422)


def test_a_name_is_text_and_not_markup(browser: Browser) -> None:
    """What a machine or a search says of itself is escaped."""
    browser.store.register(wish(name="lab1"), Caller(address="<b>x", owner="key:a"))
    page = browser.http.get("/", params={"q": '<b>"x'}).text + browser.http.get("/").text
    assert "<b>x" not in page
    assert "&lt;b&gt;" in page


def test_how_to_reach_a_machine(browser: Browser) -> None:
    """The command, and a block with the host key pinned; by an account of people where there is one."""
    wanted = replace(wish(name="lab1"), login="alice", host_keys=(key(),))
    machine, _ = browser.store.register(wanted, SHARED)
    bastion = Bastion(host="gw.example.com", ssh_port=2200, jump_user="people")
    jump = "people@gw.example.com:2200"
    assert reach.command(machine, bastion) == f"ssh -J {jump} -p 20000 -o HostKeyAlias=lab1 alice@localhost"
    # The tunnels' own account lets nobody through.
    assert "-J gw.example.com " in reach.command(machine, Bastion(host="gw.example.com"))
    answer = browser.http.get(f"/page/machines/{machine.id}/ssh_config")
    assert answer.headers["content-disposition"] == 'attachment; filename="lab1.ssh_config"'
    assert "ProxyJump gw.example.com\n" in answer.text
    assert f"#   lab1 {wanted.host_keys[0]}\n" in answer.text


def test_a_client_has_all_machines_of_a_gateway_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the gateway exports is written into our own file there, again and again; nothing harmful is."""
    for variable, value in (
        ("SCITEX_SSH_GATEWAY_DATABASE", url(tmp_path)),
        ("SSH_PUBLIC_HOST", "gw.example.com"),
        ("HOME", str(tmp_path)),
    ):
        monkeypatch.setenv(variable, value)
    store = Store(url(tmp_path), POOL, busy=lambda port: False)
    for name in ("lab1", "lab2"):
        store.register(replace(wish(name=name), login="alice", host_keys=(key(),)), SHARED)
    told = CliRunner().invoke(commands, ["gateway", "export", "--format", "json"]).stdout
    ours = tmp_path / ".ssh/config.d/scitex-ssh"
    for _ in range(2):
        done = CliRunner().invoke(commands, ["ssh-config", "--from", "-", "--write"], input=told)
        assert (done.exit_code, done.stdout.splitlines()[0]) == (0, f"Written: {ours}")
    for name, port in (("lab1", 20000), ("lab2", 20001)):
        words = ["ssh", "-G", "-F", str(ours), name]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        assert {f"port {port}", "user alice", f"hostkeyalias {name}", "proxyjump gw.example.com"} <= set(said)
    assert ours.with_name("scitex-ssh.known_hosts").read_text().count("\n") == 2
    before = ours.read_text()
    for field, value in (
        ("name", "*"),
        ("name", "a b"),
        ("host_keys", "x y\n@z"),
        ("port", 0),
        ("via", "-oX"),
    ):
        wrong = json.dumps([{**json.loads(told)[0], field: value}])
        refused = CliRunner().invoke(commands, ["ssh-config", "--from", "-", "--write"], input=wrong)
        assert isinstance(refused.exception, SSHError), (field, value)
        assert ours.read_text() == before
