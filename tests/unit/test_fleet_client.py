"""The operator's own ssh learns the hosts of a fleet, and nothing that worked before is lost."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyinfra")

from scitex_ssh import client_files, fleet_client
from scitex_ssh.cli.entry import run
from scitex_ssh.facts.bastion import Seen
from scitex_ssh.fleet import Fleet, read
from scitex_ssh.plan.report import Guest, HostKey, Report

pytestmark = pytest.mark.skipif(not shutil.which("ssh"), reason="needs ssh, to be asked for its way")

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHjLXMcypX8vf4w+fCnj3wjl70QKAyQyBw4ObBd4A8KD"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXwloIugRdVACdw1AuLlzUJGyWMX6MoxTDji4RTV/G/"


@dataclass
class Machine:
    """What is asked of a host of pyinfra."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    connected: bool = True


def made(*hosts: Machine, **gate: Any) -> Fleet:
    """A fleet of a bastion and these hosts, all seen."""
    fleet = read([Machine("gw.example.com", {"ssh_user": "dora", **gate}, ("bastions",)), *hosts])
    blob = KEY.split()[1]
    guest = Guest("lab1", (27000,), (), (), (), "t-lab1")
    fleet.looks["gw.example.com"] = Report([guest, HostKey("ssh-ed25519", blob)])
    for host in hosts:
        fleet.seen[host.name] = Seen(OTHER, "alice", (OTHER, "ssh-ed25519 x\nHost *"))
    return fleet


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the home of an operator who has a file of their own."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host known\n    HostName 10.0.0.9\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def reach(fleet: Fleet, name: str) -> dict[Path, str]:
    """Write what is due for a host, and return it."""
    due = fleet_client.files(fleet, fleet.members[name], "alice")
    for path, text in due.items():
        client_files.put(path, text)
    return due


def resolved(place: Path, name: str) -> dict[str, str]:
    """What ssh makes of a name, by a file or by the one that a home's includes."""
    config = place / ".ssh/scitex-ssh/config" if place.is_dir() else place
    done = subprocess.run(["ssh", "-G", "-F", config, name], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_ssh_knows_the_host_by_its_name(home: Path) -> None:
    """Through the bastion as the inventory reaches it, and by nobody else's key."""
    fleet = made(Machine("lab1", {"ssh_hostname": "10.0.0.5", "ssh_user": "bob", "ssh_key": "/k"}))
    assert reach(fleet, "lab1")
    assert fleet_client.files(fleet, fleet.members["lab1"], "alice") == {}
    way = resolved(home, "lab1")
    assert (way["hostname"], way["port"], way["user"]) == ("localhost", "27000", "bob")
    assert (way["hostkeyalias"], way["stricthostkeychecking"]) == ("lab1", "true")
    assert (way["proxyjump"], way["identityfile"]) == ("scitex-ssh-gw.example.com", "/k")
    gate = resolved(home, "scitex-ssh-gw.example.com")
    assert (gate["hostname"], gate["user"]) == ("gw.example.com", "dora")
    folder = home / ".ssh/scitex-ssh"
    # What is no key is not written down.
    assert (folder / "lab1.known_hosts").read_text() == f"lab1,[localhost]:27000 {OTHER}\n"
    assert (folder / "scitex-ssh-gw.example.com.known_hosts").read_text() == f"gw.example.com {KEY}\n"
    own = (home / ".ssh/config").read_text()
    assert own == "Include scitex-ssh/config\n\nHost known\n    HostName 10.0.0.9\n"
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}


def test_other_clients_are_told_of_a_fleet(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By one file, which another's ssh-config writes there: the hosts, and nothing of the operator's."""
    assert run(["ssh-config", "--fleet"]) == 2
    assert "no fleet was made from here" in capsys.readouterr().err
    fleet = made(
        Machine("lab1", {"ssh_hostname": "10.0.0.5", "ssh_user": "bob", "ssh_key": "/k"}), ssh_port=2200
    )
    reach(fleet, "lab1")
    assert run(["ssh-config", "--fleet", "--json"]) == 0
    told = home / "told.json"
    told.write_text(capsys.readouterr().out)
    assert run(["ssh-config", "--fleet"]) == 0
    block, _, _ = capsys.readouterr().out.partition("#")
    monkeypatch.setenv("HOME", str(home / "carol"))
    assert run(["ssh-config", "--from", str(told), "--write"]) == 0
    folder = home / "carol/.ssh/config.d"
    assert (folder / "scitex-ssh").read_text() == block
    assert (folder / "scitex-ssh.known_hosts").read_text() == f"lab1 {OTHER}\n"
    way = resolved(folder / "scitex-ssh", "lab1")
    assert (way["hostname"], way["port"], way["user"]) == ("localhost", "27000", "bob")
    assert way["proxyjump"] == "gw.example.com:2200"
    assert way["hostkeyalias"] == "lab1"
    assert "/k" not in block


def test_a_way_that_is_known_stays_as_it_is(home: Path) -> None:
    """A name of the inventory, or of the operator's file, is not taken: its tunnel has another."""
    fleet = made(Machine("lab1"), Machine("10.0.0.9", {"host_name": "known"}))
    for name, called in (("lab1", "lab1-tunnel"), ("10.0.0.9", "known-tunnel")):
        reach(fleet, name)
        assert f"Host {called}\n" in (home / ".ssh/scitex-ssh/config").read_text()
    assert resolved(home, "lab1")["hostname"] == "lab1"
    # One that is ours already keeps its name, also for whoever goes by it.
    fleet = made(Machine("10.0.0.5", {"host_name": "lab1"}))
    reach(fleet, "10.0.0.5")
    assert resolved(home, "lab1")["hostname"] == "localhost"
    fleet = made(Machine("lab1"))
    assert fleet_client.called(fleet.members["lab1"], home / ".ssh/scitex-ssh") == "lab1"


def test_other_fleets_stay_and_what_goes_leaves_nothing(home: Path) -> None:
    """Only the block of the host is taken away."""
    reach(made(Machine("10.0.0.5", {"host_name": "lab1"})), "10.0.0.5")
    reach(made(Machine("10.0.0.6", {"host_name": "lab2"})), "10.0.0.6")
    gone = fleet_client.forgotten(["lab1"])
    folder = home / ".ssh/scitex-ssh"
    assert gone[folder / "lab1.known_hosts"] is None
    text = gone[folder / "config"] or ""
    assert "Host lab2\n" in text
    assert "lab1" not in text


def test_a_bastion_on_another_port_is_pinned_by_it(home: Path) -> None:
    """As known_hosts files name it."""
    fleet = made(Machine("10.0.0.5", {"host_name": "lab1"}), ssh_port=2200, bastion_address="bastion")
    due = reach(fleet, "10.0.0.5")
    assert f"[gw.example.com]:2200 {KEY}\n" in due.values()
