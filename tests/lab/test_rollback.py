"""A set-up that cannot succeed: the cause is named, and what was there before is there again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import join

import pytest

from .faults import freeze, silence, thaw, unsilence
from .hosts import Host
from .shell import Result
from .tunnels import (
    BACK_ENDS,
    OURS,
    PYZ,
    BackEnd,
    Wanted,
    cli,
    done,
    main_pid,
    refused,
    slugs,
    status,
    untouched,
    verified,
    visit,
    wait_verified,
)
from .world import KEY, World

WANTED = Wanted()
OTHER_KEY = "/home/alice/.ssh/other"


def setup(world: World, *flags: str, **fields: object) -> Result:
    """Ask for a tunnel, in little time."""
    wanted = Wanted(**fields)  # type: ignore[arg-type]
    return cli(world, "setup", *wanted.argv, "--keepalive", "fast", *flags)


@pytest.fixture(autouse=True)
def forgiven(equipped: World) -> None:
    """Have no sshd hold earlier failures against us: from 9.8 on, it drops who fails too often."""
    for host in (equipped.bastion, equipped.workstation):
        host.sh("systemctl reset-failed ssh; systemctl restart ssh")


@pytest.fixture(scope="module")
def other_key(equipped: World) -> str:
    """Give the public half of a key of alice's that the bastion does not know."""
    return equipped.workstation.make_key("alice", OTHER_KEY)


# Ways to fail: each makes the world so, and gives the fields and flags of the set-up.


@contextmanager
def listener(host: Host, command: str, port: int = 2222) -> Iterator[None]:
    """Let a command listen on a port of a host meanwhile."""
    with host.popen(f"exec {command}"):
        host.wait_for(f"ss -Hltn 'sport = :{port}' | grep -q .", 10)
        yield


@contextmanager
def sshd_options(host: Host, options: str) -> Iterator[None]:
    """Give a host's sshd other options meanwhile, and a sshd of its own to new connections."""
    path = "/etc/ssh/sshd_config"
    former = host.read(path)
    host.write(path, options + "\n" + former)
    host.sh("sshd -t && systemctl reset-failed ssh && systemctl restart ssh")
    try:
        yield
    finally:
        host.write(path, former)
        host.sh("systemctl reset-failed ssh; systemctl restart ssh")


@contextmanager
def authorized(host: Host, line: str) -> Iterator[None]:
    """Let one line be all of tunnel's authorized_keys meanwhile."""
    path = "/home/tunnel/.ssh/authorized_keys"
    former = host.read(path)
    host.write(path, line + "\n", mode="600", owner="tunnel:tunnel")
    try:
        yield
    finally:
        host.write(path, former, mode="600", owner="tunnel:tunnel")


@contextmanager
def known_hosts(world: World, text: str) -> Iterator[None]:
    """Let this be all that alice knows of other hosts meanwhile."""
    path = "/home/alice/.ssh/known_hosts"
    former = world.workstation.read(path)
    world.workstation.write(path, text, mode="600", owner="alice:alice")
    try:
        yield
    finally:
        world.workstation.write(path, former, mode="600", owner="alice:alice")


def own_key(world: World) -> str:
    """Return the public half of the key that alice's tunnels use."""
    return world.workstation.read(f"/home/alice/{KEY}.pub").strip()


def fingerprint(host: Host, kind: str = "ed25519") -> str:
    """Return the fingerprint of one of a host's keys."""
    return host.sh(f"ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub").stdout.split()[1]


STRANGERS = {
    "sshd on both": "/usr/sbin/sshd -D -p 2222 -o PidFile=none -h /etc/ssh/ssh_host_ed25519_key",
    "sshd on IPv4": (
        "/usr/sbin/sshd -D -o ListenAddress=127.0.0.1:2222 -o PidFile=none -h /etc/ssh/ssh_host_ed25519_key"
    ),
    "web on IPv4": "python3 -m http.server --bind 127.0.0.1 2222",
    "web on IPv6": "python3 -m http.server --bind ::1 2222",
    "web on both": "python3 -m http.server --bind :: 2222",
}


