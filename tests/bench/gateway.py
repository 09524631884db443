"""How many registrations a second, and how long the slowest wait, with how many machines known?

    build/dev bench gateway [--seconds N] [--clients N] [--known N...] [--sessions N] [--json FILE]

Our gateway and the published ssh-tunnel-gateway 0.4.3, one after the other, on this machine in this run,
each with a database of its own on the same disk. The clients speak the published protocol to both: a new
connection a registration, a new machine each time, the answer read to its end. What is known before is
written into the database, or into the file of the other. Ours has a row more, for machines with keys of
their own.

Last, what a tunnel costs its bastion in memory: so many real sessions with a port each, on one sshd.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import http.client
import json
import multiprocessing
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import delete, insert

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scitex_ssh.gateway import secrets  # noqa: E402  # after its folder is on the path
from scitex_ssh.gateway.ports import Pool, busy  # noqa: E402
from scitex_ssh.gateway.store import Store  # noqa: E402
from scitex_ssh.gateway.tables import FREE, MACHINES, TOKENS  # noqa: E402
from tests.remote.there import standing  # noqa: E402

KEY = "correct-horse-battery"
FIRST, LAST = 1024, 65535
PUBLISHED, OURS, OWN = "ssh-tunnel-gateway 0.4.3", "scitex-ssh", "scitex-ssh, own keys"


@dataclass(frozen=True)
class Row:
    """What one server did with so many machines known before."""

    server: str
    known: int
    per_second: float
    median_ms: float
    p99_ms: float
    count: int
    start_ms: float
    memory_mib: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10, metavar="N", help="of each measurement")
    parser.add_argument("--clients", type=int, default=4, metavar="N", help="at the same time")
    parser.add_argument("--known", type=int, nargs="*", default=[0, 1000, 10000, 20000], metavar="N")
    parser.add_argument("--sessions", type=int, default=50, metavar="N", help="0 leaves them out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows = []
    for known in options.known:
        for server in (PUBLISHED, OURS, OWN):
            with tempfile.TemporaryDirectory(prefix="scitex-ssh-bench-") as name:
                rows.append(measured(server, known, Path(name), options.seconds, options.clients))
            print(line(rows[-1]), flush=True)
    if rows:
        print(summary(rows, load, options.clients))
    session = sessions(options.sessions) if options.sessions else 0.0
    if session:
        print(f"a session costs the bastion {session:.2f} MiB: {1024 / session:.0f} tunnels in a GiB")
    if options.json:
        machine = {
            "machine": platform.platform(),
            "load_before": load,
            "clients": options.clients,
            "session_mib": round(session, 2),
        }
        rows_ = [asdict(row) for row in rows]
        options.json.write_text(json.dumps({**machine, "rows": rows_}, indent=2) + "\n")
    return 0


def line(row: Row) -> str:
    """One measurement as text."""
    return (
        f"{row.server:26} {row.known:6} known {row.per_second:8.1f}/s  median {row.median_ms:7.1f} ms  "
        f"p99 {row.p99_ms:8.1f} ms  start {row.start_ms:6.0f} ms  {row.memory_mib:5.0f} MiB"
    )


def summary(rows: list[Row], load: float, clients: int) -> str:
    """The aims, held against what was measured."""
    by = {(row.server, row.known): row for row in rows}
    said = [f"{clients} clients; load before {load:.1f} on {os.cpu_count()} processors"]
    for known in sorted({row.known for row in rows}):
        ratio = by[OURS, known].per_second / max(by[PUBLISHED, known].per_second, 1e-9)
        said.append(f"{known} known: {ratio:.0f} times the published rate")
    least, most = (by[OURS, pick([row.known for row in rows])] for pick in (min, max))
    said.append(
        f"cost of a registration with {most.known} known, as a multiple of that with {least.known}: "
        f"{least.per_second / most.per_second:.2f}"
    )
    return "\n".join(said)


# One measurement


def measured(server: str, known: int, folder: Path, seconds: float, clients: int) -> Row:
    """Start a server that knows so many machines, and register others for a while."""
    command, environment = (published if server == PUBLISHED else ours)(folder, known)
    with started(command, environment, folder) as (process, port, start):
        own = server == OWN
        # What is loaded at the first registration is no registration's cost.
        register(port, "warm-up", own)
        with multiprocessing.Pool(clients) as crowd:
            until = time.monotonic() + seconds
            took = crowd.starmap(client, [(port, until, number, own) for number in range(clients)])
        times = sorted(each for of_one in took for each in of_one)
        return Row(
            server,
            known,
            round(len(times) / seconds, 2),
            round(statistics.median(times) * 1000, 2),
            round(times[int(len(times) * 0.99)] * 1000, 2),
            len(times),
            round(start * 1000),
            round(memory(process.pid), 1),
        )


def client(port: int, until: float, number: int, own: bool) -> list[float]:
    """Register machine after machine; how long each took."""
    times = []
    while True:
        begun = time.monotonic()
        register(port, f"new-{number}-{len(times)}", own)
        ended = time.monotonic()
        # One that did not end in time counts where it is the only one: a slow server is not a fast one.
        if ended > until and times:
            return times
        times.append(ended - begun)
        if ended > until:
            return times


def register(port: int, name: str, own: bool) -> None:
    """Register one machine, as the published agent does, or with a key of its own."""
    if own:
        path, body = "/v1/enrol", {"public_key": public(), "token": KEY, "name": name}
    else:
        path, body = "/", {"action": "register", "agent_id": name}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"X-API-Key": KEY, "Content-Type": "application/json", "Connection": "close"}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text


def public() -> str:
    """A public key that nobody has."""
    body = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + os.urandom(32)
    return f"ssh-ed25519 {base64.b64encode(body).decode()}"


def memory(pid: int) -> float:
    """What a process holds, in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(each.split()[1]) for each in text.splitlines() if each.startswith("Pss:")) / 1024


