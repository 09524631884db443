"""The tunnels of this machine by their folders: one's own are among them, those of other hosts are not."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from scitex_ssh.cli.entry import run
from scitex_ssh.health import bundle, standing

HOST = platform.node()


def folder(path: Path, keeper: str, port: int) -> None:
    """A tunnel's folder, as far as it is read here."""
    path.mkdir(parents=True)
    (path / "ssh_config").write_text(f"# Tunnel\n# keeper: {keeper}\nHost tunnel\n")
    forward = {"kind": "remote", "listen": f"localhost:{port}", "target": "localhost:22"}
    described = {"bastion": "tunnel@gw", "forwards": [forward], "user": "alice", "keeper": "x"}
    (path / "tunnel.json").write_text(json.dumps(described))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three tunnels of one's own, one of which another host keeps, and one of the whole machine."""
    monkeypatch.setattr(standing, "SYSTEM", tmp_path / "etc")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    own = tmp_path / "config/scitex-ssh/tunnels"
    folder(tmp_path / "etc/2222", "systemd", 2222)
    folder(own / "lab1", f"nohup on {HOST}", 2223)
    folder(own / "lab2", f"systemd-user on {HOST}", 2224)
    folder(own / "lab3", f"cron on not-{HOST}", 2225)
    (own / "lab2/tunnel.json").write_text("{")
    return tmp_path


def test_each_is_known_with_its_keeper_and_its_state(home: Path) -> None:
    """One whose description is broken, too: a support archive wants it most."""
    seen = {each.name: each for each in standing.tunnels(home / "etc")}
    assert sorted(seen) == ["2222", "lab1", "lab2"]
    assert [each.keeper for each in seen.values()] == ["systemd", "nohup", "systemd-user"]
    assert seen["lab1"].state == home / f"state/scitex-ssh/{HOST}/lab1"
    assert (seen["lab1"].unit, seen["lab2"].unit) == (None, "autossh-tunnel-lab2.service")
    assert (seen["lab1"].ports, seen["lab2"].ports) == ({"2223"}, set())


def test_the_archive_holds_ones_own(home: Path) -> None:
    """Their files, and the log of a process that no service manager keeps."""
    state = home / f"state/scitex-ssh/{HOST}/lab1"
    state.mkdir(parents=True)
    (state / "log").write_text("Connection refused\n")
    texts = bundle.contents({}, {}, "", standing.tunnels(home / "etc"))
    assert texts["tunnels/lab1/log.txt"] == "Connection refused\n"
    assert texts["tunnels/lab2/tunnel.json"] == "{"
    assert "tunnels/lab2/journal.txt" in texts
    assert not [name for name in texts if "lab3" in name]


def test_clients_are_told_the_way_through_ones_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user's own tunnel leads here as well as the machine's."""
    for path in (home / "etc/2222").iterdir():
        path.unlink()
    assert run(["ssh-config", "--json", "--name", "lab1"]) == 0
    machine = json.loads(capsys.readouterr().out)["machine"]
    assert machine["ways"] == [{"bastion": "tunnel@gw", "listen": "localhost:2223"}]
    assert machine["user"] == "alice"