@pytest.mark.parametrize("command", STRANGERS.values(), ids=STRANGERS)
def test_a_port_that_a_stranger_holds_is_left_to_it(command: str, desk: World) -> None:
    """Be it on one loopback address or both, be it SSH, another server or one that says nothing."""
    with listener(desk.bastion, command), untouched(desk.workstation):
        refused(setup(desk), "port-taken")


@pytest.mark.suites("bookworm")
def test_a_port_that_a_mute_stranger_holds_is_left_to_it(desk: World) -> None:
    """One that takes connections and says nothing takes its time, and is found out as well."""
    with listener(desk.bastion, "nc -dlk 127.0.0.1 2222"), untouched(desk.workstation):
        refused(setup(desk), "port-taken")


def test_a_key_that_may_not_dial_learns_who_holds_the_port(desk: World) -> None:
    """A stranger on the port is told from a bastion that forbids it, without dialling."""
    line = f'restrict,port-forwarding,permitopen="localhost:1" {own_key(desk)}'
    with authorized(desk.bastion, line), untouched(desk.workstation):
        with listener(desk.bastion, STRANGERS["web on both"]):
            refused(setup(desk), "port-taken")
        line = f'restrict,port-forwarding,permitlisten="localhost:1",permitopen="localhost:1" {own_key(desk)}'
        with authorized(desk.bastion, line):
            refused(setup(desk), "forwarding-refused")


@pytest.mark.parametrize(
    "options",
    ["AllowTcpForwarding no", "AllowTcpForwarding local", "DisableForwarding yes", "PermitListen 2223"],
)
def test_a_bastion_that_forbids_forwarding_is_found_out(options: str, desk: World) -> None:
    """Its setting is named, and nothing on the workstation is touched."""
    with sshd_options(desk.bastion, options), untouched(desk.workstation):
        refused(setup(desk), "forwarding-refused")


def test_a_key_for_another_port_is_found_out(desk: World) -> None:
    """A key whose line permits one port cannot hold another, and can hold its own."""
    options = 'restrict,port-forwarding,permitlisten="localhost:{0}",permitopen="localhost:2222"'
    line = f"{options} {own_key(desk)}"
    with authorized(desk.bastion, line.format(2223)), untouched(desk.workstation):
        refused(setup(desk), "forwarding-refused")
    with authorized(desk.bastion, line.format(2222)):
        assert verified(done(setup(desk)))
        assert status(desk)["level"] == "verified"


def test_a_key_that_may_not_dial_back_proves_nothing(desk: World) -> None:
    """The tunnel is undone, unless --accept-listening says that it will do."""
    line = f'restrict,port-forwarding,permitlisten="localhost:2222",permitopen="localhost:1" {own_key(desk)}'
    with authorized(desk.bastion, line):
        with untouched(desk.workstation):
            failed = setup(desk)
            assert (failed.status, slugs(failed)) == (50, ["not-proven"]), failed
        result = done(setup(desk, "--accept-listening"))
        assert "Listening, not proven" in result.stdout
        assert status(desk)["level"] == "listening"
        assert cli(desk, "status").status == 50
        assert visit(desk).stdout == "alice\nworkstation\n"
        assert "nothing to do" in done(setup(desk, "--accept-listening")).stdout


def test_a_dead_target_is_found_out(desk: World) -> None:
    """With the workstation's own sshd stopped there is nothing to lead to."""
    desk.workstation.sh("systemctl stop ssh")
    try:
        with untouched(desk.workstation):
            refused(setup(desk), "target-refused")
            refused(setup(desk, "--target", "localhost:7999"), "target-refused")
            refused(setup(desk, "--target", "nowhere.example:22"), "target-refused")
    finally:
        desk.workstation.sh("systemctl start ssh")


# The way to the bastion


def test_a_key_that_the_bastion_does_not_know(other_key: str, desk: World) -> None:
    """The key and the login are named; nothing is touched."""
    with untouched(desk.workstation):
        result = setup(desk, key=OTHER_KEY)
        refused(result, "key-not-accepted")
        assert OTHER_KEY in result.stderr
        assert "tunnel@bastion" in result.stderr


@pytest.mark.parametrize("bastion", ["nobody@bastion", "carol@bastion", "no.such-user@bastion", "bastion"])
def test_a_wrong_login(bastion: str, desk: World) -> None:
    """A user of the bastion who does not know the key, or does not exist."""
    with untouched(desk.workstation):
        refused(setup(desk, bastion=bastion), "key-not-accepted")


