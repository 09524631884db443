"""The faults: each happens and ends, and says from when seconds are counted."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.lab import faults
from tests.lab.hosts import Host
from tests.lab.network import ip
from tests.lab.world import World

from .contenders import Contender
from .looking import Door, await_, listeners, processes, tried_every_second


@dataclass
class Play:
    """One run: a world whose tunnel stands, and how long outages last."""

    world: World
    contender: Contender
    outage: float
    give_up: float
    before: set[str] = field(default_factory=set)
    # Held while anything is done or measured: see `Stage`.
    turns: threading.Semaphore = field(default_factory=threading.Semaphore)
    # The port must be listened on anew: until then nobody tries it, since that could change the fate of
    # a session that is gone.
    anew: bool = False

    @property
    def host(self) -> Host:
        return self.world.workstation

    @property
    def bastion(self) -> Host:
        return self.world.bastion

    @property
    def door(self) -> Door:
        return self.contender.door

    def first_attempt(self, known: set[int], seconds: float = 60) -> float:
        """When an ssh that was not there before begins."""
        return await_(lambda: processes(self.host, "ssh") - known, seconds)

    def sshd_listens(self) -> float:
        return await_(lambda: listeners(self.bastion, 22), 60)

    def boot(self, host: Host) -> None:
        """Switch a host on, without waiting for the end of its boot."""
        thread = threading.Thread(target=host.boot, daemon=True)
        thread.start()
        self.booting.append(thread)

    booting: list[threading.Thread] = field(default_factory=list)

    def wait_out(self) -> None:
        """Let the outage last, and a little longer: ending it is work, and waits for a turn."""
        self.turns.release()
        time.sleep(self.outage)
        self.turns.acquire()


Fault = Callable[[Play], float]


@dataclass(frozen=True)
class Row:
    """A fault: its title, what seconds are counted from, the targets, how long it lasts (short form too)."""

    title: str
    after: str
    median: float
    worst: float
    outage: float
    quick: float
    play: Fault

    def named(self, quick: bool) -> str:
        """The title with the length of the outage."""
        return self.title.format(self.quick if quick else self.outage)


FAULTS: dict[str, Row] = {}


def fault(
    title: str, median: float, worst: float, *, outage: float = 0, quick: float = 0, after: str = ""
) -> Callable[[Fault], Fault]:
    """A row of the table."""

    def keep(function: Fault) -> Fault:
        name = function.__name__.replace("_", "-")
        FAULTS[name] = Row(title, after or "its end", median, worst, outage, quick, function)
        return function

    return keep


def kill(pids: set[int]) -> float:
    assert pids, "There is no such process."
    subprocess.run(["kill", "-9", *map(str, pids)], check=True)
    return time.monotonic()


@fault("kill -9 of ssh", 2, 4)
def kill_ssh(play: Play) -> float:
    play.anew = True
    return kill(processes(play.host, "ssh"))


@fault("kill -9 of the supervisor (autossh where it is one)", 2, 4)
def kill_keeper(play: Play) -> float:
    play.anew = True
    if play.contender.keeper:
        return kill(processes(play.host, play.contender.keeper))
    script = f"kill -9 $(systemctl show -p MainPID --value {play.contender.unit})"
    play.host.sh(script)
    return time.monotonic()


@fault("kill -9 of the session's sshd", 2, 4)
def kill_session(play: Play) -> float:
    play.anew = True
    play.bastion.sh(f"pkill -9 -u {play.contender.account} '^sshd'")
    return time.monotonic()


@fault("bastion's sshd restarted", 3, 6)
def restart_sshd(play: Play) -> float:
    play.bastion.sh("systemctl restart ssh")
    return time.monotonic()


@fault("bastion's sshd restarted, all its sessions ended", 3, 6)
def restart_sessions(play: Play) -> float:
    play.anew = True
    play.bastion.sh("pkill -9 sshd; systemctl restart ssh")
    return time.monotonic()


@fault("bastion rebooted", 3, 6, after="its sshd listens")
def reboot_bastion(play: Play) -> float:
    play.bastion.poweroff()
    play.boot(play.bastion)
    return play.sshd_listens()


@fault("carrier lost for {:g} s", 3, 6, outage=60, quick=10)
def carrier(play: Play) -> float:
    faults.carrier(play.host, up=False)
    play.wait_out()
    faults.carrier(play.host, up=True)
    return time.monotonic()


def silence(play: Play) -> float:
    faults.silence(play.host)
    play.wait_out()
    faults.unsilence(play.host)
    return time.monotonic()


@fault("silent loss for {:g} s", 5, 15, outage=30, quick=15)
def silence_30(play: Play) -> float:
    return silence(play)


@fault("silent loss for {:g} s", 5, 15, outage=120, quick=22)
def silence_120(play: Play) -> float:
    return silence(play)


@fault("silent loss for {:g} s", 5, 15, outage=300, quick=35)
def silence_300(play: Play) -> float:
    return silence(play)


def power_loss(play: Play) -> float:
    """The host and the router before it lose power; the router has another address afterwards."""
    play.anew = True
    play.host.power_loss()
    # Under the old one the host that boots would refuse the bastion's next packet, which tells it all.
    faults.readdress_home(play.host)
    play.boot(play.host)
    begun = play.first_attempt(set())
    assert play.before <= listeners(play.bastion, play.door), "The bastion has noticed."
    return begun


@fault("stale listener: power loss", 3, 6, after="ssh's first attempt")
def stale_power(play: Play) -> float:
    return power_loss(play)


@fault("stale listener, power loss, tried every second", 3, 6, after="ssh's first attempt")
def stale_power_tried(play: Play) -> float:
    with tried_every_second(play.world, play.door):
        begun = power_loss(play)
        # Somebody goes on trying until the port is new.
        with suppress(TimeoutError):
            await_(lambda: listeners(play.bastion, play.door) - play.before, play.give_up)
    return begun


@fault("stale listener: new public address", 3, 6, after="ssh's first attempt")
def stale_address(play: Play) -> float:
    play.anew = True
    known = processes(play.host, "ssh")
    faults.readdress_home(play.host)
    return play.first_attempt(known, play.give_up)


@fault("NAT forgets the flow", 15, 20, after="the fault")
def black_hole(play: Play) -> float:
    play.anew = True
    assert faults.black_hole_flow(play.bastion, peer=play.host)
    return time.monotonic()


@fault("NAT forgets the flow, tried every second", 15, 20, after="the fault")
def black_hole_tried(play: Play) -> float:
    with tried_every_second(play.world, play.door):
        begun = black_hole(play)
        with suppress(TimeoutError):
            await_(lambda: listeners(play.bastion, play.door) - play.before, play.give_up)
    return begun


@fault("host rebooted", 5, 10, after="network-online")
def reboot_host(play: Play) -> float:
    play.anew = True
    play.host.poweroff()
    play.host.boot()
    target = "systemctl show -p ActiveEnterTimestampMonotonic --value network-online.target"
    return int(play.host.sh(target).stdout) / 1e6


@fault("boot without DNS for {:g} s", 5, 15, outage=600, quick=15)
def boot_no_dns(play: Play) -> float:
    play.host.poweroff()
    play.host.learn_names("127.0.0.1 localhost\n")
    play.host.boot()
    play.wait_out()
    play.host.names.publish()
    return time.monotonic()


@fault("boot without a route for {:g} s", 5, 15, outage=600, quick=15)
def boot_no_route(play: Play) -> float:
    play.host.poweroff()
    link = play.host.link
    plug = link.plug

    def plug_without_route() -> None:
        plug()
        ip(link.namespace, "route", "del", "default")

    link.plug = plug_without_route  # type: ignore[method-assign]  # for this one boot
    try:
        play.host.boot()
    finally:
        link.plug = plug  # type: ignore[method-assign]
    play.wait_out()
    gateway = str(link.segment.gateway)
    ip(link.namespace, "route", "add", "default", "via", gateway, "dev", link.interface)
    return time.monotonic()


@fault("boot, the bastion down for {:g} s", 5, 15, outage=600, quick=15, after="its sshd listens")
def boot_no_bastion(play: Play) -> float:
    play.host.poweroff()
    play.bastion.power_loss()
    play.host.boot()
    play.wait_out()
    play.boot(play.bastion)
    return play.sshd_listens()


@fault("every process of the host stopped for {:g} s", 5, 15, outage=120, quick=20)
def freeze(play: Play) -> float:
    faults.freeze(play.host)
    play.wait_out()
    faults.thaw(play.host)
    return time.monotonic()


@fault("the bastion takes connections and is silent for {:g} s", 5, 15, outage=60, quick=15)
def mute(play: Play) -> float:
    mute = "systemctl stop ssh; pkill -9 sshd; sleep infinity | nc -lk 22"
    with play.bastion.popen(mute):
        await_(lambda: listeners(play.bastion, 22), 10)
        play.wait_out()
    play.bastion.sh("pkill -9 nc; systemctl start ssh", check=False)
    return play.sshd_listens()
