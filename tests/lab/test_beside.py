"""A tunnel that goes to another bastion: the new one is proven before the old one is touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.recover.looking import listeners, processes

from .tunnels import OURS, Wanted, changed, cli, done, main_pid, refused, status, wait_verified
from .world import KEY, World

pytestmark = pytest.mark.suites("bookworm")

WANTED = Wanted()
MOVED = changed(WANTED, bastion="tunnel@client")


@pytest.fixture
def two_bastions(desk: World) -> Iterator[World]:
    """Give a world whose tunnel stands, and whose client can be a bastion as well."""
    key = desk.workstation.read(f"/home/alice/{KEY}.pub").strip()
    desk.client.sh("id tunnel 2>/dev/null || useradd -m -s /bin/bash -p '*' tunnel")
    desk.client.sh("rm -rf /home/tunnel/.ssh")
    desk.client.authorize("tunnel", key)
    known = desk.workstation.read("/home/alice/.ssh/known_hosts")
    desk.workstation.trust("alice", desk.client)
    done(cli(desk, "setup", *WANTED.argv))
    yield desk
    desk.workstation.write("/home/alice/.ssh/known_hosts", known, mode="600", owner="alice:alice")


@contextmanager
def seen(world: World) -> Iterator[set[tuple[bool, bool]]]:
    """Which of the two bastions had the port at any time meanwhile."""
    found: set[tuple[bool, bool]] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.02):
            found.add((bool(listeners(world.bastion, 2222)), bool(listeners(world.client, 2222))))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def test_the_new_tunnel_is_made_before_the_old_one_is_broken(two_bastions: World) -> None:
    """For a while both stand; in the end one does, kept by the unit, with one ssh."""
    with seen(two_bastions) as found:
        said = done(cli(two_bastions, "setup", *MOVED.argv)).stdout
    assert "ok            the new tunnel is proven beside the old one" in said
    assert (True, True) in found
    assert status(two_bastions)["bastion"] == "tunnel@client"
    assert len(processes(two_bastions.workstation, "ssh")) == 1
    assert not listeners(two_bastions.bastion, 2222)
    assert not two_bastions.workstation.sh("ls -d /tmp/scitex-ssh.* 2>/dev/null", check=False).stdout


@pytest.mark.parametrize(
    ("line", "slug"),
    [
        ('restrict,port-forwarding,permitopen="localhost:1"', "not-proven"),
        ('restrict,port-forwarding,permitlisten="localhost:9"', "forwarding-refused"),
    ],
)
def test_a_new_bastion_that_fails_leaves_the_old_one_alone(line: str, slug: str, two_bastions: World) -> None:
    """The old tunnel's process and its session go on: nothing was ever broken."""
    world = two_bastions
    key = world.workstation.read(f"/home/alice/{KEY}.pub").strip()
    world.client.sh("rm -rf /home/tunnel/.ssh")
    world.client.authorize("tunnel", key, line)
    before = (
        world.workstation.tree(*OURS),
        main_pid(world.workstation, WANTED),
        listeners(world.bastion, 2222),
    )
    refused(cli(world, "setup", *MOVED.argv), slug)
    after = world.workstation.tree(*OURS), main_pid(world.workstation, WANTED), listeners(world.bastion, 2222)
    assert after == before
    wait_verified(world)
    assert len(processes(world.workstation, "ssh")) == 1


def test_another_name_of_the_same_bastion_is_no_other_bastion(two_bastions: World) -> None:
    """Its port is held by the tunnel itself: the tunnel is changed in place."""
    two_bastions.workstation.sh("grep -q alias /etc/hosts || sed -i 's/ bastion$/ bastion alias/' /etc/hosts")
    keys = "".join(f"alias {key}\n" for key in two_bastions.bastion.host_keys())
    two_bastions.workstation.sh("cat >>/home/alice/.ssh/known_hosts", input=keys)
    said = done(cli(two_bastions, "setup", *changed(WANTED, bastion="tunnel@alias").argv)).stdout
    assert "beside" not in said
    assert status(two_bastions)["level"] == "verified"
    two_bastions.workstation.names.publish()
