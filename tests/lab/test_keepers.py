"""Tunnels of somebody without root: each keeper on each suite, and what it survives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scitex_ssh.backends import shell
from scitex_ssh.keepers import ABILITIES
from scitex_ssh.model import Port, Tunnel

from .hosts import Host
from .shell import Result
from .tunnels import (
    BASTION,
    PYZ,
    SCRIPTS,
    Wanted,
    _control,
    cli,
    done,
    idle,
    inventory,
    pyinfra,
    refused,
    same,
    status,
    traces,
    verified,
    visit,
)
from .world import KEY, World

KEEPERS = [name for name in ABILITIES if name != "systemd"]
PORTS = dict(zip(KEEPERS, range(2701, 2701 + len(KEEPERS))))
THEIRS = "# bob's own\nMAILTO=bob\n5 4 * * 0 true '100\\%' \n"

one_suite = pytest.mark.suites("bookworm")


@pytest.fixture(scope="module")
def home(equipped: World) -> World:
    """A workstation where bob, who may not use sudo, has a key that the bastion lets in."""
    host = equipped.workstation
    host.add_user("bob")
    equipped.bastion.authorize("tunnel", host.make_key("bob", f"/home/bob/{KEY}"))
    host.trust("bob", equipped.bastion)
    host.authorize("bob", (_control(host) / "id.pub").read_text().strip())
    host.write("/home/bob/.scitex/ssh/config.yaml", "default:\n  tunnels: allow\n", owner="bob:bob")
    host.sh("chown -R bob: /home/bob/.scitex")
    return equipped


@pytest.fixture
def den(home: World) -> Iterator[World]:
    """The same for one test; whatever it leaves is removed by force."""
    yield home
    home.workstation.sh(
        """
        crontab -u bob -r 2>/dev/null
        loginctl disable-linger bob
        systemctl stop user@"$(id -u bob)"
        pkill -9 -U bob
        cd /home/bob && rm -rf .config .local .bash_profile && cp /etc/skel/.bashrc /etc/skel/.profile .
        chown bob: .bashrc .profile
        true
        """
    )


def bob(world: World, *words: str, timeout: float = 120) -> Result:
    """Run the command as bob."""
    return world.workstation.sh(" ".join([PYZ, *words]), user="bob", check=False, timeout=timeout)


def setup(world: World, keeper: str, port: int = 2222, *words: str) -> Result:
    """Set a tunnel up as bob."""
    return bob(world, "setup", f"-p {port} -b {BASTION} -s ~/{KEY} --keeper {keeper}", *words)


def seen(world: World, port: int) -> dict[str, Any]:
    """What status says to bob."""
    (one,) = json.loads(bob(world, "status", f"-p {port}", "--json").stdout)["tunnels"]
    return one


def wait_verified(world: World, port: int, seconds: float = 60) -> None:
    """Wait until bob is told that it is verified."""
    world.workstation.wait_for(f"{PYZ} status -p {port}", seconds, every=0.3, user="bob")


def processes(host: Host, name: str) -> list[str]:
    """The processes of bob's with that name."""
    return host.sh(f"pgrep -U bob -x {name}", check=False).stdout.split()


def states(world: World) -> dict[str, Any]:
    """The level of each keeper's tunnel."""
    return {keeper: seen(world, port)["level"] for keeper, port in PORTS.items()}


def wait_states(world: World, wanted: dict[str, str], seconds: float = 60) -> None:
    """Wait until the levels are these."""
    deadline = time.monotonic() + seconds
    while (found := states(world)) != wanted and time.monotonic() < deadline:
        time.sleep(1)
    assert found == wanted


def seconds_until_back(bastion: Host) -> dict[str, float]:
    """How long it takes each keeper's tunnel from now on to hold its port again; 20 s at the most."""
    script = f"""
    began=$(date +%s%3N) left='{" ".join(map(str, PORTS.values()))}'
    sleep 0.2
    while [ -n "$left" ] && [ $(($(date +%s%3N) - began)) -lt 20000 ]; do
        waiting=
        for port in $left; do
            if [ -n "$(ss -Hltn "sport = :$port")" ]; then
                echo "$port $(($(date +%s%3N) - began))"
            else
                waiting="$waiting $port"
            fi
        done
        left=$waiting
        sleep 0.1
    done
    """
    keepers = {str(port): keeper for keeper, port in PORTS.items()}
    lines = (line.split() for line in bastion.sh(script).stdout.splitlines())
    return {keepers[port]: int(milliseconds) / 1000 for port, milliseconds in lines}


