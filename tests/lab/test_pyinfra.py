"""A fleet: what pyinfra shows, changes, refuses and ends with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .hosts import Host
from .shell import Result
from .tunnels import (
    Fleet,
    Wanted,
    cli,
    done,
    idle,
    inventory,
    main_pid,
    pyinfra,
    same,
    status,
    traces,
    untouched,
    verified,
    visit,
)
from .world import KEY, World

pytest.importorskip("pyinfra")

WANTED = Wanted()
DEPLOY = "deploys/tunnel.py"


@pytest.fixture(scope="module")
def neighbour(equipped: World) -> Host:
    """Give a second host of the fleet: the client, where alice lives as well."""
    host = equipped.client
    host.add_user("alice", sudo="nopasswd")
    control = equipped.workstation.container.folder / "control"
    host.authorize("alice", (control / "id.pub").read_text().strip())
    host.authorize("alice", host.read("/home/carol/.ssh/id_ed25519.pub").strip())
    equipped.bastion.authorize("tunnel", host.make_key("alice", f"/home/alice/{KEY}"))
    host.trust("alice", equipped.bastion)
    return host


@contextmanager
def executions(host: Host) -> Iterator[list[str]]:
    """Collect what sshd of a host executes for pyinfra meanwhile."""
    found: list[str] = []
    host.write("/run/sshd_verbose", "LogLevel VERBOSE\n" + host.read("/etc/ssh/sshd_config"))
    with host.popen("exec /usr/sbin/sshd -D -e -f /run/sshd_verbose -p 2022 -o PidFile=none") as running:
        host.wait_for("ss -Hltn 'sport = :2022' | grep -q .")
        yield found
        running.terminate()
        _, err = running.communicate(timeout=10)
    host.sh("rm /run/sshd_verbose")
    found += re.findall(r"Starting session: (.*)", err)


def dry(world: World, *flags: str, **data: object) -> Result:
    """Ask what would change."""
    return pyinfra(world, "--dry", *flags, inventory(world, [WANTED.data], **data), DEPLOY)


def test_a_dry_run_shows_and_touches_nothing(desk: World) -> None:
    """On a host that has nothing yet, each file is shown with its lines."""
    with untouched(desk.workstation):
        result = done(dry(desk, "--diff"))
    said = re.sub(r"(?m)^ *\[[^]]*\] +", "", result.stderr)
    for name in ("ssh_config", "known_hosts", "tunnel.json", "run"):
        path = f"{WANTED.folder}/{name}"
        assert f"would-change: file {path}\n--- /dev/null\n+++ {path} (mode" in said
    assert "\n+    RemoteForward localhost:2222 localhost:22\n" in said
    assert f"would-change: {WANTED.unit} starts at boot\n" in said
    assert "Tunnels stand and are proven   1" in result.stderr


def test_a_dry_run_shows_the_difference(desk: World) -> None:
    """On a host whose tunnel differs, only what differs."""
    done(cli(desk, "setup", *WANTED.argv, "--keepalive", "patient"))
    with untouched(desk.workstation):
        said = done(dry(desk, "--diff")).stderr
    assert re.search(r"\] +-    ServerAliveInterval 20\n.*\] +\+    ServerAliveInterval 5\n", said, re.DOTALL)
    assert "known_hosts" not in said


def test_nothing_due_costs_one_execution(desk: World) -> None:
    """One look, no more; and two where something is due."""
    with executions(desk.workstation) as first:
        made = done(pyinfra(desk, "-y", inventory(desk, [WANTED.data], ssh_port=2022), DEPLOY))
    pid = main_pid(desk.workstation, WANTED)
    with executions(desk.workstation) as second:
        again = done(pyinfra(desk, "-y", inventory(desk, [WANTED.data], ssh_port=2022), DEPLOY))
    assert verified(made)
    assert idle(again)
    assert (len(first), len(second)) == (2, 1), (first, second)
    assert main_pid(desk.workstation, WANTED) == pid


def test_more_tunnels_cost_no_more(desk: World) -> None:
    """A host's list is looked at, and set up, as one."""
    wanted = [Wanted(port).data for port in range(2700, 2705)]
    with executions(desk.workstation) as found:
        assert verified(done(pyinfra(desk, "-y", inventory(desk, wanted, ssh_port=2022), DEPLOY)))
    assert len(found) == 2, found
    assert done(cli(desk, "status")).stdout.count("verified") == 5
    assert idle(done(pyinfra(desk, "-y", inventory(desk, wanted), DEPLOY)))
    done(pyinfra(desk, "-y", inventory(desk, wanted), "deploys/remove.py"))


WRONG = [
    {"port": 0, "bastion": "tunnel@bastion", "key": "~/.ssh/id"},
    {"port": 2222, "bastion": "-oProxyCommand=id", "key": "id", "engine": "mosh"},
    {"port": 2223, "bastion": "tunnel@bastion", "key": "~/.ssh/id", "colour": "red"},
    {"bastion": "tunnel@bastion"},
    "2222",
]


