"""What the command prints and writes, and the machines that have no Python to run it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from .hosts import Host
from .lab import Lab
from .shell import Result
from .tunnels import (
    OURS,
    PYZ,
    SCRIPTS,
    Baked,
    Generic,
    Wanted,
    as_alice,
    cli,
    done,
    idle,
    install,
    main_pid,
    same,
    slugs,
    sweep,
    traces,
    untouched,
    verified,
    visit,
)
from .world import KEY, World, inhabited

WANTED = Wanted()
FLAGS = f"-p 2222 -b tunnel@bastion -s ~/{KEY}"


# Output


def test_json_is_one_object(desk: World) -> None:
    """Of set-up, status and removal: what changed, what was proven and nothing else."""
    made = json.loads(done(cli(desk, "setup", *WANTED.argv, "--json")).stdout)
    assert (made["version"], made["command"], made["success"], made["changed"]) == (1, "setup", True, True)
    says = "port 2222 of tunnel@bastion leads to localhost:22 on this machine"
    assert made["proofs"] == [
        {
            "tunnel": "2222",
            "level": "verified",
            "bastion": "tunnel@bastion",
            "target": "localhost:22",
            "says": says,
        }
    ]
    again = json.loads(done(cli(desk, "setup", *WANTED.argv, "--json")).stdout)
    assert (again["success"], again["changed"]) == (True, False)
    (seen,) = json.loads(done(cli(desk, "status", "--json")).stdout)["tunnels"]
    assert (seen["port"], seen["level"], seen["user"]) == (2222, "verified", "alice")
    assert (seen["restarts"], seen["cause"], seen["adopted"]) == (0, None, False)
    gone = json.loads(done(cli(desk, "remove", "-p", "2222", "--json")).stdout)
    assert (gone["success"], gone["changed"]) == (True, True)
    assert json.loads(done(cli(desk, "status", "--json")).stdout)["tunnels"] == []


def test_json_of_a_failure_is_one_object(desk: World) -> None:
    """With the error's slug, sentence, next move and status, and nothing on standard error."""
    result = cli(desk, "setup", *Wanted(bastion="nobody@bastion").argv, "--json")
    told = json.loads(result.stdout)
    (problem,) = told["errors"]
    assert (problem["slug"], problem["status"]) == ("key-not-accepted", 21)
    assert (told["success"], told["status"], result.status, result.stderr) == (False, 21, 21, "")


def test_a_dry_run_shows_everything_and_writes_nothing(desk: World) -> None:
    """Each file with its diff, on a host that has nothing yet and on one that has a tunnel."""
    with untouched(desk.workstation):
        shown = done(cli(desk, "setup", *WANTED.argv, "--dry-run")).stdout
    for name in ("ssh_config", "known_hosts", "tunnel.json", "run"):
        path = f"{WANTED.folder}/{name}"
        assert f"would-change  file {path}\n--- /dev/null\n+++ {path}" in shown
    assert "\n+    RemoteForward localhost:2222 localhost:22\n" in shown
    assert f"would-change  {WANTED.unit} starts at boot\n" in shown
    done(cli(desk, "setup", *WANTED.argv))
    with untouched(desk.workstation):
        shown = done(cli(desk, "setup", *WANTED.argv, "--keepalive", "patient", "--dry-run")).stdout
        assert "\n-    ServerAliveInterval 5\n" in shown
        assert "\n+    ServerAliveInterval 20\n" in shown
        assert "known_hosts" not in shown
        shown = done(cli(desk, "remove", "-p", "2222", "--dry-run")).stdout
        assert f"would-change  no {WANTED.folder}\n" in shown
        assert idle(done(cli(desk, "setup", *WANTED.argv, "--dry-run")))


def test_status_tells_a_stopped_tunnel(desk: World) -> None:
    """A unit that does not run is down, with its cause and exit status 50."""
    done(cli(desk, "setup", *WANTED.argv))
    desk.workstation.sh(f"systemctl stop {WANTED.unit}")
    result = cli(desk, "status")
    assert result.status == 50
    assert "2222  down" in result.stdout
    assert "[unit-stopped]" in result.stdout
    script = as_alice(desk, "sh", f"{SCRIPTS}/status-autossh-service.sh")
    assert script.status == 50


# The unit


def test_the_unit_is_read_without_a_warning(desk: World) -> None:
    """systemd-analyze has nothing to say on any suite; a misspelt key would be told."""
    done(cli(desk, "setup", *WANTED.argv))
    verify = f"systemd-analyze verify {WANTED.unit}"
    result = desk.workstation.sh(verify)
    assert (result.stdout, result.stderr) == ("", "")
    path = f"/etc/systemd/system/{WANTED.unit}"
    desk.workstation.sh(f"sed 's/^ProtectHome/ProtectHoem/' {path} >/run/wrong.service")
    misspelt = desk.workstation.sh("systemd-analyze verify /run/wrong.service", check=False)
    desk.workstation.sh("rm /run/wrong.service")
    assert "ProtectHoem" in misspelt.stderr


def test_the_unit_is_locked_in(desk: World) -> None:
    """Its exposure is at most 1.5, and its processes see no home and may write nowhere."""
    done(cli(desk, "setup", *WANTED.argv))
    said = desk.workstation.sh(f"systemd-analyze security --no-pager {WANTED.unit}").stdout
    exposure = float(said.rsplit("service: ", 1)[1].split()[0])
    assert exposure <= 1.5, said
    pid = main_pid(desk.workstation, WANTED)
    inside = f"nsenter -t {pid} -m -- setpriv --reuid alice --clear-groups sh -c"
    assert desk.workstation.sh(f"{inside} 'ls /home/alice /root'", check=False).stdout == ""
    assert desk.workstation.sh(f"{inside} ': >/etc/x || : >/var/x || : >/usr/x'", check=False).status != 0
    assert desk.workstation.sh(f"ps -o user= -p {pid}").stdout.strip() == "alice"