def test_an_unknown_host_key_is_not_trusted_by_itself(desk: World) -> None:
    """It takes a flag, or the right fingerprint; a wrong one is refused."""
    right = fingerprint(desk.bastion)
    rsa = fingerprint(desk.bastion, "rsa")
    wrong = fingerprint(desk.workstation)
    with known_hosts(desk, ""):
        with untouched(desk.workstation):
            result = setup(desk)
            refused(result, "host-key-unknown")
            assert right in result.stderr
            refused(setup(desk, "--host-key-fingerprint", wrong), "host-key-differs")
        assert verified(done(setup(desk, "--host-key-fingerprint", right)))
        assert desk.workstation.read("/home/alice/.ssh/known_hosts") == ""
        assert "nothing to do" in done(setup(desk)).stdout
        done(cli(desk, "remove", "-p", "2222"))
        assert verified(done(setup(desk, "--host-key-fingerprint", rsa)))
        done(cli(desk, "remove", "-p", "2222"))
        refused(setup(desk), "host-key-unknown")
        assert verified(done(setup(desk, "--accept-new-host-key")))
        pinned = desk.workstation.read(f"{WANTED.folder}/known_hosts")
        assert pinned.split()[2] in " ".join(desk.bastion.host_keys())


def test_a_changed_host_key_is_refused(desk: World) -> None:
    """Whatever the flags say: another machine may be answering."""
    strange = "".join(f"bastion {key}\n" for key in desk.client.host_keys())
    with known_hosts(desk, strange), untouched(desk.workstation):
        refused(setup(desk), "host-key-changed")
        refused(setup(desk, "--accept-new-host-key"), "host-key-changed")
        refused(setup(desk, "--host-key-fingerprint", fingerprint(desk.bastion)), "host-key-changed")


def test_a_hashed_and_a_ported_host_key_are_found(desk: World) -> None:
    """What ssh-keygen -H hid is read as ssh reads it."""
    path = "/home/alice/.ssh/known_hosts"
    with known_hosts(desk, desk.workstation.read(path)):
        desk.workstation.sh(f"ssh-keygen -q -H -f {path}; rm -f {path}.old", user="alice")
        assert verified(done(setup(desk)))


def test_a_bastion_that_does_not_answer_as_it_should(desk: World) -> None:
    """No name, no listener, not SSH, mute, hanging up: each has its own error."""
    with untouched(desk.workstation):
        refused(setup(desk, bastion="tunnel@nowhere.example"), "bastion-unresolved")
        refused(setup(desk, bastion="tunnel@bastion:2299"), "bastion-refused")
        refused(setup(desk, bastion="tunnel@203.0.113.250"), "bastion-unroutable")
        for command, slug in (
            ("python3 -m http.server 8022", "bastion-not-ssh"),
            ("nc -dlk 8022", "bastion-not-ssh"),
            ("sh -c 'while :; do nc -dlN 8022 -w 1 </dev/null; done'", "bastion-closed"),
        ):
            with listener(desk.bastion, command, 8022):
                refused(setup(desk, bastion="tunnel@bastion:8022"), slug)


def test_a_bastion_that_is_filtered(desk: World) -> None:
    """Silence is given up after a while, and called by its name."""
    silence(desk.bastion)
    try:
        with untouched(desk.workstation):
            began = time.monotonic()
            refused(setup(desk), "bastion-timeout")
            assert time.monotonic() - began < 12
    finally:
        unsilence(desk.bastion)


# A tunnel that works, and a change of it that does not


@contextmanager
def kept(world: World, *, running: bool = True) -> Iterator[None]:
    """Assert that the tunnel of before is there again: its bytes, its proof and, if asked, its process."""
    before, pid = world.workstation.tree(*OURS), main_pid(world.workstation, WANTED)
    yield
    assert world.workstation.tree(*OURS) == before
    if running:
        assert main_pid(world.workstation, WANTED) == pid
    wait_verified(world, timeout=10)
    assert visit(world).stdout == "alice\nworkstation\n"


