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
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from scitex_ssh.gateway import app, bounds, ports, serve, sessions, upkeep
from scitex_ssh.gateway.ports import Pool
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store

from .model import url

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
AGENT = Path(sys.executable).parent / "ssh-tunnel-agent"
pytestmark = [
    pytest.mark.skipif(not Path(SSHD).exists(), reason="there is no sshd here"),
    pytest.mark.skipif(not AGENT.exists(), reason="ssh-tunnel-gateway 0.4.3 needs Python 3.10"),
]


def until(what: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition; the time is a bound and says nothing else."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


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


@contextmanager
def served(settings: Settings, store: Store) -> Iterator[str]:
    """A gateway that answers; gives its address."""
    server = uvicorn.Server(
        uvicorn.Config(bounds.Bounded(app.made(settings, store)), **{**serve.options(settings), "port": 0})
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


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
