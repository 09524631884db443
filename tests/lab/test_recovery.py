"""What a tunnel promises of its return: the short version of `build/dev bench recovery`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from scitex_ssh.backends.shell import baked
from tests.bench.herd import Herd
from tests.bench.recover.contenders import OURS, Contender
from tests.bench.recover.looking import PORT, answers, await_, listeners, processes
from tests.bench.recover.played import kill
from tests.bench.recover.stage import Stage

from .hosts import Host
from .world import KEY, World

UNIT = OURS[0].unit
STATE = f"/run/scitex-ssh/{PORT}"
AUTOSSH = next(contender for contender in OURS if contender.keeper == "autossh")

one_suite = pytest.mark.suites("bookworm")


@pytest.fixture(scope="module")
def stage(world: World) -> Stage:
    """A world with a tunnel that `setup` made and proved."""
    OURS[0].install(world)
    return staged(world, OURS[0])


def staged(world: World, contender: Contender) -> Stage:
    """A world for short faults."""
    return Stage(world, contender, quick=True, give_up=40, settle=1)


def state(host: Host, field: str = "detail") -> str:
    """What the supervisor says of itself."""
    return host.sh(f"sed -n 's/^{field} //p' {STATE}/state").stdout.strip()


def up(world: World, seconds: float = 20) -> bool:
    """Whether the port answers on the bastion with the workstation's key, within the time."""
    return answers(world, seconds) is not None


@contextmanager
def key_line(world: World, options: str) -> Iterator[None]:
    """The tunnel's key under other options of authorized_keys(5)."""
    file = "/home/tunnel/.ssh/authorized_keys"
    whole = world.bastion.read(file)
    world.bastion.write(file, f"{options} {whole}", mode="600", owner="tunnel:tunnel")
    try:
        yield
    finally:
        world.bastion.write(file, whole, mode="600", owner="tunnel:tunnel")


def restarted(world: World) -> None:
    """The supervisor of now is a new one, which does not know what the bastion allows."""
    world.workstation.sh(f"systemctl stop {UNIT}")
    world.bastion.sh("pkill -u tunnel", check=False)
    world.workstation.sh(f"systemctl start {UNIT}")


# Every fault; the bench has the same with long outages and many runs.


@pytest.mark.parametrize(
    ("fault", "worst"),
    [
        ("kill-ssh", 4),
        ("kill-keeper", 4),
        ("kill-session", 4),
        ("restart-sshd", 6),
        ("restart-sessions", 6),
        ("silence-30", 15),
        ("black-hole-tried", 20),
        ("reboot-host", 10),
        ("reboot-bastion", 6),
    ],
)
@one_suite
def test_it_is_back_within_seconds(stage: Stage, fault: str, worst: float) -> None:
    """After each fault the port answers again, with the right host key, in the time promised."""
    seconds = stage.play(fault)
    assert seconds is not None
    assert seconds <= worst


def test_a_stale_listener_is_taken_back(stage: Stage) -> None:
    """The host loses power; its former session still holds the port and is ended by the new one."""
    seconds = stage.play("stale-power")
    assert seconds is not None
    assert seconds <= 6
    assert "the bastion ended this tunnel's last session" in stage.world.workstation.journal(UNIT)


@one_suite
def test_the_engine_autossh_is_back_as_soon(stage: Stage) -> None:
    """Killed ssh and killed autossh, with autossh as the engine."""
    AUTOSSH.install(stage.world)
    try:
        for fault in ("kill-ssh", "kill-keeper", "stale-address"):
            seconds = staged(stage.world, AUTOSSH).play(fault)
            assert seconds is not None
            assert seconds <= 6
    finally:
        OURS[0].install(stage.world)


# Taking back, and nobody else's.


@one_suite
def test_a_strangers_port_is_left_alone(stage: Stage) -> None:
    """Neither another account's listener, nor a session of the account with another key, is ended."""
    world = stage.world
    host, bastion = world.workstation, world.bastion
    other = host.make_key("alice", "/home/alice/.ssh/other")
    bastion.authorize("tunnel", other)
    strangers = {
        "carol": (world.client, "carol", f"carol@bastion -i /home/carol/{KEY}"),
        "another key": (host, "alice", "tunnel@bastion -i /home/alice/.ssh/other"),
    }
    host.sh(f"systemctl stop {UNIT}")
    for where, who, login in strangers.values():
        options = "-o BatchMode=yes -o IdentitiesOnly=yes -o ExitOnForwardFailure=yes"
        with where.popen(f"ssh -N {options} -R {PORT}:localhost:1 {login}", user=who):
            await_(lambda: listeners(bastion, PORT), 10)
            theirs = listeners(bastion, PORT)
            host.sh(f"systemctl start {UNIT}")
            host.wait_for(f"grep -q 'forwarding failed' {STATE}/state && grep attempts {STATE}/state")
            host.wait_for(f"[ $(sed -n 's/attempts //p' {STATE}/state) -ge 3 ]")
            assert listeners(bastion, PORT) == theirs
            host.sh(f"systemctl stop {UNIT}")
        bastion.sh("pkill -u carol sshd; pkill -u tunnel sshd", check=False)
    host.sh(f"systemctl start {UNIT}")
    assert up(world)


