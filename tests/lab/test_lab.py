"""What the lab itself promises of its hosts and its runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .hosts import PASSWORD
from .lab import Lab, clean, state, together
from .network import namespaces
from .probes import SSH, reaches
from .shell import ScriptFailed
from .trees import apt_uris, requirements
from .world import World

CHECKOUT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    """Tell whether a process runs, which a dead one that nobody has asked after does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


# Hosts


def test_the_world_boots_with_no_failed_unit(world: World) -> None:
    """Every service of every host has started."""
    for host in world.hosts:
        assert host.sh("systemctl is-system-running").stdout == "running\n"
        assert world.suite in host.read("/etc/os-release")


def test_hosts_differ_in_identity(world: World) -> None:
    """No two hosts share a name, a machine id or a host key."""
    names = {host.sh("hostname").stdout for host in world.hosts}
    machines = {host.read("/etc/machine-id") for host in world.hosts}
    keys = {key for host in world.hosts for key in host.host_keys()}
    assert (len(names), len(machines), len(keys)) == (3, 3, 9)


def test_a_script_arrives_as_written(world: World) -> None:
    """Quotes, dollars, newlines and standard input reach the script untouched."""
    script = """printf '%s|' "$A" '$(id)' "it's" "\\\\"\ncat"""
    for user in ("root", "alice"):
        result = world.workstation.sh(script, user=user, input="in", env={"A": "a 'b' \"$c\""})
        assert result == ("a 'b' \"$c\"|$(id)|it's|\\|in", "", 0)


def test_a_failed_script_is_shown(world: World) -> None:
    """The exception holds the script, what it printed and its status."""
    with pytest.raises(ScriptFailed, match=r"(?s)with 3.*echo out.*--- stdout\nout") as raised:
        world.client.sh("echo out; echo err >&2; exit 3")
    assert raised.value.result == ("out\n", "err\n", 3)


def test_a_script_that_hangs_is_ended(world: World) -> None:
    """After the timeout nothing of the script is left on the host."""
    with pytest.raises(ScriptFailed, match="did not end in 1 s"):
        world.client.sh("sleep 12345", timeout=1)
    assert world.client.sh("pgrep -f 'sleep [1]2345'", check=False).status == 1


def test_a_script_may_leave_a_process_behind(world: World) -> None:
    """What goes on in the background neither blocks the script nor ends with it."""
    world.client.sh("sleep 54321 & echo $! >/run/left", timeout=5)
    world.client.sh("kill $(cat /run/left)")


def test_files_keep_content_mode_and_owner(world: World) -> None:
    """What is written, also to a tmpfs of the host, is read back and listed."""
    host = world.workstation
    host.write("/run/lab test/a", "content\n", mode="640", owner="alice:alice")
    host.sh("ln -s a '/run/lab test/b'")
    found = host.tree("/run/lab test", "/nowhere")
    assert host.read("/run/lab test/a") == "content\n"
    assert list(found) == ["/run/lab test", "/run/lab test/a", "/run/lab test/b"]
    assert found["/run/lab test/a"][:3] == ("file", "0640", "alice:alice")
    assert found["/run/lab test/b"].content == "a"
    assert (host.exists("/run/lab test/b"), host.exists("/run/lab test/c")) == (True, False)


def test_people_log_in_and_become_root(world: World) -> None:
    """Keys lead where they should, sudo asks those whom it should, lingering works."""
    host = world.workstation
    assert host.sh(f"{SSH} tunnel@bastion hostname", user="alice").stdout == "bastion\n"
    assert world.client.sh(f"{SSH} carol@bastion id -un", user="carol").stdout == "carol\n"
    assert host.sh("sudo -n id -u", user="alice", timeout=5).stdout == "0\n"
    host.add_user("dora", sudo="password")
    assert host.sh("sudo -n true", user="dora", check=False).status == 1
    asked = host.sh("sudo -S id -u", user="dora", input=f"{PASSWORD}\n", timeout=5)
    assert asked.stdout == "0\n"
    host.sh("loginctl enable-linger dora")
    host.wait_for("systemctl --user is-system-running", user="dora")
    uid = host.sh("id -u dora").stdout.strip()
    assert host.sh("echo $XDG_RUNTIME_DIR", user="dora").stdout == f"/run/user/{uid}\n"


def test_unknown_names_fail_fast(world: World) -> None:
    """A lookup that cannot succeed does not hang."""
    assert world.client.sh("getent hosts nowhere.example", check=False, timeout=3).status == 2


def test_python_can_be_taken_away(lab: Lab, world: World) -> None:
    """A host can have no Python, or one without most of its library."""
    bare = lab.client("bare", world.suite, boot=False)
    try:
        bare.minimise_python()
        assert bare._files("python3 -c 'import re'").status == 0
        with pytest.raises(ScriptFailed, match="ModuleNotFoundError"):
            bare._files("python3 -c 'import sqlite3'")
        bare.remove_python()
        with pytest.raises(ScriptFailed, match="not found"):
            bare._files("python3 --version")
    finally:
        lab.destroy(bare)


# Runs


def test_two_runs_do_not_clash(world: World) -> None:
    """Another run has hosts of the same names and addresses, and sees other machines."""
    with Lab() as other:
        together(
            lambda: other.bastion("bastion", world.suite),
            lambda: other.workstation("workstation", world.suite),
        )
        twin = next(host for host in other.hosts if host.name == "bastion")
        assert twin.host_keys() != world.bastion.host_keys()
        assert all(reaches(host, "bastion") for host in other.hosts)
    assert reaches(world.workstation, "bastion")
    assert not list(namespaces(other.run))
    assert not other.folder.exists()


@pytest.mark.suites("bookworm")
def test_a_killed_run_is_cleaned_up_by_the_next(world: World) -> None:
    """What a killed run leaves goes away, and what a living one has stays."""
    script = """
import time
from tests.lab.lab import Lab
with Lab() as lab:
    lab.workstation("orphan")
    print(lab.run, lab.hosts[0].container.pid1, flush=True)
    time.sleep(60)
"""
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        run, pid1 = process.stdout.readline().split()
        process.kill()
    assert alive(int(pid1))
    assert run in clean()
    assert not alive(int(pid1))
    assert not (state() / run).exists()
    assert not list(namespaces(run))
    assert reaches(world.workstation, "bastion")


def test_the_mirror_is_the_machine_s_own(tmp_path: Path) -> None:
    """Both forms of apt sources are read, and what is disabled or not on the web is left out."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://no.example/debian x main\n"
        "deb [arch=amd64 signed-by=/k] http://one.example/debian/ bookworm main # why\n"
        "deb-src http://src.example/debian bookworm main\n"
    )
    (tmp_path / "sources.list.d/a.sources").write_text(
        "Types: deb deb-src\n# why\nURIs: http://two.example/debian\n https://three.example/debian\n"
        "Suites: bookworm\n\nEnabled: no\nTypes: deb\nURIs: http://off.example/debian\n\n"
        "Types: deb\nURIs: file:/srv/debian\n"
    )
    hosts = ["http://one.example", "http://two.example", "https://three.example"]
    assert apt_uris(tmp_path) == [f"{host}/debian" for host in hosts]


def test_requirements_name_packages() -> None:
    """What the machine lacks is among what it needs."""
    needed, missing = requirements()
    assert {"debootstrap", "iproute2", "nftables", "systemd-container"} <= set(needed)
    assert set(missing) <= set(needed)