def sessions(count: int) -> float:
    """What the sshd of one more tunnel holds, in MiB."""
    with standing() as there:
        # Of the pool, where nothing of the system listens.
        ports = [port for port in Pool.here(21000, 32767) if not busy(port)][:count]
        # As on a bastion: an account of its own, whose sessions take two processes each, root's but one.
        account = "nobody" if os.geteuid() == 0 else getpass.getuser()
        there.folder.chmod(0o755)
        before, running, config = bastion(there.sshd), [], alone(there.config)
        try:
            for port in ports:
                way = [
                    "-N",
                    "-o",
                    "ExitOnForwardFailure=yes",
                    "-o",
                    "ControlPath=none",
                    "-o",
                    "RequestTTY=no",
                ]
                way += ["-o", "ClearAllForwardings=no", "-R", f"localhost:{port}:localhost:9"]
                running.append(subprocess.Popen(["ssh", "-F", str(config), "-l", account, *way, "there"]))
            deadline = time.monotonic() + 120
            while not all(map(busy, ports)):
                assert time.monotonic() < deadline, "not all sessions came up"
                time.sleep(0.2)
            return (bastion(there.sshd) - before) / count
        finally:
            for each in running:
                each.terminate()
            for each in running:
                each.wait(30)


def alone(config: Path) -> Path:
    """The client's configuration without what a test of other things has put into it."""
    made = config.with_name("alone")
    lines = config.read_text().splitlines()
    kept = [line for line in lines if not line.strip().startswith(("LocalForward", "Control", "RequestTTY"))]
    made.write_text("\n".join(kept) + "\n")
    return made


def bastion(pid: int) -> float:
    """What an sshd and all that it has started hold, in MiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return memory(pid) + sum(bastion(int(child)) for child in children)


@contextmanager
def started(
    command: list[str], environment: dict[str, str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """A server that answers: its process, its port, and how long that took in seconds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "SERVER_PORT": str(port), **environment}
    begun = time.monotonic()
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        while not answers(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < begun + 120, "it does not answer"
            time.sleep(0.005)
        yield process, port, time.monotonic() - begun
    finally:
        process.terminate()
        process.wait(60)


def answers(port: int) -> bool:
    """Whether the server is there."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False


# The two servers


def published(folder: Path, known: int) -> tuple[list[str], dict[str, str]]:
    """The server from the registry, with what it knows in its own files."""
    state = folder / "state"
    state.mkdir()
    at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    keys, allocations = [], []
    for number in range(known):
        key = public()
        port = LAST - number
        keys.append(f"{key} tunnel-agent=known-{number} port_b={port}\n")
        allocations.append(
            {
                "agent_id": f"known-{number}",
                "port_b": port,
                "public_key": key,
                "created_at": at,
                "last_seen": at,
            }
        )
    (state / "allocations.json").write_text(json.dumps({"allocations": allocations}))
    (folder / "authorized_keys").write_text("".join(keys))
    environment = {
        "API_KEY": KEY,
        "STATE_DIR": str(state),
        "AUTHORIZED_KEYS_PATH": str(folder / "authorized_keys"),
        "SERVER_HOST": "127.0.0.1",
        "PORT_RANGE_START": str(FIRST),
        "PORT_RANGE_END": str(LAST),
    }
    return [str(Path(sys.executable).parent / "ssh-tunnel-server")], environment


def ours(folder: Path, known: int) -> tuple[list[str], dict[str, str]]:
    """This checkout's, with what it knows in its database."""
    database = f"sqlite:///{folder}/gateway.db"
    pool = Pool.here(FIRST, LAST)
    store = Store(database, pool)
    now = time.time()
    ports = list(pool)[-known:] if known else []
    rows = [
        {
            "id": f"known-{number}",
            "name": f"known-{number}",
            "state": "active",
            "port": port,
            "last_port": port,
            "bind": "localhost",
            "public_key": public(),
            "fingerprint": f"SHA256:known-{number}",
            "owner": "key:bench",
            "created": now,
            "seen": now,
            "expires": now + 10**6,
        }
        for number, port in enumerate(ports)
    ]
    with store.writing() as db:
        if rows:
            db.execute(insert(MACHINES), rows)
            db.execute(delete(FREE).where(FREE.c.port >= ports[0], FREE.c.port <= ports[-1]))
        db.execute(insert(TOKENS).values(name="bench", kind="join", hash=secrets.digest(KEY), created=now))
    store.engine.dispose()
    environment = {
        "API_KEY": KEY,
        "SCITEX_SSH_GATEWAY_DATABASE": database,
        "SCITEX_SSH_GATEWAY_SERVER_KEYS": "1",
        "PORT_RANGE_START": str(FIRST),
        "PORT_RANGE_END": str(LAST),
    }
    return [sys.executable, "-m", "scitex_ssh", "gateway", "serve"], {
        **environment,
        "PYTHONPATH": str(ROOT),
    }


if __name__ == "__main__":
    sys.exit(main())