@one_suite
def test_the_proof_does_not_end_the_tunnel(stage: Stage) -> None:
    """Dialling the port back over the same key, many times, leaves the session alone."""
    stage.reset()
    world = stage.world
    before = processes(world.workstation, "ssh"), listeners(world.bastion, PORT)
    for _ in range(3):
        config = f"/etc/scitex-ssh/tunnels/{PORT}/ssh_config"
        dial = f"ssh -F {config} -W localhost:{PORT} bastion </dev/null | head -c 4"
        assert world.workstation.sh(dial, user="alice").stdout == "SSH-"
    assert (processes(world.workstation, "ssh"), listeners(world.bastion, PORT)) == before


@one_suite
def test_two_machines_with_one_key_do_not_flap(stage: Stage) -> None:
    """The last to come has the port; both are told; the former waits, and has it again when that one goes."""
    stage.reset()
    world = stage.world
    clone, bastion = world.client, world.bastion
    folder = f"/etc/scitex-ssh/tunnels/{PORT}"
    for name in ("run", "ssh_config", "known_hosts"):
        clone.write(f"{folder}/{name}", world.workstation.read(f"{folder}/{name}"))
    key = world.workstation.read(f"/home/alice/{KEY}")
    clone.write(f"{folder}/key", key, mode="600", owner="carol:carol")
    clone.sh("install -d -o carol /run/clone")
    with clone.popen(f"exec sh {folder}/run {folder} /run/clone", user="carol"):
        world.workstation.wait_for(f"grep -q '^detail identity-clash' {STATE}/state")
        theirs = listeners(bastion, PORT)
        assert len(theirs) == 2  # IPv4 and IPv6
        assert int(state(world.workstation, "pause")) >= 250
        clone.wait_for("grep -q '!' /run/clone/session", timeout=40)
        assert listeners(bastion, PORT) == theirs
        # What it costs to stand: one ssh, and less than 1 MB beside it.
        idle = clone.sh("ps -o comm= -u carol | sort | uniq -c | tr -s ' '").stdout
        assert " 1 ssh\n" in idle
        each = "for pid in $(pgrep -u carol -x 'sh|sleep')"
        pss = clone.sh(f"{each}; do sed -n 's/^Pss: *//p' /proc/$pid/smaps_rollup; done").stdout
        sizes = [int(line.split()[0]) for line in pss.splitlines()]
        assert 2 <= len(sizes) <= 3
        assert sum(sizes) < 1024
    clone.sh("pkill -u carol; rm -r /run/clone /etc/scitex-ssh", check=False)
    world.workstation.sh(f"systemctl reload {UNIT}")
    assert up(world)


# A bastion that runs nothing for the key.


@pytest.mark.parametrize(
    "refusal",
    ["nologin", "MaxSessions 0", "restricted nologin", "forced true", "forced words"],
)
@one_suite
def test_a_bastion_that_runs_no_command_gets_its_tunnel(stage: Stage, refusal: str) -> None:
    """The port is held without a session, and `state` says so."""
    world = stage.world
    bastion = world.bastion
    restrict = f'restrict,port-forwarding,permitlisten="localhost:{PORT}"'
    lines = {
        "restricted nologin": f'{restrict},command="/usr/sbin/nologin"',
        "forced true": f'{restrict},command="/bin/true"',
        "forced words": 'command="echo hello"',
    }
    undo = "true"
    if refusal == "nologin":
        bastion.sh("usermod -s /usr/sbin/nologin tunnel")
        undo = "usermod -s /bin/bash tunnel"
    elif refusal == "MaxSessions 0":
        bastion.write("/etc/ssh/sshd_config.d/none.conf", "MaxSessions 0\n")
        bastion.sh("systemctl reload ssh")
        undo = "rm /etc/ssh/sshd_config.d/none.conf; systemctl reload ssh"
    try:
        with key_line(world, lines[refusal]) if refusal in lines else nullcontext():
            restarted(world)
            assert up(world)
            assert state(world.workstation, "mode") == "plain"
    finally:
        bastion.sh(undo)
    restarted(world)
    assert up(world)
    assert state(world.workstation, "mode") == "hold"


