"""Doctor names the cause: each fault is injected for real, and only its own slug may come back.

The right causes over the injected faults, of this file and of test_doctor_own.py, are printed at the end:
score.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from .doctor_faults import FAULTS, KEY, NEW, STANDING, WANTED, Fault
from .faults import silence, unsilence
from .hosts import Host
from .test_rollback import authorized, own_key
from .tunnels import PYZ, Wanted, as_alice, cli, done
from .world import World

pytestmark = pytest.mark.suites("bookworm")


@contextmanager
def _injected(host: Host, fault: Fault) -> Iterator[None]:
    host.sh(fault.inject)
    try:
        yield
    finally:
        host.sh(fault.cure, check=False)


def _stand(desk: World, fault: Fault) -> None:
    if fault.standing:
        done(cli(desk, "setup", *WANTED.argv, *fault.flags))


@pytest.mark.fault
@pytest.mark.parametrize("name", FAULTS)
def test_doctor_names_the_cause_alone_and_first(desk: World, name: str) -> None:
    """Exactly one check fails, with this fault's slug; all behind it are not reached."""
    fault = FAULTS[name]
    with ExitStack() as stack:
        _stand(desk, fault)
        stack.enter_context(_injected(getattr(desk, fault.host), fault))
        result = cli(desk, "doctor", *fault.asked, "--json")
    checks = json.loads(result.stdout)["checks"]
    found = [(check["verdict"], check["slug"]) for check in checks if check["slug"]]
    assert found == [(fault.verdict, fault.slug)], result.stdout
    assert fault.seen in result.stdout
    assert not any("?" in (check["sentence"] or "") for check in checks)
    if fault.verdict == "warning":
        assert result.status == 0
        return
    assert result.status == 50
    verdicts = [check["verdict"] for check in checks if check["verdict"] != "warning"]
    behind = verdicts[verdicts.index("failed") + 1 :]
    assert set(behind) <= {"not-reached", "ok"}


def test_doctor_finds_nothing_where_nothing_is_wrong(desk: World) -> None:
    """A tunnel that works has no check that failed, and exit status 0."""
    done(cli(desk, "setup", *WANTED.argv))
    result = cli(desk, "doctor", *STANDING, "--json")
    checks = json.loads(result.stdout)["checks"]
    assert {check["verdict"] for check in checks} == {"ok"}, result.stdout
    assert result.status == 0


@pytest.mark.fault
def test_doctor_tells_a_filtered_port_from_a_closed_one(desk: World) -> None:
    """A bastion that drops packets is a time-out, and said to be one."""
    silence(desk.bastion)
    try:
        result = cli(desk, "doctor", *NEW, "--json")
    finally:
        unsilence(desk.bastion)
    checks = json.loads(result.stdout)["checks"]
    assert [check["slug"] for check in checks if check["slug"]] == ["bastion-timeout"]


def test_doctor_changes_nothing(desk: World) -> None:
    """The files of the host are the same after it, and no connection of its own is left."""
    done(cli(desk, "setup", *WANTED.argv))
    before = desk.workstation.tree("/etc", "/home", "/tmp")
    cli(desk, "doctor", *STANDING)
    assert desk.workstation.tree("/etc", "/home", "/tmp") == before
    masters = desk.workstation.sh("ps -eo args | grep '[C]ontrolMaster=yes'", check=False).stdout
    assert masters == ""


@pytest.mark.fault(harmless=True)
def test_doctor_is_not_misled_by_what_does_not_matter(desk: World) -> None:
    """No HOME, an agent full of keys, and an ssh_config that would break any tunnel: nothing is wrong."""
    lines = ("Host *", "ControlMaster auto", "ControlPath ~/.ssh/%C", "RemoteForward 2222 localhost:22")
    config = "\n".join((*lines, "ProxyCommand false", ""))
    desk.workstation.write("/home/alice/.ssh/config", config, owner="alice:alice")
    script = f"""
        eval "$(ssh-agent)" >/dev/null
        for key in /tmp/many-1 /tmp/many-2 /tmp/many-3 /tmp/many-4 /tmp/many-5 /tmp/many-6 /tmp/many-7; do
            ssh-keygen -q -t ed25519 -N '' -f $key
            ssh-add -q $key
        done
        [ "$(ssh-add -l | wc -l)" = 7 ] || exit 99
        ssh -o ConnectTimeout=3 bastion true 2>/dev/null && exit 98
        env -u HOME {PYZ} doctor {" ".join(NEW)} --json
        code=$?
        kill "$SSH_AGENT_PID"
        rm /tmp/many-*
        exit $code
    """
    try:
        result = desk.workstation.sh(script, user="alice", check=False, timeout=60)
    finally:
        desk.workstation.sh("rm /home/alice/.ssh/config")
    checks = json.loads(result.stdout)["checks"]
    assert result.status == 0, result.stdout
    (own,) = (check for check in checks if check["name"] == "own")
    assert {"proxycommand", "controlmaster", "remoteforward"} <= set(own["evidence"].replace(",", "").split())


