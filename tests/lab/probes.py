"""What the tests of the lab itself look at it with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .hosts import Host
from .shell import Running
from .world import World

SSH = "ssh -o BatchMode=yes -o ConnectTimeout=3"


def reaches(host: Host, target: str, port: int = 22) -> bool:
    """Tell whether a host can open a connection to a port."""
    return host.sh(f"nc -z -w 2 {target} {port}", check=False).status == 0


@contextmanager
def session(world: World) -> Iterator[Running]:
    """Hold a session of alice's on the bastion that echoes what it is told."""
    with world.workstation.popen(f"{SSH} tunnel@bastion cat", user="alice") as running:
        assert echoes(running)
        yield running


def echoes(running: Running) -> bool:
    """Tell whether a line comes back through a session."""
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write("hello\n")
    running.stdin.flush()
    return running.stdout.readline() == "hello\n"
