"""One host on two bastions: what stands when one of them is lost, and who still gets through."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .faults import carrier
from .fixtures import SHARED
from .hosts import Host
from .tunnels import BASTION, PYZ, cli, done, idle, pyz, slugs
from .world import KEY, World

pytestmark = pytest.mark.suites("bookworm")
BOTH = ("-p", "2222", "-b", BASTION, "-b", "tunnel@bastion2", "-s", f"~/{KEY}")
VISIT = "ssh -o BatchMode=yes lab1 'id -un; hostname'"


@pytest.fixture
def second(request: pytest.FixtureRequest, desk: World) -> Iterator[Host]:
    """Give a second bastion, which knows carol and does not let alice's key in yet."""
    run = request.config.stash[SHARED]
    host = run.bastion("bastion2", desk.suite)
    host.add_user("tunnel")
    host.add_user("carol")
    host.authorize("carol", desk.client.read(f"/home/carol/{KEY}.pub").strip())
    desk.workstation.trust("alice", host)
    desk.client.trust("carol", host)
    yield host
    run.destroy(host)


def levels(world: World) -> dict[str, str]:
    """The level of each tunnel."""
    said = json.loads(cli(world, "status", "--json").stdout)
    return {seen["tunnel"]: seen["level"] for seen in said["tunnels"]}


def test_one_of_two_bastions_may_be_lost(desk: World, second: Host) -> None:
    """Both are proven; what cannot be had takes nothing along; ssh NAME finds the one that is left."""
    refused = cli(desk, "setup", *BOTH)
    assert (refused.status, slugs(refused)) == (21, ["key-not-accepted", "not-all-stand"])
    assert levels(desk) == {"2222": "verified"}
    second.authorize("tunnel", desk.workstation.read(f"/home/alice/{KEY}.pub").strip())
    made = done(cli(desk, "setup", *BOTH))
    assert made.stdout.count("Verified: ") == 2
    assert idle(done(cli(desk, "setup", *BOTH)))
    assert levels(desk) == {"2222": "verified", "2222-2": "verified"}

    told = done(cli(desk, "ssh-config", "--name", "lab1", "--json")).stdout
    desk.client.copy_in(pyz(), PYZ)
    desk.client.write("/home/carol/lab1.json", told, owner="carol:carol")
    desk.client.sh(f"{PYZ} ssh-config --from ~/lab1.json --write", user="carol")
    desk.client.write("/home/carol/.ssh/config", "Include config.d/scitex-ssh\n", owner="carol:carol")
    try:
        assert desk.client.sh(VISIT, user="carol").stdout == "alice\nworkstation\n"
        carrier(desk.bastion, up=False)
        try:
            assert desk.client.sh(VISIT, user="carol").stdout == "alice\nworkstation\n"
        finally:
            carrier(desk.bastion, up=True)
    finally:
        desk.client.sh("rm -rf /home/carol/.ssh/config /home/carol/.ssh/config.d")
    desk.workstation.wait_for(f"{PYZ} status", 60, user="alice")
    done(cli(desk, "remove", "-p", "2222", "-b", "bastion2"))
    assert levels(desk) == {"2222": "verified"}
    done(cli(desk, "setup", *BOTH))
    done(cli(desk, "remove", "-p", "2222"))
    assert levels(desk) == {}
    assert not desk.workstation.exists("/etc/scitex-ssh")
