"""A whole fleet on this machine, in namespaces of its own: accounts for hosts, sshd for all of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyinfra")

from scitex_ssh.errors import CATALOGUE

CHECKOUT = Path(__file__).parents[2]
TOOLS = ("unshare", "sshd", "useradd", "ip")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="not root: it mounts"),
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}"),
]

# Whatever is written to the folders of the system goes to a tmpfs, and with the namespace.
STAGE = """
set -eu
ip link set lo up
mount -t tmpfs none /mnt
for folder in etc var home root run usr/local/lib; do
    kept=/mnt/$(echo $folder | tr / _)
    mkdir -p $kept.now $kept.work
    mount -t overlay overlay -o lowerdir=/$folder,upperdir=$kept.now,workdir=$kept.work /$folder || exit 77
done
mkdir -p /run/sshd
# What root's shell does here at each login is this machine's affair, and may take long.
rm -f /root/.bashrc /root/.bash_profile /root/.bash_login /root/.profile
rm -rf /etc/ssh/sshd_config.d/* /run/sshd.pid /root/.ssh /etc/ssh/ssh_host_* /run/systemd/system
printf 'Include /etc/ssh/sshd_config.d/*.conf\\nUsePAM no\\nMaxStartups 100\\n' >/etc/ssh/sshd_config
ssh-keygen -q -A >/dev/null
ssh-keygen -q -t ed25519 -N '' -f /mnt/id
let_in() { install -d -m 700 -o $1 $2/.ssh; cp /mnt/id.pub $2/.ssh/authorized_keys; chown $1 $2/.ssh/*; }
for user in h1 h2; do useradd -m -s /bin/sh -p '*' $user; let_in $user /home/$user; done
let_in root /root
"$(command -v sshd)" -E /mnt/sshd.log -o LogLevel=VERBOSE
for i in 1 2 3 4 5 6 7 8 9 10; do ssh-keyscan -T 1 127.0.0.1 >/dev/null 2>&1 && break; sleep 0.2; done
for key in /etc/ssh/ssh_host_*_key.pub; do echo "127.0.0.1 $(cut -d' ' -f1,2 $key)"; done >/mnt/known
cat >/mnt/fleet.yaml <<'YAML'
bastions:
  gw: {ssh: root@127.0.0.1, address: localhost}
hosts:
  h1: {ssh: h1@127.0.0.1, tunnels: [{keeper: nohup}]}
  h2: {ssh: h2@127.0.0.1, tunnels: [{keeper: nohup}, {keeper: nohup, target: "127.0.0.1:22"}]}
defaults: {ssh_key: id, known_hosts: known}
YAML
cat >/mnt/by_name.py <<'PYTHON'
login = {"ssh_key": "/mnt/id", "ssh_known_hosts_file": "/mnt/known"}
gate = {"ssh_hostname": "127.0.0.1", "ssh_user": "root", "bastion_address": "localhost"}
bastions = ([("gw", gate)], login)
tunnel = {"keeper": "nohup"}
hosts = (
    [
        ("h1", {"tunnels": [tunnel]}),
        ("h2", {"tunnels": [tunnel, {**tunnel, "target": "127.0.0.1:22"}]}),
    ],
    {"ssh_key": "/mnt/id"},
)
PYTHON
export HOME=/root
fleet() { "$python" -m scitex_ssh fleet "$@"; }
deploy() { "$python" -m pyinfra -y "$@" 2>&1; }
# What sshd was asked to execute since the last call, by account.
executed() {
    sed -n 's/.*Starting session: command for \\([a-z0-9-]*\\) from .*/\\1/p' /mnt/sshd.log | sort | uniq -c |
        tr -s ' ' | tr '\\n' ';'
    : >/mnt/sshd.log
}
"""


def played(script: str) -> str:
    """What a script says in such a place; it must succeed."""
    done = subprocess.run(
        ["unshare", "-m", "-n", "-p", "--fork", "--kill-child", "--mount-proc", "sh", "-c", STAGE + script],
        cwd=CHECKOUT,
        env={**os.environ, "python": sys.executable, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode == 77:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_from_nothing_to_names_and_one_execution_when_nothing_is_due() -> None:
    """Five at most on the first run, whatever the number of tunnels; a plan then shows nothing."""
    said = played(
        """
        : >/mnt/sshd.log
        fleet plan /mnt/fleet.yaml >/mnt/plan; echo "planned: $(executed)"
        grep -c would-change /mnt/plan
        fleet apply /mnt/fleet.yaml >/dev/null; echo "first: $(executed)"
        for name in h1 h2; do ssh -o BatchMode=yes $name id -un; done
        executed >/dev/null
        fleet apply /mnt/fleet.yaml; echo "again: $(executed)"
        fleet plan /mnt/fleet.yaml
        fleet status /mnt/fleet.yaml --json >/mnt/status.json
        cat /mnt/status.json
        """
    )
    lines = said.splitlines()
    assert lines[0] == "planned:  1 h1; 1 h2; 1 root;"
    # The tunnels' own words are those of the accounts of the bastion.
    assert lines[2].startswith("first:  4 h1; 4 h2; 5 root;"), lines[2]
    assert lines[3:5] == ["h1", "h2"]
    again = next(line for line in lines if line.startswith("again:"))
    assert again == "again:  1 h1; 1 h2; 1 root;"
    assert not [line for line in lines if line.startswith("changed")]
    assert "Nothing would change." in lines
    seen = json.loads(said[said.index("{\n") :])
    levels = [each["level"] for machine in seen["machines"] for each in machine["tunnels"]]
    assert levels == ["verified"] * 3


def test_a_run_ends_by_itself() -> None:
    """At once, with its status, and without a connection left: neither to hosts, nor to one jumped over."""
    said = played(
        """
        cat >/root/.ssh/config <<'CONFIG'