@pytest.mark.fault
def test_a_copied_disk_is_found_out(desk: World) -> None:
    """A machine with the same host key holds the port: the answer is right, and yet not from here."""
    desk.client.write("/root/hk", desk.workstation.sh("cat /etc/ssh/ssh_host_ed25519_key").stdout, mode="600")
    desk.client.sh("systemd-run -q -u clone /usr/sbin/sshd -D -p 2200 -o PidFile=none -h /root/hk")
    ssh = "ssh -o BatchMode=yes -N -R 2222:localhost:2200 carol@bastion"
    desk.client.sh(f"systemd-run -q --uid=carol -u holder {ssh}")
    try:
        desk.bastion.wait_for("ssh-keyscan -p 2222 localhost 2>/dev/null | grep .")
        assert _only(cli(desk, "doctor", *NEW, "--json")) == "cloned-host"
    finally:
        desk.client.sh("systemctl stop holder clone; rm /root/hk")


@pytest.mark.fault
def test_a_stale_session_of_our_own_is_told_from_a_stranger(desk: World) -> None:
    """An ssh of this very key that is frozen holds the port; doctor says so, and does not end it."""
    done(cli(desk, "setup", *WANTED.argv))
    desk.workstation.sh(
        f"cp -r {WANTED.folder} /tmp/stale; sed -i 's|{WANTED.folder}|/tmp/stale|' /tmp/stale/ssh_config"
    )
    done(cli(desk, "remove", "-p", "2222"))
    desk.workstation.sh("systemd-run -q --uid=alice -u stale ssh -n -T -F /tmp/stale/ssh_config hold")
    held = "ss -Hltn 'sport = :2222' | grep ."
    try:
        desk.bastion.wait_for(held)
        desk.workstation.sh("systemctl kill -s STOP stale")
        assert _only(cli(desk, "doctor", *NEW, "--json")) == "port-stale"
        desk.bastion.sh(held)
    finally:
        desk.workstation.sh("systemctl kill -s KILL stale; rm -r /tmp/stale")


@pytest.mark.fault
def test_a_bastion_that_ends_idle_connections_is_found_out(desk: World) -> None:
    """UnusedConnectionTimeout ends a tunnel whose key may run no command, over and over."""
    line = own_key(desk)
    done(cli(desk, "setup", *WANTED.argv))
    conf = "/etc/ssh/sshd_config.d/fault.conf"
    with authorized(desk.bastion, f'command="/bin/false" {line}'):
        desk.bastion.sh(
            f"echo 'UnusedConnectionTimeout 3' >{conf}; systemctl reload ssh; pkill -u tunnel sshd"
        )
        try:
            desk.workstation.wait_for("grep -qE '^lasted [0-9]+ [0-9]+' /run/scitex-ssh/2222/state", 60)
            assert _only(cli(desk, "doctor", *STANDING, "--json")) == "connection-ended"
        finally:
            desk.bastion.sh(f"rm {conf}; systemctl reload ssh")


@pytest.mark.fault
@pytest.mark.suites("trixie")
def test_a_penalty_is_told_from_a_closed_door(desk: World) -> None:
    """An sshd from 9.8 on that holds failed logins against this address says so."""
    desk.bastion.sh(
        "cd /etc/ssh/sshd_config.d; mv forgive.conf forgive.away; "
        "echo 'PerSourcePenalties authfail:60s min:1s' >fault.conf; systemctl restart ssh"
    )
    try:
        for _ in range(2):
            as_alice(desk, "ssh", "-o", "BatchMode=yes", "nobody@bastion")
        assert _only(cli(desk, "doctor", *NEW, "--json")) == "bastion-penalty"
    finally:
        desk.bastion.sh(
            "cd /etc/ssh/sshd_config.d; mv forgive.away forgive.conf; rm fault.conf; systemctl restart ssh"
        )


def _only(result: Any) -> str:
    """The one thing that doctor found."""
    checks = json.loads(result.stdout)["checks"]
    (found,) = [check["slug"] for check in checks if check["slug"]]
    return str(found)


def test_a_bundle_for_support_holds_no_secret(desk: World) -> None:
    """Of two tunnels, one with hooks: everything that helps is in it, and nothing that opens a door."""
    hook = "echo up; sleep 55; : --token=t0ken-of-a-service-1"
    done(cli(desk, "setup", *WANTED.argv, "--on-up", hook))
    done(cli(desk, "setup", *Wanted(2223).argv))
    folder = "/etc/systemd/system/autossh-tunnel-2223.service.d"
    desk.workstation.sh(
        f"mkdir {folder}; printf '[Service]\\nEnvironment=TOKEN=t0ken-of-a-drop-in-2\\n' >{folder}/own.conf; "
        "systemctl daemon-reload"
    )
    try:
        result = cli(desk, "doctor", *STANDING, "--bundle", "support.tar.gz")
        assert result.status == 0, result
        mode, *names = as_alice(
            desk, "sh", "-c", "stat -c %a support.tar.gz; tar -tf support.tar.gz | sed 's|^[^/]*/||'"
        ).stdout.split()
        texts = as_alice(desk, "sh", "-c", "tar -xOf support.tar.gz").stdout
    finally:
        desk.workstation.sh(f"rm -rf {folder} /home/alice/support.tar.gz; systemctl daemon-reload")
    each = ("ssh_config", "known_hosts", "tunnel.json", "unit.txt", "status.txt", "journal.txt", "state.txt")
    tunnels = {f"tunnels/{port}/{name}" for port in (2222, 2223) for name in each}
    general = {"README.txt", "doctor.txt", "doctor.json", "status.json", "versions.txt"}
    assert (mode, set(names)) == ("600", general | tunnels)
    assert "ActiveState=active" in texts
    key = desk.workstation.read(KEY).splitlines()[1:-1]
    for secret in ("t0ken", "PRIVATE KEY", *key):
        assert secret not in texts
