"""What is said of a port is what answers on it: real sshds, one of them of another machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scitex_ssh.gateway import proofs
from scitex_ssh.gateway.ports import Pool
from scitex_ssh.gateway.store import Store
from scitex_ssh.render.authorized_keys import PublicKey

from .model import SHARED, key, until, url, wish

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
pytestmark = pytest.mark.skipif(not Path(SSHD).exists(), reason="there is no sshd here")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, PublicKey]]:
    """A machine's sshd: its port and its host key."""
    folder = tmp_path_factory.mktemp("sshd")
    host = folder / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "sshd_config"
    config.write_text(f"ListenAddress 127.0.0.1:{port}\nHostKey {host}\nPidFile none\nUsePAM no\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)

    def greets() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
                return line.recv(4) == b"SSH-"
        except OSError:
            return False

    until(greets)
    yield port, PublicKey.parse(host.with_suffix(".pub").read_text())
    process.terminate()
    process.wait(20)


def proof(folder: Path, port: int, *host_keys: PublicKey) -> str:
    """What is said of a machine that has this port and enrolled with these host keys."""
    store = Store(url(folder), Pool(port, port, ephemeral=range(0)), busy=lambda port: False)
    machine, _ = store.register(replace(wish("a"), host_keys=host_keys), SHARED)
    return proofs.dial([machine])["a"]


def test_the_machines_own_host_key(sshd: tuple[int, PublicKey], tmp_path: Path) -> None:
    """Among its keys is the one that answers: verified."""
    port, own = sshd
    assert proof(tmp_path, port, key(), own) == "verified"


def test_another_host_key(sshd: tuple[int, PublicKey], tmp_path: Path) -> None:
    """None of its keys answers: somebody else has the port."""
    assert proof(tmp_path, sshd[0], key()) == "other"


def test_no_host_key_is_known(sshd: tuple[int, PublicKey], tmp_path: Path) -> None:
    """An old agent tells none: that an sshd answers is all that is known."""
    assert proof(tmp_path, sshd[0]) == "open"


def test_nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that listens and says nothing is given up; one that is closed says so at once."""
    monkeypatch.setattr(proofs, "SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        assert proof(tmp_path, port, key()) == "silent"
    assert proof(tmp_path, port, key()) == "silent"
