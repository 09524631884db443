"""The agent of ssh-tunnel-gateway 0.4.3, as published, through our gateway and a real sshd."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from scitex_ssh.cli.app import app
from scitex_ssh.errors import SSHError
from scitex_ssh.gateway import client, ports, sessions, upkeep
from scitex_ssh.gateway.ports import Pool
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store

from .model import served, until, url

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
AGENT = Path(sys.executable).parent / "ssh-tunnel-agent"
pytestmark = [
    pytest.mark.skipif(not Path(SSHD).exists(), reason="there is no sshd here"),
    pytest.mark.skipif(not AGENT.exists(), reason="ssh-tunnel-gateway 0.4.3 needs Python 3.10"),
]


@dataclass
class Bastion:
    """A gateway and an sshd on this machine, as the user who runs the tests."""

    folder: Path
    sshd_port: int
    http: str
    settings: Settings
    store: Store

    def greeting(self, port: int) -> bytes:
        """What a port says first, or nothing where nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
                return line.recv(4)
        except OSError:
            return b""

    def agent(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the published agent."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "API_KEY": "correct-horse",
            "API_URL": self.http,
            "STATE_DIR": str(self.folder / "agent"),
            "SSH_PORT": str(self.sshd_port),
            "LOCAL_TARGET_PORT": str(self.sshd_port),
            "SSH_KNOWN_HOSTS": str(self.folder / "known"),
            "RECONNECT_DELAY": "1",
            "HEARTBEAT_INTERVAL_SECONDS": "1",
            "SSH_OPTIONS": "-F none",
        }
        with open(self.folder / "agent.log", "ab") as log:
            return subprocess.Popen([AGENT, *words], env=environment, stdout=log, stderr=log)


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def bastion(tmp_path: Path) -> Iterator[Bastion]:
    """A bastion whose sshd reads the file of keys that the gateway writes."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "host"], check=True)
    port = free_port()
    lines = tmp_path / "authorized_keys"
    lines.write_text("# a line of somebody else\n")
    config = tmp_path / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {lines}\nStrictModes no\nPasswordAuthentication no\nLogLevel VERBOSE\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    first = 24000 + os.getpid() % 4000
    settings = Settings(
        url(tmp_path),
        ("correct-horse",),
        ssh_user=getpass.getuser(),
        server_keys=True,
        authorized_keys=lines,
        first=first,
        last=first + 20,
    )
    store = Store(settings.database, Pool(first, first + 20))
    with open(tmp_path / "sshd.log", "wb") as log:
        sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log)
    try:
        with served(settings, store) as http, upkeep.Ticker(settings, store, every=0.5):
            yield Bastion(tmp_path, port, http, settings, store)
    finally:
        sshd.terminate()
        sshd.wait(20)


def test_the_published_agent_tunnels_through_our_gateway(bastion: Bastion) -> None:
    """It registers, tunnels and beats; killed and started again it has its port again; revoked it is cut."""
    session = bastion.folder / "agent" / "session.json"
    agent = bastion.agent()
    try:
        until(session.exists)
        port = json.loads(session.read_text())["port_b"]
        until(lambda: bastion.greeting(port) == b"SSH-")
        # Its key was in the file before it was told its port: no attempt was in vain.
        assert "reconnecting" not in (bastion.folder / "agent.log").read_text()
        assert port in sessions.listening(getpass.getuser())
        until(lambda: "heartbeat ok" in (bastion.folder / "agent.log").read_text())
    finally:
        agent.kill()
        agent.wait(20)
    # Its ssh is still there, as after a crash: the former session holds the port, and has to go.
    assert ports.busy(port)
    session.unlink()
    agent = bastion.agent()
    try:
        until(session.exists)
        said = json.loads(session.read_text())
        assert said["port_b"] == port
        held = bastion.store.find(said["agent_id"])
        if os.geteuid() == 0:
            until(lambda: bastion.store.cuts() == {})
            until(lambda: bastion.greeting(port) == b"SSH-")
            bastion.store.revoke(held.id)
            until(lambda: not ports.busy(port))
            time.sleep(2)
            assert bastion.greeting(port) == b""
        else:
            bastion.store.revoke(held.id)
        until(lambda: held.public_key not in bastion.settings.authorized_keys.read_text())  # type: ignore[union-attr]  # it is set above
    finally:
        agent.send_signal(signal.SIGINT)
        agent.wait(60)
    assert bastion.settings.authorized_keys is not None
    assert bastion.settings.authorized_keys.read_text() == "# a line of somebody else\n"


def published(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the published server, whose keys go to the file that the sshd reads."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "API_KEY": "correct-horse",
        "STATE_DIR": str(folder / "published"),
        "AUTHORIZED_KEYS_PATH": str(folder / "authorized_keys"),
        "SERVER_HOST": "127.0.0.1",
        "SERVER_PORT": str(port),
        "SSH_USER": getpass.getuser(),
    }
    with open(folder / "published.log", "ab") as log:
        return subprocess.Popen(
            [AGENT.with_name("ssh-tunnel-server")], env=environment, stdout=log, stderr=log
        )


def test_our_agent_gets_on_with_the_published_server(tmp_path: Path) -> None:
    """It registers, has the key that the server made, and its port again; it gives signs of life; who is
    wrong is told so."""
    port = free_port()
    (tmp_path / "published").mkdir()
    server = published(tmp_path, port)
    try:
        until(lambda: _listens(port))
        address, key = f"http://127.0.0.1:{port}", tmp_path / "id"
        granted = client.enrol(address, "correct-horse", name="lab", key=key)
        assert (granted.name, granted.bastion) == ("lab", f"{getpass.getuser()}@127.0.0.1")
        assert key.stat().st_mode & 0o777 == 0o600
        assert client.own_key(key).blob in (tmp_path / "authorized_keys").read_text()
        again = client.enrol(address, "correct-horse", name="lab", key=key)
        assert again.port == granted.port
        assert again.old is not None
        assert again.old.ask("heartbeat") == {"status": "ok"}
        stop = again.old.remind(0.05)
        log = tmp_path / "published.log"
        until(lambda: log.read_text().count("POST / HTTP/1.1") >= 5 or server.poll() is not None, 20)
        stop()
        with pytest.raises(SSHError) as caught:
            client.enrol(address, "wrong-horse", name="lab", key=key)
        assert caught.value.slug == "gateway-token"
        result = CliRunner().invoke(
            app,
            ["setup", "--yes", "--gateway", address, "-s", str(key), "--token-file", "-"],
            "correct-horse",
        )
        assert isinstance(result.exception, SSHError)
        assert "scitex-ssh agent calls" in str(result.exception)
    finally:
        server.terminate()
        server.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