def crontab(host: Host) -> str:
    """Bob's crontab as he sees it."""
    return host.sh("crontab -l", user="bob", check=False).stdout


def test_every_keeper_keeps_its_promises(den: World) -> None:
    """Proven, used, left alone by a second run; back after a killed ssh and a reboot; gone without trace."""
    host = den.workstation
    host.sh("loginctl enable-linger bob")
    host.sh("crontab -", user="bob", input=THEIRS)
    # What screen and tmux keep for themselves.
    host.sh("mkdir -p -m 700 /tmp/tmux-$(id -u bob); chown bob: /tmp/tmux-$(id -u bob)")
    before = traces(host)
    for keeper, port in PORTS.items():
        assert verified(done(setup(den, keeper, port))), keeper
        assert visit(den, port).stdout == "alice\nworkstation\n", keeper
    for keeper, port in PORTS.items():
        assert idle(done(setup(den, keeper, port))), keeper
    shown = done(bob(den, "status")).stdout
    assert [line.split()[4] for line in shown.splitlines()[1:]] == KEEPERS
    # Each tunnel's ssh, and not its supervisor; then the bastion's side of each.
    for where, fault in ((host, "pkill -9 -U bob -x ssh"), (den.bastion, "pkill -9 -u tunnel sshd")):
        where.sh(fault)
        took = seconds_until_back(den.bastion)
        assert set(took) == set(PORTS), fault
        assert max(took.values()) < 6, (fault, took)
    wait_states(den, dict.fromkeys(PORTS, "verified"))
    host.reboot()
    by_itself = {name: "verified" if able.unattended == "yes" else "down" for name, able in ABILITIES.items()}
    del by_itself["systemd"]
    wait_states(den, by_itself, 90)
    assert seen(den, PORTS["nohup"])["cause"] == "keeper-stopped"
    # A login that is a person's: twenty of them start one.
    host.sh("for n in $(seq 20); do bash -lic true >>/tmp/said 2>&1 </dev/null & done; wait", user="bob")
    wait_states(den, {**by_itself, "profile": "verified"})
    # bash's own words, in want of a terminal.
    said = [line for line in host.read("/tmp/said").splitlines() if "job control" not in line]
    assert [line for line in said if "terminal process group" not in line] == []
    host.sh("rm /tmp/said")
    for port in PORTS.values():
        done(bob(den, "remove", f"-p {port}"))
    assert crontab(host) == THEIRS
    same(_without_cron(traces(host)), _without_cron(before))


def _without_cron(found: Any) -> Any:
    """The same without what changes when a crontab is written or a host boots."""
    for path in list(found.files):
        if path.startswith(("/var/spool/cron", "/tmp/", "/var/tmp", "/var/lib/systemd", "/etc/resolv.conf")):
            del found.files[path]
    return found


@one_suite
def test_a_killed_supervisor_is_started_again(den: World) -> None:
    """Killed with its ssh, it is back within a minute by cron and within seconds by the user's systemd."""
    host = den.workstation
    host.sh("loginctl enable-linger bob")
    limits = {"systemd-user": 20, "cron": 75}
    for keeper in limits:
        done(setup(den, keeper, PORTS[keeper]))
    host.sh("pkill -9 -U bob -f tunnels/270./run; pkill -9 -U bob -x ssh")
    for keeper, limit in limits.items():
        wait_verified(den, PORTS[keeper], limit)
    # The supervisor alone: its ssh is ended by the next one, and the port is not held twice.
    host.sh("pkill -9 -U bob -f tunnels/270./run")
    for keeper, limit in limits.items():
        wait_verified(den, PORTS[keeper], limit)
    assert len(host.sh("pgrep -U bob -x ssh").stdout.split()) == len(limits)