def test_systemctl_shows_a_tunnel(desk: World) -> None:
    """Active, enabled, with a description that says what it is; and the log tells nothing bad."""
    cursor = desk.workstation.sh("journalctl -n 0 --show-cursor").stdout.split("cursor: ")[-1].strip()
    done(cli(desk, "setup", *WANTED.argv))
    shown = desk.workstation.sh(f"systemctl status --no-pager {WANTED.unit}").stdout
    assert f"{WANTED.unit} - SSH tunnel 2222" in shown
    assert "enabled" in shown
    assert "active (running)" in shown
    warnings = desk.workstation.journal(WANTED.unit, "-p", "warning", f"--after-cursor={cursor}")
    assert warnings == ""


# The scripts


def test_scripts_are_written_to_a_folder(desk: World) -> None:
    """Each says what it takes, and all three do their work."""
    done(as_alice(desk, PYZ, "scripts", "/home/alice/my scripts"))
    try:
        for word in ("setup", "status", "remove"):
            script = f"/home/alice/my scripts/{word}-autossh-service.sh"
            assert done(as_alice(desk, script, "--help")).stdout.startswith("usage: ")
        with untouched(desk.workstation):
            script = "/home/alice/my scripts/setup-autossh-service.sh"
            shown = done(as_alice(desk, script, *WANTED.argv, "--dry-run")).stdout
            assert f"+++ {WANTED.folder}/ssh_config" in shown
        assert verified(done(as_alice(desk, script, *WANTED.argv)))
        status = done(as_alice(desk, "/home/alice/my scripts/status-autossh-service.sh"))
        assert status.stdout.startswith("2222   verified")
        done(as_alice(desk, "/home/alice/my scripts/remove-autossh-service.sh", "-p", "2222"))
    finally:
        desk.workstation.sh("rm -r '/home/alice/my scripts'")


def test_a_script_from_a_pipe_does_its_work(desk: World) -> None:
    """As root, where nothing has to be read again; anybody else is told to save it."""
    words = f"-p 2222 -b tunnel@bastion -s '~/{KEY}' --user alice --keeper systemd"
    piped = f"sh -s -- {words} <'{SCRIPTS}/setup-autossh-service.sh'"
    with untouched(desk.workstation):
        refused = desk.workstation.sh(piped, user="alice", check=False)
        assert (refused.status, slugs(refused)) == (10, ["script-unreadable"])
    assert verified(done(desk.workstation.sh(piped, check=False)))


@pytest.mark.parametrize("shell", ["dash", "bash", "bash --posix"])
def test_any_shell_runs_the_scripts(shell: str, desk: World) -> None:
    """The generic script and the shell part of the .pyz, by each shell there is."""
    script = desk.workstation.sh(
        f"{shell} '{SCRIPTS}/setup-autossh-service.sh' {FLAGS}", user="alice", check=False
    )
    assert verified(done(script))
    env = {"SCITEX_SSH_PYTHON": "none"}
    again = desk.workstation.sh(f"{shell} {PYZ} setup {FLAGS}", user="alice", check=False, env=env)
    assert idle(done(again))


# Without Python


def _pyz(world: World, word: str, *flags: str) -> Result:
    return as_alice(world, PYZ, word, *flags)


def _script(world: World, word: str, *flags: str) -> Result:
    return as_alice(world, "sh", f"{SCRIPTS}/{word}-autossh-service.sh", *flags)


@pytest.fixture(scope="module")
def bare(equipped: World) -> Iterator[World]:
    """Give a world of the same suite whose workstation has only half of a Python."""
    with Lab() as lab, inhabited(lab, equipped.suite) as world:
        install(world.workstation)
        yield world


@pytest.mark.parametrize("loss", [Host.minimise_python, Host.remove_python], ids=["minimal", "none"])
def test_no_python_is_needed(loss: Callable[[Host], None], bare: World) -> None:
    """The .pyz and the scripts set up, show, are content with each other, and leave no trace."""
    loss(bare.workstation)
    try:
        before = traces(bare.workstation)
        trees = []
        for run in (_pyz, _script):
            assert verified(done(run(bare, "setup", *WANTED.argv)))
            assert visit(bare).stdout == "alice\nworkstation\n"
            for other in (_pyz, _script):
                assert idle(done(other(bare, "setup", *WANTED.argv)))
                assert "verified" in done(other(bare, "status")).stdout
            assert idle(done(Baked().setup(bare, WANTED)))
            trees.append(bare.workstation.tree(*OURS))
            done(run(bare, "remove", "-p", "2222"))
            same(traces(bare.workstation), before)
        assert trees[0] == trees[1]
        assert slugs(_pyz(bare, "setup", *Wanted(bastion="nobody@bastion").argv)) == ["key-not-accepted"]
        assert slugs(_pyz(bare, "nonsense")) == ["usage"]
        assert slugs(_script(bare, "remove", "-p", "2222")) == ["no-such-tunnel"]
    finally:
        sweep(bare)


def test_the_same_bytes_with_and_without_python(bare: World, desk: World) -> None:
    """A tunnel that a shell made on a host without Python is the one that the command makes."""
    done(Generic().setup(bare, WANTED))
    done(cli(desk, "setup", *WANTED.argv))
    try:
        other = desk.workstation.tree(*OURS)
        for path, entry in bare.workstation.tree(*OURS).items():
            # The pinned keys and the key's own name in the configuration are each world's own.
            if not path.endswith(("known_hosts", "ssh_config")):
                assert other[path] == entry, path
    finally:
        sweep(bare)
