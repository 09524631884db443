"""Looking at a tunnel without touching it, or from the bastion's side."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.lab.cgroup import Cgroup
from tests.lab.hosts import Host
from tests.lab.world import World

PORT = 2222


def listeners(host: Host, port: int) -> set[str]:
    """The inodes of the sockets that listen on a port of a host, read without a packet to it."""
    found = set()
    for family in ("tcp", "tcp6"):
        with suppress(OSError, RuntimeError):
            table = Path(f"/proc/{host.container.pid1}/net/{family}").read_text()
            for line in table.splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
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


# Runs in the bastion's network. Prints when the port answered with one of the keys, by the clock that
# all processes share. A banner first: it costs the target less than a whole key exchange.
PROBER = """
import socket, subprocess, sys, time
port, deadline, keys = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3].split(",")
while time.monotonic() < deadline:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            banner = connection.recv(64)
    except OSError:
        banner = b""
    if banner.startswith(b"SSH-"):
        answered = time.monotonic()
        argv = ["ssh-keyscan", "-T", "3", "-p", str(port), "127.0.0.1"]
        seen = subprocess.run(argv, capture_output=True, text=True).stdout
        if any(key in seen for key in keys):
            print(answered)
            sys.exit()
    time.sleep(0.05)
"""


def answers(world: World, seconds: float) -> float | None:
    """When the port answered on the bastion with the workstation's key, or nothing within the time."""
    inside = ("ip", "netns", "exec", world.bastion.link.namespace)
    deadline = str(time.monotonic() + seconds)
    keys = ",".join(key.split()[1] for key in world.workstation.host_keys())
    argv = [*inside, sys.executable, "-c", PROBER, str(PORT), deadline, keys]
    done = subprocess.run(argv, capture_output=True, text=True)
    return float(done.stdout) if done.stdout else None


@contextmanager
def tried_every_second(world: World) -> Iterator[None]:
    """Somebody on the bastion tries the port, over and over."""
    script = f"while :; do nc -w 1 localhost {PORT} </dev/null; sleep 1; done"
    with world.bastion.popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        yield
