"""The administrator's calls in Python, on the bastion: values, and refused as the command refuses them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scitex_ssh import SSHError, clients, config, gateways
from scitex_ssh.cli.gateway import gateway as commands
from scitex_ssh.gateway import service
from scitex_ssh.gateway.machine import Machine
from scitex_ssh.gateway.registration import Caller

from .model import wish


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway of one's own, with nothing in it: its folder."""
    monkeypatch.setattr(config, "SYSTEM", tmp_path / "etc/config.yaml")
    monkeypatch.delenv(config.VARIABLE, raising=False)
    for name, value in (
        ("HOME", str(tmp_path)),
        ("SCITEX_SSH_GATEWAY_DATABASE", f"sqlite:///{tmp_path}/gateway.db"),
        ("SCITEX_SSH_GATEWAY_APPROVE", "1"),
        ("SSH_PUBLIC_HOST", "gw.example.com"),
        ("PORT_RANGE_START", "20000"),
        ("PORT_RANGE_END", "20099"),
        # An account that this machine does not have, so that no port is its tunnel's.
        ("SSH_USER", "no-such-account"),
        ("SUDO_USER", "alice"),
    ):
        monkeypatch.setenv(name, value)
    return tmp_path


def come(name: str, token: str) -> None:
    """A machine enrols."""
    store = service.opened(gateways.settings())
    store.register(wish(name=name), Caller(address="192.0.2.1", token=token))
    store.close()


def said(*words: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(commands, words)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_machine_from_its_token_to_its_end() -> None:
    """Each call returns what is so then, and the command tells the same."""
    token = gateways.create_token("lab", uses=2)
    (kept,) = gateways.tokens()
    assert (kept.name, kept.kind, kept.uses) == ("lab", "join", 2)
    assert token not in repr(kept)
    assert said("token", "list").startswith("lab ")

    come("lab1", token)
    assert [(each.name, each.state, each.port) for each in gateways.machines()] == [("lab1", "pending", None)]
    assert (gateways.machines("active"), gateways.connect("lab1")) == ([], "")
    assert gateways.export() == ""

    approved = gateways.approve("lab1")
    assert isinstance(approved, Machine)
    assert approved.port in range(20000, 20100)
    named = gateways.rename("lab1", "lab2")
    assert (named.name, named.port) == ("lab2", approved.port)
    assert gateways.machine("lab2") == named
    reach = gateways.connect("lab2")
    assert reach.startswith(f"ssh -J gw.example.com -p {approved.port} -o HostKeyAlias=lab2 ")
    assert reach in said("show", "lab2")

    # What is exported is what a client reads.
    (told,) = clients.read(gateways.export("json"))
    assert told.name == "lab2"
    assert gateways.export() == said("export")
    assert json.loads(said("export", "--format", "json"))[0]["name"] == "lab2"

    assert gateways.tick().expired == ()
    assert gateways.revoke("lab2").port == approved.port
    assert said("list", "--state", "revoked").splitlines()[1].split()[:2] == ["lab2", "revoked"]
    gateways.revoke_token("lab")
    assert gateways.tokens() == []
    assert [each["what"] for each in gateways.audit()] == ["pending", "approved", "renamed", "revoked"]
    assert [each["what"] for each in gateways.audit(1)] == ["revoked"]
    assert "local:alice" in json.dumps(gateways.audit(1))


def test_a_token_without_an_end_and_one_for_the_page() -> None:
    """None is as often as wanted; an admin's has no count."""
    gateways.create_token("many", uses=None)
    gateways.create_token("me", admin=True, uses=5)
    assert [(each.name, each.kind, each.uses) for each in gateways.tokens()] == [
        ("many", "join", None),
        ("me", "admin", None),
    ]


def test_a_backup_is_its_owners(folder: Path) -> None:
    """And what is in it is what was there."""
    come("lab1", gateways.create_token("lab"))
    copy = gateways.backup(folder / "kept.db")
    assert copy.stat().st_mode & 0o777 == 0o600
    (folder / "gateway.db").unlink()
    copy.rename(folder / "gateway.db")
    assert [each.name for each in gateways.machines()] == ["lab1"]


def test_threads_ask_at_once() -> None:
    """Each is answered, and nothing of one is another's."""
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda name=f"t{number}": made.append(gateways.create_token(name)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8
    assert [each.name for each in gateways.tokens()] == [f"t{number}" for number in range(8)]


@pytest.mark.parametrize(
    ("call", "slug"),
    [
        (lambda: gateways.machines("actve"), "usage"),
        (lambda: gateways.export("xml"), "usage"),
        (lambda: gateways.audit(0), "usage"),
        (lambda: gateways.create_token("lab", uses=0), "usage"),
        (lambda: gateways.create_token("lab", hours=float("nan")), "usage"),
        (lambda: gateways.create_token("a b"), "bad-machine"),
        (lambda: gateways.script("ftp://gw"), "usage"),
        (lambda: gateways.enrol("ftp://gw", consent=True), "usage"),
        (lambda: gateways.enrol("ssh://enrol@gw.invalid"), "policy-unset"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_there(
    call: Callable[[], Any], slug: str, folder: Path
) -> None:
    """With the slug of the command; no database is made, and no key."""
    with pytest.raises(SSHError) as caught:
        call()
    assert caught.value.slug == slug
    assert [*folder.iterdir()] == []


@pytest.mark.parametrize(
    ("call", "slug"),
    [
        (lambda: gateways.machine("nobody"), "gateway-unknown"),
        (lambda: gateways.connect("nobody"), "gateway-unknown"),
        (lambda: gateways.approve("nobody"), "gateway-unknown"),
        (lambda: gateways.rename("nobody", "somebody"), "gateway-unknown"),
        (lambda: gateways.revoke("nobody"), "gateway-unknown"),
        (lambda: gateways.revoke_token("nobody"), "gateway-unknown"),
        (lambda: gateways.backup(Path("/etc/passwd")), "file-failed"),
    ],
)
def test_what_is_not_there_is_named(call: Callable[[], Any], slug: str) -> None:
    """As an error of the catalogue."""
    with pytest.raises(SSHError) as caught:
        call()
    assert caught.value.slug == slug


def test_without_the_extra_it_says_what_to_install() -> None:
    """The module is there, and each call names the package that is missing."""
    root = str(Path(gateways.__file__).parents[1])
    program = f"""import sys
sys.path.insert(0, {root!r})
import scitex_ssh
for call in (scitex_ssh.gateways.tokens, scitex_ssh.gateways.install):
    try:
        call()
    except scitex_ssh.SSHError as problem:
        print(problem.slug)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("gateway-packages\ngateway-packages\n", "")