def test_a_change_that_fails_beforehand_disturbs_nothing(other_key: str, desk: World) -> None:
    """Another key or bastion that does not let us in: the process that runs goes on."""
    done(setup(desk))
    with kept(desk):
        refused(setup(desk, key=OTHER_KEY), "key-not-accepted")
        refused(setup(desk, bastion="tunnel@nowhere.example"), "bastion-unresolved")
        refused(setup(desk, bastion="nobody@bastion"), "key-not-accepted")


@pytest.mark.suites("trixie")
@pytest.mark.parametrize("by", BACK_ENDS[1:], ids=lambda by: by.name)
def test_every_back_end_undoes_a_change(by: BackEnd, other_key: str, desk: World) -> None:
    """As the command does."""
    _change_that_cannot_be_proven(by, other_key, desk)


def test_a_change_that_cannot_be_proven_is_undone(other_key: str, desk: World) -> None:
    """The old configuration and the old proof are back."""
    _change_that_cannot_be_proven(BACK_ENDS[0], other_key, desk)


def _change_that_cannot_be_proven(by: BackEnd, other_key: str, desk: World) -> None:
    done(setup(desk))
    line = f'restrict,port-forwarding,permitopen="localhost:1" {other_key}'
    with authorized(desk.bastion, f"{own_key(desk)}\n{line}"), kept(desk, running=False):
        result = by.setup(desk, Wanted(key=OTHER_KEY))
        assert result.status != 0
        assert "[not-proven]" in result.stdout + result.stderr


# A failure in the middle


MIDDLE = {
    "full disk": (
        "mkdir /etc/scitex-ssh; mount -t tmpfs -o size=8k tmpfs /etc/scitex-ssh",
        "umount /etc/scitex-ssh; rmdir /etc/scitex-ssh",
        "disk-full",
    ),
    "read-only units": (
        "mount --bind /etc/systemd/system /etc/systemd/system;mount -o remount,ro,bind /etc/systemd/system",
        "umount /etc/systemd/system",
        "step-failed",
    ),
}


@pytest.mark.parametrize("harm", MIDDLE.values(), ids=MIDDLE)
def test_a_failure_half_way_is_undone(harm: tuple[str, str, str], desk: World) -> None:
    """Where files cannot be written, those that could be are gone again."""
    begin, end, slug = harm
    with untouched(desk.workstation):
        desk.workstation.sh(begin)
        result = setup(desk)
        desk.workstation.sh(end)
        assert slugs(result) == [slug], result
        assert result.status == 1
        assert "restored      what was there before" in result.stdout


INTERRUPTIONS = {
    "INT to all, as a terminal does": "pkill -INT -f '[s]citex-ssh'",
    "INT to the command": "pkill -INT -o -f '[s]citex-ssh setup'",
    "TERM to the command": "pkill -TERM -o -f '[s]citex-ssh setup'",
}
# Without a session's su between, which would have signals of its own mind.
AS_ALICE = "exec setpriv --reuid alice --regid alice --init-groups env HOME=/home/alice USER=alice"


@pytest.mark.parametrize("kill", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
@pytest.mark.parametrize("former", [False, True], ids=["nothing before", "a tunnel before"])
def test_an_interruption_puts_back_what_was_there(kill: str, former: bool, desk: World) -> None:
    """A signal during the proof: nothing where there was nothing, the old tunnel where there was one."""
    if former:
        done(setup(desk))
    before = desk.workstation.tree(*OURS)
    command = f"{AS_ALICE} {PYZ} setup {join(WANTED.argv)} --keepalive patient"
    with desk.workstation.popen(command) as running:
        # The bastion stops as soon as the new files are there, so that the proof takes its time.
        desk.workstation.wait_for(f"grep -q patient {WANTED.folder}/ssh_config", 20, 0.02)
        freeze(desk.bastion)
        try:
            time.sleep(0.3)
            desk.workstation.sh(kill)
            time.sleep(0.3)
        finally:
            thaw(desk.bastion)
        out, err = running.communicate(timeout=40)
    assert (running.returncode, err.count("[interrupted]")) == (130, 1), (running.returncode, out, err)
    assert desk.workstation.tree(*OURS) == before
    look = "ls -d /tmp/*scitex* /run/scitex-ssh; pgrep -af '[s]citex-ssh setup'"
    left = desk.workstation.sh(look, check=False)
    assert left.stdout == ("/run/scitex-ssh\n" if former else "")
    if former:
        wait_verified(desk, timeout=15)
