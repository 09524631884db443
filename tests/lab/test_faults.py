"""What the lab itself promises of its network, its faults and its power switches."""

from __future__ import annotations

import re
import time

from . import faults
from .probes import SSH, echoes, reaches, session
from .world import World

# Network


def test_a_home_lets_out_and_not_in(world: World) -> None:
    """The workstation reaches the internet, in both families, under its router's address."""
    home, bastion, client = world.hosts
    assert reaches(home, "bastion")
    assert reaches(home, "ip6-bastion")
    seen = home.sh(f"{SSH} tunnel@bastion 'echo $SSH_CONNECTION'", user="alice").stdout
    assert seen.split()[0] == home.public_address
    for outside in (bastion, client):
        assert reaches(outside, outside.address)
        for address in (home.address, home.public_address, home.address6):
            assert not reaches(outside, address)
    assert reaches(client, "bastion")


def test_silence_acts_and_ends(world: World) -> None:
    """A silenced host has a link and reaches nobody; afterwards its connections go on."""
    with session(world) as running:
        faults.silence(world.workstation)
        assert not reaches(world.workstation, "bastion")
        assert "LOWER_UP" in world.workstation.sh("ip link show eth0").stdout
        faults.unsilence(world.workstation)
        assert reaches(world.workstation, "bastion")
        assert echoes(running)


def test_carrier_is_lost_and_found(world: World) -> None:
    """A host with its cable out sees so and reaches nobody."""
    faults.carrier(world.workstation, up=False)
    assert "NO-CARRIER" in world.workstation.sh("ip link show eth0").stdout
    assert not reaches(world.workstation, "bastion")
    faults.carrier(world.workstation, up=True)
    world.workstation.wait_for("nc -z -w 1 bastion 22")


def test_a_black_hole_swallows_old_connections_only(world: World) -> None:
    """The connection of now is lost while a new one passes; healed, it goes on."""
    with session(world) as running:
        lost = faults.black_hole_flow(world.bastion, peer=world.workstation)
        assert [flow.peer for flow in lost] == [world.workstation.public_address]
        assert running.stdin is not None
        running.stdin.write("later\n")
        running.stdin.flush()
        new = world.workstation.sh(f"{SSH} tunnel@bastion echo new", user="alice")
        assert new.stdout == "new\n"
        busy = world.workstation.wait_for("ss -Hnto state established dport = :22 | grep timer:.on")
        assert "timer:(on" in busy.stdout
        faults.heal_flow(world.bastion)
        assert running.stdout is not None
        assert running.stdout.readline() == "later\n"


def test_a_bad_line_loses_delays_and_stalls(world: World) -> None:
    """Some packets get through, late; those of a stall come when it ends."""
    ping = "ping -q -c 30 -i 0.05 -W 2 bastion | grep -e received -e ^rtt"
    with faults.slow_line(world.client, loss=20, delay=100) as line:
        received, _, average = pinged(world.client.sh(ping).stdout)
        # Two fifths minus a little are lost, there or back.
        assert 8 <= received <= 28
        assert average >= 200
        line.stall(1.5)
        assert pinged(world.client.sh(ping.replace("-c 30", "-c 10")).stdout)[1] > 700
    with faults.slow_line(world.workstation, delay=100):
        began = time.monotonic()
        assert reaches(world.workstation, "bastion")
        assert time.monotonic() - began >= 0.2
    received, most, _ = pinged(world.client.sh(ping).stdout)
    assert (received, most < 200) == (30, True)


def pinged(said: str) -> tuple[int, float, float]:
    """How many answers came, and the longest and mean time in milliseconds."""
    head, times = said.splitlines()
    received = re.search(r"(\d+) received", head)
    numbers = re.search(r"= [\d.]+/([\d.]+)/([\d.]+)/", times)
    assert received, said
    assert numbers, said
    return int(received[1]), float(numbers[2]), float(numbers[1])


def test_new_addresses_are_known_to_all(world: World) -> None:
    """After a readdress the names lead to the new address, and the old one is nobody's."""
    former = world.client.address
    faults.readdress(world.client)
    assert world.client.address != former
    assert reaches(world.bastion, "client")
    assert not reaches(world.bastion, former)


def test_a_home_gets_a_new_public_address(world: World) -> None:
    """The host behind the router goes out under the new address."""
    former = world.workstation.public_address
    faults.readdress_home(world.workstation)
    seen = world.workstation.sh(f"{SSH} tunnel@bastion 'echo $SSH_CLIENT'", user="alice").stdout
    assert seen.split()[0] == world.workstation.public_address != former


def test_a_frozen_host_answers_with_its_kernel_only(world: World) -> None:
    """A connection opens and nobody speaks, until the host thaws."""
    greeting = "nc -w 1 bastion 22 </dev/null"
    assert "SSH-2.0" in world.client.sh(greeting, check=False).stdout
    faults.freeze(world.bastion)
    opened, silent = reaches(world.client, "bastion"), world.client.sh(greeting, check=False)
    faults.thaw(world.bastion)
    assert opened
    assert "SSH-2.0" not in silent.stdout
    assert "SSH-2.0" in world.client.sh(greeting, check=False).stdout


# Power


def test_a_reboot_keeps_files_and_ends_processes(world: World) -> None:
    """What was written is there after a reboot, in a new boot."""
    host = world.client
    host.write("/var/lib/kept", "kept\n")
    host.write("/run/lost", "lost\n")
    boot = host.sh("journalctl --quiet --list-boots | wc -l").stdout
    host.reboot()
    assert host.read("/var/lib/kept") == "kept\n"
    assert not host.exists("/run/lost")
    assert host.sh("journalctl --quiet --list-boots | wc -l").stdout > boot
    assert reaches(host, "bastion")


def test_power_loss_tells_nobody(world: World) -> None:
    """The bastion believes in the session of a host that is gone."""
    with session(world):
        (flow,) = faults.flows(world.bastion, peer=world.workstation)
        # What is not acknowledged is sent again, and a host that boots and knows of nothing says so.
        world.bastion.wait_for("! ss -Hnt state established 'sport = :22' | awk '$2 > 0' | grep .")
        world.workstation.power_loss()
    time.sleep(2)  # the time in which a word of farewell would arrive
    assert not world.workstation.running
    assert faults.flows(world.bastion, peer=world.workstation) == [flow]
    world.workstation.boot()
    assert reaches(world.workstation, "bastion")
    world.bastion.sh("pkill -u tunnel sshd")


def test_a_poweroff_does_tell(world: World) -> None:
    """The bastion sees the session of a host end that switches off in order."""
    with session(world):
        assert len(faults.flows(world.bastion, peer=world.workstation)) == 1
        world.workstation.poweroff()
    world.bastion.wait_for("! ss -Hnto state established sport = :22 | grep .")
    assert faults.flows(world.bastion, peer=world.workstation) == []
    world.workstation.boot()


def test_a_host_that_switches_itself_off_boots_again(world: World) -> None:
    """A reboot from within ends the host, and `boot` brings it back."""
    host = world.client
    host.sh("systemctl reboot", check=False)
    deadline = time.monotonic() + 20
    while host.running and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not host.running
    host.boot()
    assert reaches(host, "bastion")
