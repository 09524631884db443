"""The commands that show and change the policy and the defaults, and who may set a tunnel up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import scitex_ssh
from scitex_ssh import config, policy
from scitex_ssh.cli.entry import run
from scitex_ssh.errors import PolicyError
from scitex_ssh.remote import gate
from scitex_ssh.remote.way import Way


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, and no administrator."""
    monkeypatch.setattr(config, "SYSTEM", tmp_path / "etc/config.yaml")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (config.VARIABLE, "SCITEX_SSH_BASTION_SERVER", "SCITEX_SSH_SECRET_KEY_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit status and both outputs of a command."""
    status = run(list(words))
    said = capsys.readouterr()
    return status, said.out, said.err


def test_what_is_allowed_is_written_and_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A change says where; a second one that there is nothing to do; comments stay; show names the place."""
    own = home / ".scitex/ssh/config.yaml"
    assert told(capsys, "policy", "allow", "exec")[0] == 0
    own.write_text("# mine\n" + own.read_text())
    status, out, _ = told(capsys, "policy", "deny", "exec", "lab1")
    assert (status, out) == (0, f"changed       hosts.lab1.exec: deny in {own}\n")
    assert told(capsys, "policy", "deny", "exec", "lab1")[1].startswith("ok  ")
    assert own.read_text() == "# mine\ndefault:\n  exec: allow\nhosts:\n  lab1:\n    exec: deny\n"
    answers = json.loads(told(capsys, "policy", "show", "lab1", "--json")[1])["answers"]
    assert [(each["action"], each["verdict"]) for each in answers] == [
        ("tunnels", "unset"),
        ("exec", "deny"),
        ("copy", "unset"),
        ("attach", "unset"),
        ("forward", "unset"),
    ]
    assert answers[1]["where"] == "hosts.lab1.exec"
    rows = [" ".join(row.split()) for row in told(capsys, "policy", "show")[1].splitlines()]
    assert f"exec * allow {own}: default.exec" in rows
    assert f"exec lab1 deny {own}: hosts.lab1.exec" in rows


def test_a_change_that_does_not_count_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """One's own allow under the administrator's deny."""
    assert told(capsys, "policy", "deny", "copy", "--system")[0] == 0
    status, out, _ = told(capsys, "policy", "allow", "copy")
    assert status == 0
    assert f"the answer is still deny: {config.SYSTEM}: default.copy" in out


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (("policy", "allow"), "usage"),
        (("policy", "allow", "fly"), "usage"),
        (("policy", "allow", "exec", "a b"), "usage"),
        (("policy", "allow", "exec", "lab1", "lab2"), "usage"),
        (("policy", "deny", "exec", "x" * 300), "usage"),
        (("policy", "show", "a b"), "usage"),
        (("policy", "show", ""), "usage"),
        (("config", "show", "what"), "usage"),
    ],
)
def test_misuse(words: tuple[str, ...], slug: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One error, and no file."""
    status, out, err = told(capsys, *words)
    assert (status, out) == (2, "")
    assert err.endswith(f"[{slug}]\n")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("words", [("policy", "show"), ("policy", "allow", "exec"), ("config", "show")])
def test_a_broken_file_is_named(
    words: tuple[str, ...], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the place, by every command that reads it; it is not written over."""
    own = home / ".scitex/ssh/config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("hosts:\n  lab1: {tunnels: maybe}\n")
    status, _, err = told(capsys, *words)
    assert status == 3
    assert err.startswith(f"scitex-ssh: At 'hosts.lab1.tunnels': {own} is not as it must be")
    assert own.read_text() == "hosts:\n  lab1: {tunnels: maybe}\n"


def test_a_file_that_cannot_be_changed_is_left(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the line would have to go through an alias, the user is told to write it."""
    own = home / ".scitex/ssh/config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("default: &all {exec: allow}\nhosts: {lab1: *all}\n")
    status, _, err = told(capsys, "policy", "deny", "exec", "lab1")
    assert (status, err.splitlines()[-1]) == (10, "  [config-by-hand]")
    assert "hosts.lab1.exec: deny" in err
    assert own.read_text() == "default: &all {exec: allow}\nhosts: {lab1: *all}\n"


def test_the_order_of_defaults(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Built in, the administrator's, one's own, the environment, the flag: the later beats the earlier."""

    def shown() -> list[str]:
        rows = told(capsys, "config", "show", "--origin")[1].splitlines()[1:]
        return [" ".join(row.split()) for row in rows]

    assert shown() == [
        "bastion - not set",
        "key - not set",
        "keeper auto built in",
        "keepalive default built in",
        "on_up - not set",
        "on_down - not set",
    ]
    config.SYSTEM.parent.mkdir()
    config.SYSTEM.write_text("bastion: a@sys\nkeepalive: fast\n")
    assert shown()[:4:3] == [f"bastion a@sys {config.SYSTEM}", f"keepalive fast {config.SYSTEM}"]
    own = home / ".scitex/ssh/config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("bastion: a@own\nkey: ~/k\nkeeper: cron\n")
    assert shown()[:2] == [f"bastion a@own {own}", f"key ~/k {own}"]
    monkeypatch.setenv("SCITEX_SSH_BASTION_SERVER", "a@env")
    assert shown()[0] == "bastion a@env $SCITEX_SSH_BASTION_SERVER"
    script = told(capsys, "script", "setup", "-p", "2222")[1]
    assert "t_bastion_host=env t_" in script
    assert "t_key='~/k'" in script
    assert "t_alive_interval=2 " in script
    assert "t_keeper=cron " in script
    assert "t_keeper=nohup " in told(capsys, "script", "setup", "-p", "2222", "--keeper", "nohup")[1]
    own.write_text("key: ~/k\nkeeper: upstart\n")
    refused = told(capsys, "script", "setup", "-p", "2222")
    assert (refused[0], refused[2].splitlines()[-1]) == (2, "  [bad-keeper]")
    own.write_text("key: ~/k\n")
    assert "t_bastion_host=flag t_" in told(capsys, "script", "setup", "-p", "2222", "-b", "a@flag")[1]


def test_python_is_refused_where_nothing_is_said() -> None:
    """No policy, no consent: PolicyError, before any program is run; a wrong value comes first."""
    with pytest.raises(PolicyError) as caught:
        scitex_ssh.setup(2222, "u@gw", "/k")
    assert caught.value.slug == "policy-unset"
    assert caught.value.facts == {"action": "tunnels", "host": policy.this_host()[0]}
    with pytest.raises(ValueError, match="bad-port"):
        scitex_ssh.setup(0, "u@gw", "/k")


def test_python_with_consent_is_refused_where_it_is_denied(capsys: pytest.CaptureFixture[str]) -> None:
    """Consent is for silence; with it alone the machine is looked at, and found wanting."""
    result = scitex_ssh.setup(2222, "u@gw", "/no/such/key", consent=True)
    assert result.error is not None
    assert result.error.slug in ("key-missing", "systemd-missing")
    told(capsys, "policy", "deny", "tunnels")
    for dry_run in (False, True):
        with pytest.raises(PolicyError) as caught:
            scitex_ssh.setup(2222, "u@gw", "/k", consent=True, dry_run=dry_run)
        assert caught.value.slug == "policy-denied"


def test_an_address_is_asked_for_only_where_a_rule_could_be_of_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule for every host costs no process; one for a host is held against the address of an alias, too."""
    asked: list[str] = []

    def effective(way: Way) -> dict[str, list[str]]:
        asked.append(str(way.host))
        return {"hostname": ["192.0.2.7"]}

    monkeypatch.setattr(gate, "effective", effective)
    assert policy.allow("exec").verdict == "allow"
    gate.check("exec", Way.of("lab1"), consent=False)
    assert asked == []
    policy.deny("exec", "192.0.2.7")
    with pytest.raises(PolicyError) as caught:
        gate.check("exec", Way.of("lab1"), consent=True)
    assert (caught.value.slug, asked) == ("policy-denied", ["lab1"])