@pytest.mark.parametrize("deploy", [DEPLOY, "deploys/remove.py"])
def test_bad_data_is_told_at_once_and_in_full(deploy: str, neighbour: Host, desk: World) -> None:
    """Every error of every host, named by host, tunnel and field, before any host is touched."""
    others = [(neighbour, [WANTED.data, WANTED.data])]
    with untouched(desk.workstation), executions(desk.workstation) as found, executions(neighbour) as more:
        result = pyinfra(desk, "-y", inventory(desk, [WANTED.data, *WRONG], others, ssh_port=2022), deploy)
    assert result.status != 0
    assert found + more == []
    said = result.stdout + result.stderr
    here, there = desk.workstation.address, neighbour.address
    for where, slug in (
        (f"{here}: tunnels[1].port", "bad-port"),
        (f"{here}: tunnels[2].bastion", "bad-destination"),
        (f"{here}: tunnels[2].key", "bad-key-path"),
        (f"{here}: tunnels[2].engine", "bad-engine"),
        (f"{here}: tunnels[3].colour", "bad-field"),
        (f"{here}: tunnels[4]", "missing-field"),
        (f"{here}: tunnels[5]", "bad-field"),
        (f"{there}: tunnels[1]", "name-twice"),
    ):
        assert re.search(rf"{re.escape(where)}.*?\[{slug}\]", said, re.DOTALL), where
    assert "Traceback" not in said


def test_a_host_that_cannot_be_proven_fails_alone(neighbour: Host, desk: World) -> None:
    """The run ends with non-zero and the cause, while the other host's tunnel stands."""
    host = neighbour
    bad = [{**Wanted(2801).data, "bastion": "nobody@bastion"}]
    with untouched(desk.workstation):
        result = pyinfra(desk, "-y", inventory(desk, bad, [(host, [Wanted(2802).data])]), DEPLOY)
    try:
        assert result.status != 0
        assert "[key-not-accepted]" in result.stderr
        assert "nobody@bastion is not let in with the key" in result.stderr
        assert f"[{host.address}] Success" in result.stderr
        assert visit(desk, 2802, pinned=host).stdout == "alice\nclient\n"
    finally:
        done(pyinfra(desk, "-y", inventory(desk, [], [(host, [Wanted(2802).data])]), "deploys/remove.py"))


def test_one_operation_ad_hoc(desk: World) -> None:
    """Named on the command line with its arguments, without a deploy."""
    operation = "scitex_ssh.operations.tunnel.present"
    words = ("port=2222", "bastion=tunnel@bastion", f"key=~/{KEY}")
    made = done(pyinfra(desk, "-y", inventory(desk, []), operation, *words))
    assert verified(made)
    assert status(desk)["level"] == "verified"
    assert idle(done(pyinfra(desk, "-y", inventory(desk, []), operation, *words)))
    wrong = pyinfra(desk, "-y", inventory(desk, []), operation, "port=0", *words[1:])
    assert wrong.status != 0
    assert "[bad-port]" in wrong.stdout + wrong.stderr
    done(pyinfra(desk, "-y", inventory(desk, []), "scitex_ssh.operations.tunnel.absent", "port=2222"))
    assert not desk.workstation.exists(WANTED.folder)


def test_the_deploy_by_its_name(desk: World) -> None:
    """As a function of the package, where no checkout is."""
    made = pyinfra(desk, "-y", inventory(desk, [WANTED.data]), "scitex_ssh.deploys.tunnel")
    assert verified(done(made))
    done(pyinfra(desk, "-y", inventory(desk, [WANTED.data]), "scitex_ssh.deploys.remove"))
    assert not desk.workstation.exists(WANTED.folder)


def test_status_and_removal_of_a_fleet(desk: World) -> None:
    """Each tunnel in a line; removal leaves no trace and is content when there is nothing."""
    before = traces(desk.workstation)
    done(Fleet().setup(desk, WANTED))
    told = done(pyinfra(desk, "-y", inventory(desk, [WANTED.data]), "deploys/status.py"))
    row = rf"{re.escape(desk.workstation.address)} +2222 +verified +tunnel@bastion "
    assert re.search(row, told.stdout), told.stdout
    done(Fleet().remove(desk))
    same(traces(desk.workstation), before)
    assert idle(done(Fleet().remove(desk)))


def test_options_of_the_data_reach_the_host(desk: World) -> None:
    """An unknown host key is refused, and accepted where the data says so."""
    known = "/home/alice/.ssh/known_hosts"
    former = desk.workstation.read(known)
    desk.workstation.write(known, "", mode="600", owner="alice:alice")
    try:
        refused = Fleet().setup(desk, WANTED)
        assert refused.status != 0
        assert "[host-key-unknown]" in refused.stderr
        data = {"accept_new_host_key": True}
        assert verified(done(pyinfra(desk, "-y", inventory(desk, [WANTED.data], **data), DEPLOY)))
    finally:
        desk.workstation.write(known, former, mode="600", owner="alice:alice")


def test_without_sudo_the_cause_is_told(desk: World) -> None:
    """A fleet whose logins may not become root, where that is needed, fails with a sentence, not a trace."""
    wanted = {**WANTED.data, "keeper": "systemd"}
    with untouched(desk.workstation):
        result = pyinfra(desk, "-y", inventory(desk, [wanted], _sudo=False), DEPLOY)
    assert "Traceback" not in result.stdout + result.stderr
    assert result.status != 0
    assert "_sudo=True" in result.stderr
