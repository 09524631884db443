"""A tunnel from nothing to verified, and back to nothing, by each back end on each suite."""

from __future__ import annotations

import json

import pytest

from .lab import together
from .tunnels import (
    BACK_ENDS,
    OURS,
    PYZ,
    BackEnd,
    Cli,
    Wanted,
    as_alice,
    cli,
    done,
    idle,
    main_pid,
    same,
    status,
    traces,
    verified,
    visit,
    wait_verified,
)
from .world import KEY, World

WANTED = Wanted()

each_back_end = pytest.mark.parametrize("by", BACK_ENDS, ids=lambda by: by.name)


@each_back_end
def test_a_tunnel_is_set_up_used_and_removed(by: BackEnd, desk: World) -> None:
    """Set-up says verified, carol gets in, a second run changes nothing, and removal leaves nothing."""
    before = traces(desk.workstation)
    assert verified(done(by.setup(desk, WANTED)))
    assert visit(desk).stdout == "alice\nworkstation\n"
    shown = done(cli(desk, "status"))
    assert "2222  verified  tunnel@bastion  localhost:22" in shown.stdout
    standing, pid = traces(desk.workstation), main_pid(desk.workstation, WANTED)
    assert idle(done(by.setup(desk, WANTED)))
    same(traces(desk.workstation), standing)
    assert main_pid(desk.workstation, WANTED) == pid
    done(by.remove(desk))
    same(traces(desk.workstation), before)
    assert visit(desk).status == 255


def test_tunnels_survive_a_reboot(desk: World) -> None:
    """Those of all back ends come back by themselves when the workstation starts again."""
    ports = range(2301, 2301 + len(BACK_ENDS))
    for by, port in zip(BACK_ENDS, ports):
        done(by.setup(desk, Wanted(port)))
    desk.workstation.reboot()
    for port in ports:
        wait_verified(desk, port)
        assert visit(desk, port).stdout == "alice\nworkstation\n"
    assert done(cli(desk, "status")).stdout.count("verified") == len(BACK_ENDS)


def test_the_back_ends_leave_the_same_bytes(desk: World) -> None:
    """Files, modes, owners and links are equal, and each is content with another's work."""
    trees = []
    for by in BACK_ENDS:
        done(by.setup(desk, WANTED))
        trees.append(desk.workstation.tree(*OURS))
        for other in BACK_ENDS:
            assert idle(done(other.setup(desk, WANTED))), f"{other.name} after {by.name}"
        assert desk.workstation.tree(*OURS) == trees[0], by.name
        done(by.remove(desk))
    assert f"{WANTED.folder}/ssh_config" in trees[0]


@pytest.mark.suites("trixie")
@each_back_end
def test_each_back_end_takes_every_field(by: BackEnd, desk: World) -> None:
    """User, engine, keepalive and target arrive as they were given, by whatever way."""
    flags = ("--target=127.0.0.1:22", "--user=alice", "--engine=autossh", "--keepalive=3x4")
    assert verified(done(by.setup(desk, Wanted(2500, flags=flags))))
    seen = status(desk, 2500)
    assert (seen["target"], seen["user"], seen["engine"]) == ("127.0.0.1:22", "alice", "autossh")
    config = desk.workstation.read("/etc/scitex-ssh/tunnels/2500/ssh_config")
    assert "ServerAliveInterval 3\n    ServerAliveCountMax 4\n" in config
    assert visit(desk, 2500).stdout == "alice\nworkstation\n"


@pytest.mark.suites("bookworm")
def test_the_target_may_be_anything(desk: World) -> None:
    """A port leads to what is not sshd as well, and a connection that opens is the proof."""
    desk.workstation.write("/run/systemd/system/greeter.socket", GREETER_SOCKET)
    desk.workstation.write("/run/systemd/system/greeter@.service", GREETER)
    desk.workstation.sh("systemctl daemon-reload && systemctl start greeter.socket")
    try:
        assert verified(done(cli(desk, "setup", *Wanted(2501).argv, "--target", "localhost:7007")))
        assert status(desk, 2501)["target"] == "localhost:7007"
        assert desk.bastion.sh("nc -d localhost 2501").stdout == "hello\n"
    finally:
        desk.workstation.sh("systemctl stop greeter.socket && rm /run/systemd/system/greeter*")


