"""A bastion from a plain machine: hosts are let in, hold their port, and are cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from shlex import quote
from typing import Any

import pytest

from scitex_ssh.bastion import bastion_program

from .hosts import Host
from .shell import Result
from .tunnels import PYZ, Traces, cli, done, pyz, refused, same, slugs, status, traces, verified
from .world import KEY, World

SCRIPT = "/usr/local/share/bastion.sh"
DROP_IN = "/etc/ssh/sshd_config.d/10-scitex-ssh.conf"


def gate(host: Host, *words: str, user: str = "root") -> Result:
    """Ask the bastion's command for something."""
    return host.sh(" ".join(map(quote, (PYZ, "bastion", *words))), user=user, check=False, timeout=60)


def script(host: Host, *words: str, user: str = "root") -> Result:
    """Ask the same of its script."""
    return host.sh(" ".join(map(quote, ("sh", SCRIPT, *words))), user=user, check=False, timeout=60)


def raw(result: Result) -> Any:
    """The JSON that a command printed."""
    return json.loads(result.stdout)


@pytest.fixture
def gatehouse(desk: World) -> Iterator[World]:
    """Give a world whose bastion has the command and the script, and take away what a test leaves on it."""
    bastion = desk.bastion
    if not bastion.exists(PYZ):
        bastion.copy_in(pyz(), PYZ)
        bastion.write(SCRIPT, bastion_program())
    yield desk
    clear(bastion)


def clear(bastion: Host) -> None:
    """Take every host and sshd's part away by force."""
    bastion.sh(
        f"""
        rm -rf /etc/ssh/scitex-ssh {DROP_IN} /etc/systemd/system/user-*.slice.d /usr/local/lib/scitex-ssh
        sed -i '/^# BEGIN scitex-ssh$/,/^# END scitex-ssh$/d' /etc/ssh/sshd_config
        for user in $(getent passwd | sed -n 's/^\\(t-[a-z0-9-]*\\|scitex-ssh\\):.*/\\1/p'); do
            for i in 1 2 3 4 5 6 7 8 9 10; do
                pkill -KILL -u "$user"
                userdel "$user" 2>/dev/null && break
                sleep 0.5
            done
        done
        systemctl reset-failed 'user@*'
        groupdel scitex-ssh 2>/dev/null
        rm -rf /var/lib/scitex-ssh
        sshd -t && systemctl reload ssh && systemctl daemon-reload
        sleep 0.5
        """,
        check=False,
    )


def key_of(world: World) -> str:
    """The public key of alice on the workstation."""
    return world.workstation.read(f"/home/alice/{KEY}.pub").strip()


def seen(bastion: Host) -> Traces:
    """What is there, without the copies that useradd keeps of the files before its last change."""
    found = traces(bastion)
    copies = ("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-")
    return replace(found, files={path: each for path, each in found.files.items() if path not in copies})


def test_a_host_is_let_in_holds_its_port_and_is_cut_off(gatehouse: World) -> None:
    """From a plain machine to a proven tunnel, each step once; revoked, nothing of the host is left."""
    bastion, key = gatehouse.bastion, key_of(gatehouse)
    changed = done(gate(bastion, "setup")).stdout
    assert f"changed       file {DROP_IN}\n" in changed
    assert done(gate(bastion, "setup")).stdout == "ok            nothing to do\n"
    assert done(script(bastion, "setup")).stdout == "ok            nothing to do\n"
    before = seen(bastion)
    (host,) = raw(gate(bastion, "authorize", "lab1", "-k", key, "--json"))["hosts"]
    (port,) = host["ports"]
    assert 20000 <= port < 30000
    again = raw(gate(bastion, "authorize", "lab1", "-k", key, "--json"))
    assert (again["changed"], again["hosts"]) == (False, [host])
    assert "nothing to do" in done(script(bastion, "authorize", "lab1", "-k", key)).stdout
    assert gate(bastion, "status").status == 50

    flags = ("-p", str(port), "-b", "t-lab1@bastion", "-s", f"~/{KEY}")
    assert verified(done(cli(gatehouse, "setup", *flags)))
    assert status(gatehouse, port)["take_back"] == "hold"
    assert raw(done(gate(bastion, "status", "--json")))["hosts"] == [{**host, "holds": [port]}]
    # What a stolen key could take of the machine has an end, and systemd has heard of it.
    limits = bastion.sh("systemctl show -p TasksMax -p MemoryMax user-$(id -u t-lab1).slice").stdout.split()
    assert sorted(limits) == ["MemoryMax=268435456", "TasksMax=64"]

    done(gate(bastion, "revoke", "lab1"))
    # Cut, and not let in again.
    assert bastion.sh(f"ss -Hltn 'sport = :{port}'").stdout == ""
    refused(cli(gatehouse, "setup", "-p", str(port + 1), *flags[2:]), "key-not-accepted")
    assert raw(gate(bastion, "list", "--json"))["hosts"] == []
    same(seen(bastion), before)
    refused(gate(bastion, "revoke", "lab1"), "no-such-host")