@one_suite
def test_every_back_end_leaves_the_same(den: World) -> None:
    """The same bytes, modes and owners as bob, and each is content with another's work."""
    host = den.workstation
    wanted = Wanted(flags=("--keeper=cron",))
    data = dict(wanted.data)
    tunnel = Tunnel.of(data.pop("port"), data.pop("bastion"), data.pop("key"), **data)  # type: ignore[arg-type]

    def script(text: str) -> Result:
        host.write("/var/local/bob.sh", text)
        return host.sh("sh /var/local/bob.sh", user="bob", check=False)

    def fleet(deploy: str) -> Result:
        hosts = inventory(den, [wanted.data], ssh_user="bob", _sudo=False)
        return pyinfra(den, "-y", hosts, deploy)

    flags = f"-p 2222 -b {BASTION} -s ~/{KEY} --keeper cron"
    ways = {
        "command": (lambda: setup(den, "cron"), lambda: bob(den, "remove", "-p 2222")),
        "baked": (
            lambda: script(shell.baked("setup", [tunnel])),
            lambda: script(shell.baked("remove", [Port(2222)])),
        ),
        "generic": (
            lambda: host.sh(f"sh '{SCRIPTS}/setup-autossh-service.sh' {flags}", user="bob", check=False),
            lambda: host.sh(f"sh '{SCRIPTS}/remove-autossh-service.sh' -p 2222", user="bob", check=False),
        ),
        "pyinfra": (lambda: fleet("deploys/tunnel.py"), lambda: fleet("deploys/remove.py")),
    }
    trees, tables = [], []
    for name, (make, take) in ways.items():
        assert verified(done(make())), name
        trees.append(host.tree("/home/bob/.config"))
        tables.append(crontab(host))
        for other, _ in ways.values():
            assert idle(done(other())), name
        done(take())
        assert not host.exists("/home/bob/.config"), name
        assert crontab(host) == "", name
    assert "/home/bob/.config/scitex-ssh/tunnels/2222/ssh_config" in trees[0]
    assert trees == [trees[0]] * 4
    assert tables == [tables[0]] * 4


@one_suite
def test_every_keeper_by_every_back_end(den: World) -> None:
    """All of them at once: made by pyinfra and by a script, each content with the others' work."""
    host = den.workstation
    host.sh("loginctl enable-linger bob")
    host.sh("crontab -", user="bob", input=THEIRS)
    before = host.tree("/home/bob")
    data = [{**Wanted(port).data, "keeper": keeper} for keeper, port in PORTS.items()]
    tunnels = [Tunnel.of(port, BASTION, f"~/{KEY}", keeper=keeper) for keeper, port in PORTS.items()]

    def fleet(deploy: str) -> Result:
        return pyinfra(den, "-y", inventory(den, data, ssh_user="bob", _sudo=False), deploy)

    def script(word: str) -> Result:
        host.write("/var/local/bob.sh", shell.baked(word, tunnels))
        return host.sh("sh /var/local/bob.sh", user="bob", check=False, timeout=120)

    def stand() -> None:
        levels = json.loads(bob(den, "status", "--json").stdout)["tunnels"]
        assert {each["keeper"]: each["level"] for each in levels} == dict.fromkeys(KEEPERS, "verified")

    done(fleet("deploys/tunnel.py"))
    stand()
    made = host.tree("/home/bob/.config")
    assert done(script("setup")).stdout.count("nothing to do") == len(KEEPERS)
    done(script("remove"))
    assert (host.tree("/home/bob"), crontab(host)) == (before, THEIRS)
    assert done(script("setup")).stderr.count("Verified: ") == len(KEEPERS)
    stand()
    assert host.tree("/home/bob/.config") == made
    done(fleet("deploys/remove.py"))
    assert (host.tree("/home/bob"), crontab(host)) == (before, THEIRS)