# Something that is not sshd: it says hello and hangs up a while later.
GREETER_SOCKET = "[Socket]\nListenStream=127.0.0.1:7007\nAccept=yes\n"
GREETER = """\
[Unit]
CollectMode=inactive-or-failed
[Service]
ExecStart=/bin/sh -c 'echo hello; exec sleep 4'
StandardOutput=socket
"""


def test_setup_follows_the_flags(desk: World) -> None:
    """Other values for the same port change the tunnel that is there, and only what differs."""
    done(cli(desk, "setup", *WANTED.argv))
    result = done(cli(desk, "setup", *WANTED.argv, "--keepalive", "patient"))
    changed = [line.split(maxsplit=1)[1] for line in result.stdout.splitlines() if line.startswith("changed")]
    assert changed == [
        f"file {WANTED.folder}/ssh_config",
        f"file {WANTED.folder}/tunnel.json",
        f"{WANTED.unit} runs with this configuration",
    ]
    assert verified(result)


@pytest.mark.suites("trixie")
def test_what_drifted_is_put_right(desk: World) -> None:
    """A stopped or disabled unit, a lost file and a wrong mode are each seen and mended."""
    done(cli(desk, "setup", *WANTED.argv))
    wanted = desk.workstation.tree(*OURS)
    for harm in (
        f"systemctl stop {WANTED.unit}",
        f"systemctl -q disable {WANTED.unit}",
        f"rm {WANTED.folder}/known_hosts",
        f"chmod 600 {WANTED.folder}/ssh_config",
        f"chown alice {WANTED.folder}/tunnel.json",
        f"ln -sfn /nowhere {WANTED.folder}/key",
        f"echo >>/etc/systemd/system/{WANTED.unit}",
        f"rm -r {WANTED.folder}",
    ):
        desk.workstation.sh(harm)
        assert verified(done(cli(desk, "setup", *WANTED.argv))), harm
        assert desk.workstation.tree(*OURS) == wanted, harm


def test_a_restart_that_is_owed_is_done(desk: World) -> None:
    """A process with an older configuration than the files is restarted, whoever wrote them."""
    done(cli(desk, "setup", *WANTED.argv))
    pid = main_pid(desk.workstation, WANTED)
    config = f"{WANTED.folder}/ssh_config"
    former = desk.workstation.read(config)
    # Written by the process once it has read its configuration, which is after systemctl has returned.
    read = "/run/scitex-ssh/2222/config"
    desk.workstation.sh(
        f"""
        before=$(cat {read})
        sed -i 's/Count.*/CountMax 9/' {config} && systemctl restart {WANTED.unit}
        until [ -s {read} ] && [ "$(cat {read})" != "$before" ]; do sleep 0.1; done
        """
    )
    desk.workstation.write(config, former)
    assert "runs with this configuration" in done(cli(desk, "setup", *WANTED.argv)).stdout
    assert main_pid(desk.workstation, WANTED) != pid


# Keys and places with every awkward character


AWKWARD = (
    "/home/alice/my keys/tunnel key",
    "/home/alice/100%/%h-%i",
    '/home/alice/it\'s "quoted" $HOME `id` $(id)/k;e&y|<>*?[]~#!',
    "/home/alice/schlüssel/鍵",
    "/home/alice/back\\slash\\n/-k",
)


@pytest.fixture(scope="module")
def keys(equipped: World) -> tuple[str, ...]:
    """Give keys in awkward places, all let in by the bastion."""
    for path in AWKWARD:
        equipped.bastion.authorize("tunnel", equipped.workstation.make_key("alice", path))
    return AWKWARD


def test_any_path_of_a_key_will_do(keys: tuple[str, ...], desk: World) -> None:
    """Spaces, quotes, %, $, backslashes and letters of any language reach ssh as they are."""
    _keys_anywhere(Cli(), keys, desk)


@pytest.mark.suites("bullseye")
@pytest.mark.parametrize("by", BACK_ENDS[1:], ids=lambda by: by.name)
def test_any_back_end_takes_any_path(by: BackEnd, keys: tuple[str, ...], desk: World) -> None:
    """As the command does."""
    _keys_anywhere(by, keys, desk)


def _keys_anywhere(by: BackEnd, keys: tuple[str, ...], desk: World) -> None:
    for port, key in enumerate(keys, 2600):
        wanted = Wanted(port, key=key)
        assert verified(done(by.setup(desk, wanted))), key
        assert idle(done(by.setup(desk, wanted))), key
        assert json.loads(desk.workstation.read(f"{wanted.folder}/tunnel.json"))["key"] == key
        assert status(desk, port)["key"] == key
        done(by.remove(desk, port))


