"""Three bastions behind one gateway: each in a network of its own, with a real sshd, on one PostgreSQL."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from .model import until
from .test_postgres import pytestmark as _postgres
from .test_postgres import server  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[2]
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
KEY = "correct-horse"
pytestmark = [
    _postgres,
    pytest.mark.skipif(os.geteuid() != 0, reason="networks of their own take root"),
    pytest.mark.skipif(not Path(SSHD).exists(), reason="there is no sshd here"),
    pytest.mark.skipif(
        not (shutil.which("unshare") and shutil.which("ip")), reason="apt-get install util-linux iproute2"
    ),
]
# Enrols the machines whose public keys are its arguments; prints each answer.
ENROL = """
import json, sys, urllib.request
for line in sys.argv[2:]:
    name, _, key = line.partition(" ")
    body = json.dumps({"public_key": key, "token": sys.argv[1], "name": name}).encode()
    kind = {"Content-Type": "application/json"}
    asked = urllib.request.Request("http://127.0.0.1:12000/v1/enrol", body, kind)
    print(urllib.request.urlopen(asked, timeout=60).read().decode())
"""


@dataclass
class Bastion:
    """A machine with one address, its loopback, and an sshd that asks the database for keys."""

    name: str
    folder: Path
    environment: dict[str, str]
    network: subprocess.Popen[bytes]
    sshd: subprocess.Popen[bytes]

    @property
    def inside(self) -> list[str]:
        """What goes before a command that is to run there."""
        return ["nsenter", "-t", str(self.network.pid), "-n", "--"]

    def gateway(self, *words: str) -> str:
        """Give a command of the gateway there."""
        done = subprocess.run(
            [*self.inside, sys.executable, "-m", "scitex_ssh", "gateway", *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ssh(self, key: Path, *words: str) -> list[str]:
        """Ssh to it as a machine with that key would."""
        options = ["-oBatchMode=yes", "-oIdentitiesOnly=yes", "-oStrictHostKeyChecking=no"]
        options += ["-oUserKnownHostsFile=/dev/null", "-oExitOnForwardFailure=yes", "-p2222"]
        return [*self.inside, "ssh", "-F", "none", *options, "-i", str(key), *words, "127.0.0.1"]

    def listens(self, port: int) -> bool:
        """Whether anybody has that port there."""
        table = subprocess.run([*self.inside, "cat", "/proc/net/tcp"], capture_output=True, text=True).stdout
        return f":{port:04X} 00000000:0000 0A" in table


def bastion(name: str, database: str, folder: Path) -> Bastion:
    """Start one."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "SCITEX_SSH_GATEWAY_DATABASE": database,
        "SCITEX_SSH_GATEWAY_BASTION": name,
        "SSH_PUBLIC_HOST": f"{name}.example.com",
        "SSH_USER": getpass.getuser(),
        "PORT_RANGE_START": "20000",
        "PORT_RANGE_END": "20005",
    }
    folder.mkdir(mode=0o755)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"], check=True)
    set_to = " ".join(f"'{variable}={value}'" for variable, value in environment.items())
    ask = folder / "ask"
    ask.write_text(f'#!/bin/sh\nexec env {set_to} {sys.executable} -m scitex_ssh.gateway.ask "$@"\n')
    ask.chmod(0o755)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:2222\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile none\nAuthorizedKeysCommand {ask} %u %t %k\n"
        f"AuthorizedKeysCommandUser {getpass.getuser()}\nPasswordAuthentication no\nPermitRootLogin yes\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    network = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && exec sleep 600"])
    own = Path(f"/proc/{network.pid}/ns/net")
    until(lambda: own.readlink() != Path("/proc/self/ns/net").readlink(), 20)
    made = Bastion(name, folder, environment, network, network)
    up = [*made.inside, "ip", "-4", "-o", "addr", "show", "dev", "lo", "up"]
    until(lambda: "127.0.0.1" in subprocess.run(up, capture_output=True, text=True).stdout, 20)
    with open(folder / "log", "wb") as log:
        made.sshd = subprocess.Popen(
            [*made.inside, SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log
        )
    until(lambda: made.listens(2222), 20)
    return made


@pytest.fixture
def three(server: str) -> Iterator[tuple[list[Bastion], str]]:  # noqa: F811  # the fixture
    """Give three bastions, the first of which serves HTTP, and the database."""
    database = f"postgresql://postgres@/postgres?host={server}"
    # sshd runs no program that others than root could have put there.
    folder = Path(tempfile.mkdtemp(prefix="scitex-ssh-", dir="/run"))
    folder.chmod(0o755)
    made: list[Bastion] = []
    try:
        for name in ("b0", "b1", "b2"):
            made.append(bastion(name, database, folder / name))  # what stands is ended
        with open(folder / "http.log", "wb") as log:
            command = [*made[0].inside, sys.executable, "-m", "scitex_ssh", "gateway", "serve"]
            http = subprocess.Popen(command, env=made[0].environment, cwd=folder, stderr=log)
        try:
            until(lambda: made[0].listens(12000))
            yield made, database
        finally:
            http.terminate()
            http.wait(30)
    finally:
        for each in made:
            each.sshd.terminate()
            each.network.send_signal(signal.SIGKILL)
            each.sshd.wait(20)
            each.network.wait(20)
        shutil.rmtree(folder)


def test_three_bastions_behind_one_gateway(three: tuple[list[Bastion], str], tmp_path: Path) -> None:
    """Machines go where there is most room; each tunnels by its own bastion; of a dead one they move."""
    bastions, database = three
    first, *others = bastions
    for each in others:
        each.gateway("tick")
    token = first.gateway("token", "create", "lab", "--uses", "20").strip()

    def enrol(*names: str) -> dict[str, tuple[str, int]]:
        """Enrol machines at the one gateway: the bastion and the port of each."""
        lines = []
        for name in names:
            key = tmp_path / name
            if not key.exists():
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
            lines.append(f"{name} {' '.join(key.with_suffix('.pub').read_text().split()[:2])}")
        done = subprocess.run(
            [*first.inside, sys.executable, "-c", ENROL, token, *lines], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return {each["name"]: (each["bastion"]["host"].partition(".")[0], each["port"]) for each in told}

    where = enrol(*(f"m{number}" for number in range(9)))
    assert Counter(at for at, _ in where.values()) == {"b0": 3, "b1": 3, "b2": 3}
    assert len(set(where.values())) == 9

    # One tunnel to each bastion, by its own key; to another bastion that key is nobody's.
    by_name = {each.name: each for each in bastions}
    chosen = {at: name for name, (at, _) in where.items()}
    tunnels = {}
    try:
        for at, name in chosen.items():
            forward = f"-Rlocalhost:{where[name][1]}:127.0.0.1:2222"
            tunnels[at] = subprocess.Popen(by_name[at].ssh(tmp_path / name, "-N", forward))
            elsewhere = by_name[{"b0": "b1", "b1": "b2", "b2": "b0"}[at]]
            refused = subprocess.run(
                elsewhere.ssh(tmp_path / name, "-N", forward), capture_output=True, text=True
            )
            assert "Permission denied" in refused.stderr
        for at, name in chosen.items():
            until(lambda at=at, name=name: by_name[at].listens(where[name][1]))
            by_name[at].gateway("tick")
        seen = {each["name"]: each["up"] for each in json.loads(first.gateway("export", "--format", "json"))}
        assert {name for name, up in seen.items() if up > 0} == set(chosen.values())

        # Revoked at the first, cut where it stands.
        first.gateway("revoke", chosen["b1"])
        others[0].gateway("tick")
        until(lambda: not others[0].listens(where[chosen["b1"]][1]), 20)
        tunnels["b1"].wait(20)
    finally:
        for each in tunnels.values():
            each.terminate()
            each.wait(20)

    # The third dies: its machines are told of another when they ask again, and tunnel there.
    others[1].sshd.terminate()
    engine = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as db:
        db.execute(text("UPDATE bastions SET seen = :then WHERE name = 'b2'"), {"then": time.time() - 121})
    engine.dispose()
    moved = chosen["b2"]
    at, port = enrol(moved)[moved]
    assert at in ("b0", "b1")
    tunnel = subprocess.Popen(by_name[at].ssh(tmp_path / moved, "-N", f"-Rlocalhost:{port}:127.0.0.1:2222"))
    try:
        until(lambda: by_name[at].listens(port))
    finally:
        tunnel.terminate()
        tunnel.wait(20)