def test_the_operator_is_never_locked_out(gatehouse: World) -> None:
    """Whatever keeps sshd from its part, it runs as before, and the cause is named."""
    bastion = gatehouse.bastion
    hindrances = [
        ("AllowUsers carol tunnel", "allowusers carol"),
        ("Match Group scitex-ssh\n  PermitTTY yes", "PermitTTY"),
        ("Bogus yes", "Bogus"),
    ]
    for text, cause in hindrances:
        bastion.write("/etc/ssh/sshd_config.d/05-other.conf", f"{text}\n")
        result = gate(bastion, "setup")
        assert slugs(result) == ["sshd-refused"], result
        assert cause in result.stderr
        assert not bastion.exists(DROP_IN)
        bastion.sh("rm /etc/ssh/sshd_config.d/05-other.conf; systemctl is-active -q ssh")
    done(gatehouse.client.sh("ssh -o BatchMode=yes carol@bastion true", user="carol", check=False))
    refused(gate(bastion, "authorize", "lab1", "-k", key_of(gatehouse)), "bastion-not-ready")
    # What a failed run still owes is done by the next one.
    assert "sshd runs with it" in done(gate(bastion, "setup")).stdout


@pytest.mark.suites("bookworm")
def test_without_drop_ins_the_part_stands_in_marked_blocks(gatehouse: World) -> None:
    """An sshd_config that includes nothing is changed at both ends, and locks the accounts just the same."""
    bastion = gatehouse.bastion
    former = bastion.read("/etc/ssh/sshd_config")
    bastion.sh("sed -i 's/^Include/#Include/' /etc/ssh/sshd_config")
    try:
        done(gate(bastion, "setup"))
        assert done(gate(bastion, "setup")).stdout == "ok            nothing to do\n"
        now = bastion.read("/etc/ssh/sshd_config")
        assert now.startswith("# BEGIN scitex-ssh\n")
        assert now.endswith("Match all\n# END scitex-ssh\n")
        done(gate(bastion, "authorize", "lab1", "-k", key_of(gatehouse)))
        said = bastion.sh("sshd -T -C user=t-lab1,host=x,addr=127.0.0.1").stdout
        assert "authorizedkeysfile /etc/ssh/scitex-ssh/%u\n" in said
        done(gate(bastion, "setup", "--hosts", "300"))
        assert bastion.read("/etc/ssh/sshd_config").count("# BEGIN scitex-ssh\n") == 2
    finally:
        bastion.write("/etc/ssh/sshd_config", former)


@pytest.mark.suites("bookworm")
def test_misuse_is_told_and_touches_nothing(gatehouse: World) -> None:
    """Names, ports and keys that cannot be right, and what belongs to others."""
    bastion, key = gatehouse.bastion, key_of(gatehouse)
    done(gate(bastion, "setup"))
    done(gate(bastion, "authorize", "lab1", "-p", "2301", "-k", key))
    bastion.sh("useradd t-lab3")
    try:
        before = seen(bastion)
        for words, slug in [
            (("authorize", "Bad", "-p", "2302", "-k", key), "bad-host"),
            (("authorize", "lab2", "-p", "x", "-k", key), "bad-port"),
            (("authorize", "lab2", "-p", "22", "-k", key), "port-privileged"),
            (("authorize", "lab2", "-p", "2302"), "missing-field"),
            (("authorize", "lab2", "-p", "2302", "-k", "ssh-ed25519 AAAA"), "bad-public-key"),
            (("authorize", "lab2", "-p", "2301", "-k", key), "port-of-other"),
            (("authorize", "lab2", "-p", "40000", "-k", key), "port-ephemeral"),
            (("authorize", "lab3", "-p", "2302", "-k", key), "account-foreign"),
            (("revoke", "lab2"), "no-such-host"),
        ]:
            refused(gate(bastion, *words), slug)
            assert slugs(script(bastion, *words)) == [slug]
        same(seen(bastion), before)
    finally:
        bastion.sh("userdel t-lab3")


@pytest.mark.suites("bookworm")
def test_a_plain_account_does_what_it_can(gatehouse: World) -> None:
    """Without root: a line in its own file, held to the same limits; others' lines stay as they are."""
    bastion, keys = gatehouse.bastion, "/home/tunnel/.ssh/authorized_keys"
    former = bastion.read(keys)
    refused(
        gate(bastion, "authorize", "lab1", "-k", key_of(gatehouse), "--plain", user="tunnel"), "key-elsewhere"
    )
    gatehouse.workstation.sh("rm -f /home/alice/.ssh/plain*")
    key = gatehouse.workstation.make_key("alice", "/home/alice/.ssh/plain")
    done(gate(bastion, "authorize", "lab1", "-p", "2303", "-k", key, "--plain", user="tunnel"))
    assert bastion.read(keys).startswith(former)
    assert verified(done(cli(gatehouse, "setup", "-p", "2303", "-b", "tunnel@bastion", "-s", "~/.ssh/plain")))
    assert status(gatehouse, 2303)["take_back"] == "hold"
    shell = gatehouse.workstation.sh("ssh -i ~/.ssh/plain tunnel@bastion id", user="alice", check=False)
    assert (shell.status, shell.stdout) == (1, "")
    done(gate(bastion, "revoke", "lab1", "--plain", user="tunnel"))
    assert bastion.read(keys) == former
    assert bastion.sh("ss -Hltn 'sport = :2303'").stdout == ""