Host behind
    HostName 127.0.0.1
    User h1
    ProxyJump h2@127.0.0.1
Host *
    IdentityFile /mnt/id
CONFIG
        cp /mnt/known /root/.ssh/known_hosts
        sed -i 's/^  h1: {.*/  behind: {ssh: behind, tunnels: [{keeper: nohup}]}/' /mnt/fleet.yaml
        sed -i 's/^hosts:/hosts:\\n  gone: {ssh: "h1@127.0.0.1:2"}/' /mnt/fleet.yaml
        cat >/mnt/run.py <<'PYTHON'
import sys
from scitex_ssh.cli import main
status = main()
from paramiko import transport
print("open:", len(transport._active_threads), file=sys.stderr)
print(status, file=sys.stderr, flush=True)
sys.exit(status)
PYTHON
        "$python" /mnt/run.py fleet apply /mnt/fleet.yaml 2>/mnt/said >/dev/null &
        pid=$!
        until grep -q '^[0-9]*$' /mnt/said; do kill -0 $pid && sleep 0.1; done
        for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; kill -0 $pid 2>/dev/null || break; done
        kill -KILL $pid 2>/dev/null && echo "it stays"
        wait $pid || echo "ended with $?"
        cat /mnt/said
        PYTHONUNBUFFERED=1 deploy /mnt/by_name.py deploys/status.py >/mnt/table 2>/dev/null &
        pid=$!
        until grep -q '^HOST' /mnt/table; do kill -0 $pid && sleep 0.1; done
        # A second for each of its machines would be too long.
        for i in 1 2 3 4; do sleep 0.5; kill -0 $pid 2>/dev/null || break; done
        kill -KILL $pid 2>/dev/null && echo "it stays"
        wait $pid && echo "well" || echo "deploy ended with $?"
        """
    )
    assert "it stays" not in said
    assert "open: 0\n" in said
    assert f"ended with {int(CATALOGUE['fleet-incomplete'].status)}\n" in said
    assert "3 of 4 machines went well; not reached: gone." in said


def test_keys_and_host_keys_are_renewed_through_the_tunnels_themselves() -> None:
    """By names alone; nobody is locked out, and nothing old is let in any more."""
    said = played(
        """
        fleet apply /mnt/fleet.yaml >/dev/null
        cut -d' ' -f2 /home/h?/.ssh/scitex-ssh_ed25519.pub >/mnt/former
        deploy /mnt/by_name.py deploys/rotate.py >/mnt/said || { cat /mnt/said; exit 1; }
        cat /mnt/said
        ls /home/h1/.ssh
        grep -cFf /mnt/former /etc/ssh/scitex-ssh/t-h1 || :
        cut -d' ' -f2 /home/h?/.ssh/scitex-ssh_ed25519.pub >/mnt/now
        cat /etc/ssh/scitex-ssh/t-h? | grep -cFf /mnt/now
        for name in h1 h2; do ssh -o BatchMode=yes $name id -un; done

        cat /etc/ssh/ssh_host_*_key.pub | cut -d' ' -f2 >/mnt/former
        rotate="--data rotate=host_keys"
        deploy $rotate /mnt/by_name.py deploys/rotate.py >/mnt/said || { cat /mnt/said; exit 1; }
        tail -n 1 /mnt/said
        cat /etc/ssh/ssh_host_*_key.pub /mnt/known /root/.ssh/scitex-ssh/*gw.known_hosts >/mnt/shown
        grep -Ff /mnt/former /mnt/shown && exit 1
        deploy /mnt/by_name.py deploys/fleet.py | tail -n 1
        fleet status /mnt/fleet.yaml >/dev/null
        """
    )
    assert "the connection went with what was changed" in said
    assert "3 of 3 machines went well" in said
    assert "scitex-ssh_ed25519.former" not in said
    assert "scitex-ssh_ed25519.next" not in said
    assert "\n0\n2\nh1\nh2\n" in said, said


def test_what_is_removed_leaves_nothing_and_a_host_that_is_down_stops_nobody() -> None:
    """The last line names it, and the exit status says so."""
    said = played(
        """
        sed -i 's/^hosts:/hosts:\\n  gone: {ssh: "h1@127.0.0.1:2"}/' /mnt/fleet.yaml
        fleet apply /mnt/fleet.yaml 2>&1 >/dev/null && exit 1
        fleet status /mnt/fleet.yaml || echo "status $?"
        # By another way than the tunnels that go.
        cat >/mnt/direct.py <<'PYTHON'
exec(open("/mnt/by_name.py").read())
way = {"ssh_hostname": "127.0.0.1", **login}
hosts = [(name, {**data, **way, "ssh_user": name}) for name, data in hosts[0]]
PYTHON
        deploy /mnt/direct.py deploys/remove.py | tail -n 1
        echo "let in: $(ls /etc/ssh/scitex-ssh)."
        ls /home/h1/.config/scitex-ssh 2>&1 || :
        cat /root/.ssh/scitex-ssh/config
        """
    )
    assert "3 of 4 machines went well; not reached: gone." in said
    assert "gone  -       unreached" in said
    assert "status 50" in said
    assert "3 of 3 machines went well" in said
    assert "/home/h1/.config/scitex-ssh': No such file" in said
    assert "let in: .\n" in said
    assert "Host h" not in said


def test_hosts_that_are_this_machine_a_chroot_or_behind_a_jump() -> None:
    """pyinfra's other connectors, and ssh's own way over a jump host: all get a tunnel and a name."""
    said = played(
        """
        mkdir /mnt/far && mount --rbind / /mnt/far
        cat >/root/.ssh/config <<'CONFIG'
Host behind
    HostName 127.0.0.1
    User h1
    ProxyJump h2@127.0.0.1
Host *
    IdentityFile /mnt/id
CONFIG
        cp /mnt/known /root/.ssh/known_hosts
        cat >/mnt/ways.py <<'PYTHON'
gate = {"ssh_hostname": "127.0.0.1", "ssh_user": "root", "ssh_key": "/mnt/id", "bastion_address": "localhost"}
bastions = ([("gw", gate)], {})
_far, _behind = ("@chroot//mnt/far", {"key": "/root/.ssh/far"}), ("behind", {"host_name": "h1"})
hosts = ([_far, _behind], {"tunnels": [{"keeper": "nohup"}]})
PYTHON
        sed 's/\\[_far, _behind\\]/["@local"]/' /mnt/ways.py >/mnt/here.py
        deploy /mnt/ways.py deploys/fleet.py | tail -n 1
        deploy /mnt/here.py deploys/fleet.py | tail -n 1
        for name in chroot-mnt-far h1 local; do ssh -o BatchMode=yes $name id -un; done
        ls /root/.ssh/far.pub /root/.ssh/scitex-ssh_ed25519.pub
        deploy /mnt/ways.py deploys/fleet.py | grep -c 'No changes'
        """
    )
    well = ["--> 3 of 3 machines went well", "--> 2 of 2 machines went well"]
    keys = ["/root/.ssh/far.pub", "/root/.ssh/scitex-ssh_ed25519.pub"]
    assert said.splitlines() == [*well, "root", "h1", "root", *keys, "8"]


def test_what_would_be_the_last_way_is_not_removed_unasked() -> None:
    """Through the tunnels that would go, nothing is touched; asked for, all goes, as the bastion proves."""
    said = played(
        """
        fleet apply /mnt/fleet.yaml >/dev/null
        deploy /mnt/by_name.py deploys/remove.py >/mnt/said && exit 1
        cat /mnt/said
        fleet status /mnt/fleet.yaml >/dev/null
        began=$(date +%s)
        deploy --data last_way=true /mnt/by_name.py deploys/remove.py >/mnt/said || { cat /mnt/said; exit 1; }
        cat /mnt/said
        echo "within a minute: $(($(date +%s) - began < 60))"
        echo "let in: $(ls /etc/ssh/scitex-ssh)."
        for i in 1 2 3 4 5; do [ -e /home/h1/.config/scitex-ssh ] || break; sleep 1; done
        ls /home/h1/.config/scitex-ssh /home/h2/.config/scitex-ssh 2>&1 || :
        """
    )
    assert "h1, h2 would be out of reach" in said
    assert "[last-way]" in said
    assert "Traceback" not in said
    assert said.count("3 of 3 machines went well") == 1, said
    assert "within a minute: 1" in said
    assert "let in: .\n" in said
    assert said.count("No such file") == 2
