"""Looking at a tunnel without touching it, or from the bastion's side."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Union

from tests.lab.cgroup import Cgroup
from tests.lab.hosts import Host
from tests.lab.world import World

PORT = 2222


# The port of a host that is listened on, or the path of its Unix socket.
Door = Union[int, str]


def listeners(host: Host, door: Door) -> set[str]:
    """The inodes of the sockets that listen on a port or path of a host, read without a packet to it."""
    found = set()
    if isinstance(door, str):
        with suppress(OSError, RuntimeError):
            for line in Path(f"/proc/{host.container.pid1}/net/unix").read_text().splitlines()[1:]:
                words = line.split()
                # The flag that says that it listens (__SO_ACCEPTCON).
                if words[7:] == [door] and int(words[3], 16) & 0x10000:
                    found.add(words[6])
        return found
    for family in ("tcp", "tcp6"):
        with suppress(OSError, RuntimeError):
            table = Path(f"/proc/{host.container.pid1}/net/{family}").read_text()
            for line in table.splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == door:
                    found.add(words[9])
    return found


def processes(host: Host, name: str) -> set[int]:
    """The processes of a host that have a name, numbered as on this machine."""
    group: Cgroup = host.container.cgroup
    found = set()
    files: list[Path] = []
    # Groups go while one looks: what they held is seen by the next look.
    with suppress(OSError):
        files.extend(group.path.rglob("cgroup.procs"))
    for file in files:
        with suppress(OSError):
            for pid in file.read_text().split():
                with suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                        found.add(int(pid))
    return found


def await_(what: Callable[[], object], seconds: float, every: float = 0.02) -> float:
    """Wait until something is so, and return when; `TimeoutError` if it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return time.monotonic()
        time.sleep(every)
    raise TimeoutError(f"not within {seconds:g} s")


# Runs in the bastion's network. Prints when the door answered with one of the keys, by the clock that
# all processes share. A banner first: it costs the target less than a whole key exchange. ssh-keyscan knows
# ports only: what it says to one of ours is carried to the path of a socket.
PROBER = """
import socket, socketserver, subprocess, sys, threading, time
door, deadline, keys = sys.argv[1], float(sys.argv[2]), sys.argv[3].split(",")
def opened():
    if door[0] != "/":
        return socket.create_connection(("127.0.0.1", int(door)), timeout=1)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(1)
    connection.connect(door)
    return connection
def carry(one, other):
    try:
        while block := one.recv(65536):
            other.sendall(block)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass
class Relay(socketserver.BaseRequestHandler):
    def handle(self):
        with opened() as inside:
            inside.settimeout(5)
            threading.Thread(target=carry, args=(inside, self.request), daemon=True).start()
            carry(self.request, inside)
            time.sleep(1)
port = door
if door[0] == "/":
    relay = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
    relay.daemon_threads = True
    threading.Thread(target=relay.serve_forever, daemon=True).start()
    port = str(relay.server_address[1])
while time.monotonic() < deadline:
    try:
        with opened() as connection:
            banner = connection.recv(64)
    except OSError:
        banner = b""
    if banner.startswith(b"SSH-"):
        answered = time.monotonic()
        argv = ["ssh-keyscan", "-T", "3", "-p", port, "127.0.0.1"]
        seen = subprocess.run(argv, capture_output=True, text=True).stdout
        if any(key in seen for key in keys):
            print(answered, flush=True)
            sys.exit()
    time.sleep(0.05)
"""


def answers(world: World, seconds: float, door: Door = PORT) -> float | None:
    """When the door answered on the bastion with the workstation's key, or nothing within the time."""
    inside = ("ip", "netns", "exec", world.bastion.link.namespace)
    deadline = str(time.monotonic() + seconds)
    keys = ",".join(key.split()[1] for key in world.workstation.host_keys())
    # The bastion's own files, as this machine sees them.
    seen = f"/proc/{world.bastion.container.pid1}/root{door}" if isinstance(door, str) else str(door)
    argv = [*inside, sys.executable, "-c", PROBER, seen, deadline, keys]
    done = subprocess.run(argv, capture_output=True, text=True)
    return float(done.stdout) if done.stdout else None


@contextmanager
def tried_every_second(world: World, door: Door) -> Iterator[None]:
    """Somebody on the bastion tries the door, over and over."""
    way = f"-U {door}" if isinstance(door, str) else f"localhost {door}"
    script = f"while :; do nc -w 1 {way} </dev/null; sleep 1; done"
    with world.bastion.popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        yield