@one_suite
@pytest.mark.parametrize("keeper", ["systemd-user", "cron", "profile", "nohup"])
def test_what_cannot_be_proven_is_undone(den: World, keeper: str) -> None:
    """A port that the bastion does not let be dialled: as before, crontab and all."""
    host, bastion = den.workstation, den.bastion
    host.sh("loginctl enable-linger bob")
    host.sh("crontab -", user="bob", input=THEIRS)
    before = host.tree("/home/bob")
    with blocked(bastion, host.read(f"/home/bob/{KEY}.pub").split()[1]):
        result = setup(den, keeper)
    refused(result, "not-proven")
    assert "restored" in result.stdout
    assert host.tree("/home/bob") == before
    assert crontab(host) == THEIRS
    assert processes(host, "ssh") == []


@one_suite
def test_a_tunnel_goes_from_one_keeper_to_another(desk: World) -> None:
    """Between the whole machine's and alice's own: proven, with no trace of the former; or undone."""
    host, bastion = desk.workstation, desk.bastion
    places = "/etc/scitex-ssh /etc/systemd/system/autossh-* ~/.config/systemd/user/autossh-*"
    left = {
        "systemd": "/etc/scitex-ssh /etc/systemd/system/autossh-tunnel-2222.service",
        "cron": "crontab",
        "systemd-user": "/home/alice/.config/systemd/user/autossh-tunnel-2222.service",
        "nohup": "",
    }

    def made(keeper: str) -> Result:
        return cli(desk, "setup", *Wanted().argv, f"--keeper={keeper}")

    def stands(keeper: str) -> None:
        found = f"ls -d {places} 2>/dev/null; ! crontab -l 2>/dev/null | grep -q scitex-ssh || echo crontab"
        assert host.sh(found, user="alice", check=False).stdout.split() == left[keeper].split()
        # Sooner than cron would start it anew: what is given back runs at once.
        host.wait_for(f"{PYZ} status -p 2222", 20, user="alice")
        assert status(desk)["keeper"] == keeper
        assert len(host.sh("pgrep -x ssh").stdout.split()) == 1

    host.sh("loginctl enable-linger alice")
    try:
        for keeper in ("systemd", "cron", "systemd-user", "systemd", "nohup", "systemd-user", "cron"):
            assert verified(done(made(keeper))), keeper
            stands(keeper)
        with blocked(bastion, host.read(f"/home/alice/{KEY}.pub").split()[1]):
            refused(made("systemd"), "not-proven")
        stands("cron")
        assert verified(done(made("systemd")))
        with blocked(bastion, host.read(f"/home/alice/{KEY}.pub").split()[1]):
            refused(made("cron"), "not-proven")
        stands("systemd")
    finally:
        for _ in range(2):
            cli(desk, "remove", "-p", "2222")
        host.sh("loginctl disable-linger alice; crontab -u alice -r", check=False)
    assert not host.exists("/home/alice/.config/scitex-ssh")


@contextmanager
def blocked(bastion: Host, key: str) -> Iterator[None]:
    """A bastion that lets this key dial nothing, so that nothing can be proven."""
    file = "/home/tunnel/.ssh/authorized_keys"
    whole = bastion.read(file)
    lines = [f'permitopen="localhost:1" {line}' if key in line else line for line in whole.splitlines()]
    bastion.write(file, "\n".join(lines) + "\n", mode="600", owner="tunnel:tunnel")
    try:
        yield
    finally:
        bastion.write(file, whole, mode="600", owner="tunnel:tunnel")


@one_suite
def test_what_cannot_be_kept_is_refused_before_anything_is_touched(den: World) -> None:
    """Each with its cause; and auto goes down the ladder, and says what it took."""
    host = den.workstation
    before = host.tree("/home/bob")
    refused(setup(den, "systemd-user"), "linger-refused")
    result = setup(den, "auto")
    assert "Kept by cron, which survives: logout, crash, reboot, reboot without login." in done(result).stdout
    (chosen,) = json.loads(setup(den, "auto", 2223, "--json").stdout)["keepers"]
    assert chosen["keeper"] == "cron"
    for port in (2222, 2223):
        done(bob(den, "remove", f"-p {port}"))
    host.sh("echo bob >/etc/cron.deny")
    try:
        refused(setup(den, "cron"), "cron-denied", "take bob out of /etc/cron.deny")
        assert "Kept by profile" in done(setup(den, "auto")).stdout
        done(bob(den, "remove", "-p 2222"))
    finally:
        host.sh("rm /etc/cron.deny")
    host.sh("systemctl stop cron")
    try:
        refused(setup(den, "cron"), "cron-stopped")
    finally:
        host.sh("systemctl start cron")
    host.sh("usermod -s /bin/csh bob; ln -s bash /bin/csh")
    try:
        refused(setup(den, "profile"), "profile-shell")
    finally:
        host.sh("usermod -s /bin/bash bob; rm /bin/csh")
    words = f"setup -p 2222 -b {BASTION} -s ~/{KEY} --keeper cron"
    refused(host.sh(f"sudo {PYZ} {words}", user="alice", check=False), "keeper-user")
    assert host.tree("/home/bob") == before


