"""A way to the bastion that is not straight, kept by systemd in its sandbox; and one over IPv6 alone."""

from __future__ import annotations

import pytest

from .tunnels import cli, done, idle, status, verified, visit
from .world import KEY, World

HOP_KEY = ".ssh/a hop's key"


@pytest.mark.suites("bookworm")
def test_to_a_bastion_by_its_ipv6_address(desk: World) -> None:
    """Set up, proven, used and removed; its name is asked of nobody."""
    way = ("-b", f"tunnel@[{desk.bastion.address6}]", "-s", f"~/{KEY}")
    assert verified(done(cli(desk, "setup", "-p", "2222", *way)))
    assert visit(desk, 2222).stdout == "alice\nworkstation\n"
    assert idle(done(cli(desk, "setup", "-p", "2222", *way)))
    done(cli(desk, "doctor", "-p", "2222"))
    done(cli(desk, "remove", "-p", "2222"))


def test_over_a_host_with_a_key_of_its_own(desk: World) -> None:
    """It is proven, found in order, comes back after its ssh is killed, and is changed to go straight."""
    # The bastion is its own jump host: by its address there, and by its name from there.
    desk.bastion.authorize("tunnel", desk.workstation.make_key("alice", f"/home/alice/{HOP_KEY}"))
    hop = ("-J", f"tunnel@[{desk.bastion.address6}]", "--jump-key", f"~/{HOP_KEY}")
    way = ("-p", "2222", "-b", "tunnel@bastion", "-s", f"~/{KEY}")
    assert verified(done(cli(desk, "setup", *way, *hop)))
    assert visit(desk, 2222).stdout == "alice\nworkstation\n"
    assert idle(done(cli(desk, "setup", *way, *hop)))
    assert "jump-1" in done(cli(desk, "doctor", "-p", "2222", "--json")).stdout
    assert (status(desk)["jumps"], status(desk)["proxy"]) == ([hop[1]], None)
    killed = desk.workstation.sh("pkill -9 -e -f 'ssh .* jump-1$'").stdout
    assert "killed" in killed
    assert "verified" in done(cli(desk, "status", "-p", "2222", "--wait", "30")).stdout
    folder = "/etc/scitex-ssh/tunnels/2222"
    assert desk.workstation.sh(f"ls {folder}").stdout.split() == [
        *("key", "key-1", "known_hosts", "run", "ssh_config", "tunnel.json")
    ]
    assert verified(done(cli(desk, "setup", *way)))
    assert desk.workstation.sh(f"ls {folder}").stdout.split() == [
        *("key", "known_hosts", "run", "ssh_config", "tunnel.json")
    ]
    done(cli(desk, "remove", "-p", "2222"))
