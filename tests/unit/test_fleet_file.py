"""A fleet's file is read whole, refused whole, and known to editors by the same rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scitex_ssh.cli.entry import run
from scitex_ssh.errors import InputError
from scitex_ssh.fleet_file import load, read
from scitex_ssh.fleet_schema import schema

GOOD = """
bastions:
  gw.example.com: {ssh: "dora@10.0.0.1:2200", address: gw, sudo: true, expected: 300, plain: false}
hosts:
  lab1:
  lab2.example.com:
    ssh: alice@10.0.0.5
    ssh_key: keys/id
    name: second
    bastion: gw.example.com
    key: ~/.ssh/tunnel
    sudo: false
    tunnels:
      -
      - {target: "localhost:5432", port: 2301}
defaults: {known_hosts: known, sudo: true}
"""
BAD = """
bastions:
  gw: {ssh: "root@127.0.0.1:99999", plain: maybe, expected: x}
  lab1:
hosts:
  lab1: {bastion: nowhere, colour: red}
  Lab 2:
    name: "Not A Name"
    key: relative
    tunnels:
      - {port: 0, engine: mosh}
      - "2222"
      - {bastion: gw, key: /k}
  lab3: {tunnels: [{port: 2301}]}
  lab4: {tunnels: [{port: 2301}]}
defaults: {sudo: 1}
more: 1
"""
SAID = {
    "At 'gw: ssh'": "bad-ssh-host",
    "At 'gw: plain'": "bad-fleet-field",
    "At 'gw: expected'": "bad-fleet-field",
    "At 'lab1'": "bad-fleet-field",
    "At 'lab1: bastion'": "not-a-bastion",
    "At 'lab1: colour'": "bad-fleet-field",
    "At 'Lab 2: name'": "bad-host",
    "At 'Lab 2: key'": "bad-key-path",
    "At 'Lab 2: tunnels[0].port'": "bad-port",
    "At 'Lab 2: tunnels[0].engine'": "bad-engine",
    "At 'Lab 2: tunnels[1]'": "bad-field",
    "At 'Lab 2: tunnels[2].bastion'": "bad-fleet-field",
    "At 'Lab 2: tunnels[2].key'": "bad-fleet-field",
    "port 2301 is lab3's": "port-clash",
    "At 'defaults: sudo'": "bad-fleet-field",
    "At 'more'": "bad-fleet-field",
}


def test_a_file_says_what_an_inventory_would() -> None:
    """Each field becomes the data that pyinfra and the deploys know."""
    machines, errors = read(GOOD, Path("/fleets"))
    assert errors == []
    gate, first, second = machines
    assert (gate.groups, first.groups) == (("bastions",), ("hosts",))
    assert gate.data == {
        "ssh_hostname": "10.0.0.1",
        "ssh_user": "dora",
        "ssh_port": 2200,
        "bastion_address": "gw",
        "bastion_hosts": 300,
        "bastion_plain": False,
        "ssh_known_hosts_file": "/fleets/known",
        "_sudo": True,
    }
    assert first.data == {
        "ssh_known_hosts_file": "/fleets/known",
        "_sudo": True,
        "host_name": "lab1",
        "ssh_hostname": "lab1",
    }
    assert second.data["tunnels"] == [{}, {"target": "localhost:5432", "port": "2301"}]
    assert (second.data["host_name"], second.data["_sudo"]) == ("second", False)
    assert second.data["ssh_key"] == "/fleets/keys/id"
    assert [each.name for each in read("bastions: [gw]\nhosts: [a, b]")[0]] == ["gw", "a", "b"]


def ask(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    """Have a file planned that cannot be: its status, and what is said of it."""
    pytest.importorskip("pyinfra")
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    status = run(["fleet", "apply", str(path), *flags])
    out, err = capsys.readouterr()
    return status, out + err


def test_every_error_of_every_machine_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Naming machine, tunnel and field; nobody is asked for anything."""
    # It is for a process of its own.
    monkeypatch.setattr("gevent.monkey.patch_all", lambda: None)
    status, said = ask(tmp_path, BAD, capsys)
    assert status == 10
    for where, slug in SAID.items():
        (block,) = [each for each in said.split("scitex-ssh: ")[1:] if each.startswith(where)]
        assert f"[{slug}]" in block, block
    assert len(said.split("scitex-ssh: ")[1:]) == len(SAID), said
    status, said = ask(tmp_path, BAD, capsys, "--json")
    assert len(json.loads(said)["errors"]) == len(SAID)


@pytest.mark.parametrize("text", ["", "a: [", "[]", "hosts: {a: {}, a: {}}", "\x00", "*a"])
def test_what_is_no_fleet_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its line, where it has one."""
    status, said = ask(tmp_path, text, capsys)
    assert (status, "[fleet-file]" in said) == (10, True), said


def test_a_file_that_is_not_there_or_is_not_text(tmp_path: Path) -> None:
    """Also a folder."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("none", "binary", "."):
        with pytest.raises(InputError) as raised:
            load(tmp_path / name)
        assert raised.value.slug == "fleet-file"


def test_without_pyinfra_there_is_a_clear_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the .pyz, which has none, and on an older Python."""
    monkeypatch.setattr("scitex_ssh.cli.fleet.find_spec", lambda name: None)
    assert run(["fleet", "plan", str(tmp_path / "x.yaml")]) == 10
    assert "[pyinfra-missing]" in capsys.readouterr().err


VARIANTS: list[tuple[dict[str, Any], bool]] = [
    ({"bastions": ["gw"], "hosts": ["a"]}, True),
    ({"bastions": {"gw": None}, "hosts": {"a": {"sudo": True}}}, True),
    ({"bastions": {"gw": {"expected": 0}}, "hosts": ["a"]}, False),
    ({"bastions": {"gw": {"tunnels": []}}, "hosts": ["a"]}, False),
    ({"bastions": ["gw"], "hosts": {"a": {"sudo": "maybe"}}}, False),
    ({"bastions": ["gw"], "hosts": {"a": {"key": "relative"}}}, False),
    ({"bastions": ["gw"], "hosts": {"a": {"name": "A"}}}, False),
    ({"bastions": ["gw"], "hosts": ["a"], "defaults": {"tunnels": []}}, False),
    ({"bastions": ["gw"], "hosts": ["a"], "more": 1}, False),
    ({"hosts": ["a"]}, False),
]


@pytest.mark.parametrize(("data", "valid"), VARIANTS)
def test_the_schema_knows_the_same_rules(data: dict[str, Any], valid: bool) -> None:
    """What an editor marks is what is refused."""
    assert jsonschema.Draft202012Validator(schema()).is_valid(data) == valid
    assert (read(yaml.safe_dump(data))[1] == []) == valid


def test_the_schema_accepts_what_is_good() -> None:
    """And is a schema."""
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(yaml.safe_load(GOOD), schema())