@one_suite
def test_a_host_without_systemd_keeps_a_tunnel(den: World) -> None:
    """Where no systemd runs, auto takes cron, which is there under any init; without cron, the login."""
    host = den.workstation
    words = f"{PYZ} setup -p 2222 -b {BASTION} -s '~/{KEY}'"
    hidden = "mount -t tmpfs none /run/systemd && mount --bind /bin/false /usr/bin/systemctl"
    for more, keeper in (("", "cron"), (" && mount --bind /dev/null /usr/bin/crontab", "profile")):
        script = f'unshare -m sh -c "{hidden}{more} && su bob -s /bin/sh -c \\"cd; {words}\\""'
        result = host.sh(script, check=False, env={"HOME": "/home/bob"})
        assert f"Kept by {keeper}" in done(result).stdout
        assert visit(den).stdout == "alice\nworkstation\n"
        done(bob(den, "remove", "-p 2222"))


@one_suite
def test_a_logout_that_kills_is_told_or_survived(den: World) -> None:
    """With KillUserProcesses=yes: without lingering a warning that is true; with it, all three live on."""
    host = den.workstation
    conf = "/etc/systemd/logind.conf.d/kill.conf"
    host.write(conf, "[Login]\nKillUserProcesses=yes\n")
    host.sh("systemctl restart systemd-logind")
    try:
        result = setup(den, "nohup")
        assert (result.status, "[keeper-logout]" in result.stderr) == (0, True), result.stderr
        deadline = time.monotonic() + 20
        while processes(host, "ssh") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert seen(den, 2222)["cause"] == "keeper-stopped"
        done(bob(den, "remove", "-p 2222"))
        host.sh("loginctl enable-linger bob")
        for keeper in ("nohup", "screen", "tmux"):
            assert setup(den, keeper, PORTS[keeper]).stderr == ""
        time.sleep(2)
        for keeper in ("nohup", "screen", "tmux"):
            assert seen(den, PORTS[keeper])["level"] == "verified", keeper
    finally:
        host.sh(f"rm {conf}; systemctl restart systemd-logind")


@one_suite
def test_the_lines_in_a_profile_are_harmless(den: World) -> None:
    """scp, rsync and commands over ssh hear nothing of them, and start nothing."""
    host = den.workstation
    done(setup(den, "profile"))
    host.sh("kill $(cut -d' ' -f1 /home/bob/.local/state/scitex-ssh/workstation/2222/pid)")
    host.wait_for("! pgrep -U bob -x ssh")
    # Over the workstation's own sshd.
    host.make_key("alice", "/home/alice/.ssh/to-bob")
    host.authorize("bob", host.read("/home/alice/.ssh/to-bob.pub").strip())
    options = "-i ~/.ssh/to-bob -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    script = f"""
    ssh -o LogLevel=ERROR {options} bob@localhost 'echo said'
    scp -q -o LogLevel=ERROR {options} /etc/hostname bob@localhost:copied
    rsync -e "ssh -o LogLevel=ERROR {options}" /etc/hostname bob@localhost:synced
    """
    assert host.sh(script, user="alice") == ("said\n", "", 0)
    assert host.sh("cd /home/bob && cat copied synced; rm copied synced").stdout == "workstation\n" * 2
    assert processes(host, "ssh") == []
    host.sh("bash -ic true", user="bob")
    wait_verified(den, 2222)