def test_a_relative_path_is_the_callers(desk: World) -> None:
    """A path without a beginning slash is one from where the command is run."""
    for path in (KEY, f"./{KEY}", "../alice/" + KEY):
        assert verified(done(cli(desk, "setup", "-p", "2222", "-b", "tunnel@bastion", "-s", path)))
    script = "cd .ssh && sh '/usr/local/share/scitex-ssh scripts/setup-autossh-service.sh'"
    result = desk.workstation.sh(f"{script} -p 2222 -b tunnel@bastion -s id_ed25519", user="alice")
    assert verified(done(result))


def test_the_environment_gives_what_flags_do_not(desk: World) -> None:
    """Bastion and key come from the environment, and flags win."""
    env = {"SCITEX_SSH_BASTION_SERVER": "tunnel@bastion", "SCITEX_SSH_SECRET_KEY_PATH": f"~/{KEY}"}
    assert verified(done(cli(desk, "setup", "-p", "2222", env=env)))
    assert idle(done(Cli().setup(desk, WANTED)))
    env = {"SCITEX_SSH_BASTION_SERVER": "nobody@nowhere", "SCITEX_SSH_SECRET_KEY_PATH": "/nowhere"}
    assert idle(done(cli(desk, "setup", *WANTED.argv, env=env)))


# Who keeps it


def test_through_sudo_the_caller_keeps_the_tunnel(desk: World) -> None:
    """The command run with sudo makes the same tunnel as without, and it does not run as root."""
    done(cli(desk, "setup", *WANTED.argv))
    wanted = desk.workstation.tree(*OURS)
    done(cli(desk, "remove", "-p", "2222"))
    assert verified(done(as_alice(desk, "sudo", PYZ, "setup", *WANTED.argv)))
    assert desk.workstation.tree(*OURS) == wanted
    processes = desk.workstation.sh("ps -o user= -C ssh --no-headers | sort -u", check=False).stdout.split()
    assert processes == ["alice"]
    assert done(as_alice(desk, "sudo", PYZ, "status")).stdout.count("verified") == 1
    done(as_alice(desk, "sudo", PYZ, "remove", "-p", "2222"))


def test_root_sets_up_for_a_user(desk: World) -> None:
    """Root without sudo names the user; ~/ is that user's home."""
    words = "-p 2222 -b tunnel@bastion -s '~/.ssh/id_ed25519' --user alice"
    assert verified(done(desk.workstation.sh(f"{PYZ} setup {words}", check=False)))
    assert status(desk)["user"] == "alice"
    assert idle(done(cli(desk, "setup", *WANTED.argv)))


def test_root_may_keep_one_itself(desk: World) -> None:
    """With a key of its own and no caller behind it."""
    desk.bastion.authorize("tunnel", desk.workstation.make_key("root", "/root/.ssh/tunnel"))
    desk.workstation.trust("root", desk.bastion)
    words = "-p 2222 -b tunnel@bastion -s '~/.ssh/tunnel'"
    assert verified(done(desk.workstation.sh(f"{PYZ} setup {words}", check=False)))
    assert status(desk)["user"] == "root"


def test_many_tunnels_stand_side_by_side(desk: World) -> None:
    """Set up at the same time, each is proven, and removing one leaves the others."""
    ports = range(2401, 2406)
    for result in together(*(lambda port=port: cli(desk, "setup", *Wanted(port).argv) for port in ports)):
        assert verified(done(result))
    done(cli(desk, "remove", "-p", "2403"))
    assert done(cli(desk, "status")).stdout.count("verified") == 4
    assert visit(desk, 2405).stdout == "alice\nworkstation\n"


def test_the_users_own_ssh_settings_change_nothing(desk: World) -> None:
    """An ssh_config of alice's that breaks every ssh of hers does not break the tunnel."""
    hostile = "Host *\n  ProxyCommand false\n  IdentityFile /nowhere\n  ControlMaster auto\n  Port 1\n"
    desk.workstation.write("/home/alice/.ssh/config", hostile, owner="alice:alice")
    try:
        assert verified(done(cli(desk, "setup", *WANTED.argv)))
        assert done(cli(desk, "status")).stdout.count("verified") == 1
    finally:
        desk.workstation.sh("rm /home/alice/.ssh/config")