@one_suite
def test_a_bastion_that_hides_processes_gets_its_tunnel(stage: Stage) -> None:
    """With hidepid=2 no session can tell what serves it, so none is ended; the tunnel stands, and says so."""
    world = stage.world
    world.bastion.sh("mount -o remount,hidepid=2 /proc")
    try:
        restarted(world)
        assert up(world)
        assert "holds without a note" in world.workstation.read(f"{STATE}/session")
        world.workstation.write("/home/alice/status.sh", baked("status", []))
        said = world.workstation.sh("sh status.sh", user="alice").stdout
        assert "verified" in said
        assert "[no-take-back]" in said
        # Its own end frees the port, as ever.
        kill(processes(world.workstation, "ssh"))
        assert up(world, 10)
    finally:
        world.bastion.sh("mount -o remount,hidepid=0 /proc")
    restarted(world)
    assert up(world)
    assert world.workstation.read(f"{STATE}/session").startswith("scitex-ssh holds\n")


# The pace.


@one_suite
def test_a_wrong_key_is_tried_slowly(stage: Stage) -> None:
    """A refused key is not tried again within 25 s: a site is not locked out by PerSourcePenalties."""
    world = stage.world
    with key_line(world, 'from="192.0.2.1"'):
        restarted(world)
        world.workstation.wait_for(f"grep -q 'Permission denied' {STATE}/state")
        assert int(state(world.workstation, "pause")) >= 250
        time.sleep(5)
        assert state(world.workstation, "attempts") == "1"
    # Woken, it tries at once.
    world.workstation.sh(f"systemctl reload {UNIT}")
    assert up(world, 3)


@one_suite
def test_a_lost_bastion_is_tried_quickly(stage: Stage) -> None:
    """The first retry comes within a second, the later ones about every three, at most 4.5 s apart."""
    stage.reset()
    world = stage.world
    world.bastion.sh("systemctl stop ssh; pkill -9 sshd", check=False)
    time.sleep(12)
    world.bastion.sh("systemctl start ssh")
    since = "-15 s"
    lines = world.workstation.journal(UNIT, "--since", since).splitlines()
    at = [clock(line) for line in lines if "closed by" in line or "Connection refused" in line]
    gaps = [later - sooner for sooner, later in zip(at, at[1:])]
    assert gaps[0] < 1
    assert 4 <= len(gaps) <= 7
    assert max(gaps) <= 4.5
    assert up(world)


def clock(line: str) -> float:
    match = re.search(r"(\d\d):(\d\d):(\d\d\.\d+)", line)
    assert match is not None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


# What is left behind, and what it costs.


@one_suite
def test_nothing_is_left_after_an_end(stage: Stage) -> None:
    """No ssh and no listener after a stop, after kill -9 of the supervisor one set, after a removal none."""
    stage.reset()
    world = stage.world
    host, bastion = world.workstation, world.bastion
    host.sh(f"systemctl stop {UNIT}")
    assert processes(host, "ssh") == set()
    await_(lambda: not listeners(bastion, PORT), 3)
    assert host.sh(f"systemctl show -p Result --value {UNIT}").stdout == "success\n"
    host.sh(f"systemctl start {UNIT}")
    assert up(world)
    host.sh(f"kill -9 $(systemctl show -p MainPID --value {UNIT})")
    time.sleep(1.5)
    assert up(world)
    assert len(processes(host, "ssh")) == 1


@one_suite
def test_an_orphan_of_a_killed_supervisor_is_ended(stage: Stage) -> None:
    """Without systemd, too: the next supervisor ends the ssh that the killed one left, and no other."""
    world = stage.world
    host = world.workstation
    host.sh(f"systemctl stop {UNIT}")
    folder = f"/etc/scitex-ssh/tunnels/{PORT}"
    host.sh("mkdir state", user="alice")

    def start(shell: str) -> str:
        words = f"setsid {shell} {folder}/run {folder} /home/alice/state >/dev/null 2>&1 & echo $!"
        pid = host.sh(f"rm -f state/session; {words}", user="alice").stdout.strip()
        host.wait_for("grep -q holds /home/alice/state/session")
        assert len(processes(host, "ssh")) == 1
        return pid

    for shell in ("dash", "bash --posix"):
        host.sh(f"kill -9 {start(shell)}")
        assert len(processes(host, "ssh")) == 1
    last = start("sh")
    host.sh(f"kill {last}")
    host.wait_for(f"! pgrep --session {last}", timeout=3)
    assert processes(host, "ssh") == set()
    host.sh(f"rm -r /home/alice/state; systemctl start {UNIT}")
    assert up(world)


@one_suite
def test_a_herd_comes_back_to_one_bastion(stage: Stage) -> None:
    """Forty tunnels that lost their bastion at once stand again within a minute, with stock MaxStartups."""
    world = stage.world
    assert "\nmaxstartups 10:30:100\n" in world.bastion.sh("sshd -T").stdout
    herd = Herd(world, 40, light=False)
    try:
        herd.gather(120)
        herd.scatter(5)
        assert herd.gather(60) < 60
    finally:
        world.workstation.sh(f"systemctl stop herd; rm -rf /srv/herd /srv/herd.sh; systemctl start {UNIT}")
    assert up(world)
