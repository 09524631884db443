"""Tunnels that other tools made: seen for what they are, and taken over in place or left as they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.bench.recover.contenders import from_pypi
from tests.bench.recover.looking import processes

from .test_rollback import authorized
from .tunnels import Wanted, cli, done, refused, slugs, status, verified, visit
from .world import KEY, World

pytestmark = pytest.mark.suites("bookworm")

WANTED = Wanted(2231)
FORWARD = f"-N -i /home/alice/{KEY} -R {WANTED.port}:localhost:22 tunnel@bastion"
UNIT = f"""\
[Service]
User=alice
Restart=always
RestartSec=1
ExecStart=/usr/bin/autossh -M 0 \\
    {FORWARD}

[Install]
WantedBy=multi-user.target
"""
PATH = "/etc/systemd/system/home-of-lab.service"
# One for several hosts, each with its forward in alice's ssh_config.
TEMPLATE = f"""\
[Service]
User=alice
Environment=KEY=/home/alice/{KEY}
Restart=always
RestartSec=1
ExecStart=/usr/bin/autossh -M 0 -N -i ${{KEY}} %i

[Install]
WantedBy=multi-user.target
"""
TEMPLATE_PATH, INSTANCE = "/etc/systemd/system/to@.service", "to@gate"
CONFIG = f"Host gate\n    HostName bastion\n    User tunnel\n    RemoteForward {WANTED.port} localhost:22\n"
LINE = f"sleep 0; autossh -M 0 -f {FORWARD}"
TABLE = f'MAILTO=""\n# mine\n5 4 * * 0 true\n@reboot {LINE}\n# last'


@pytest.fixture
def older(desk: World) -> Iterator[World]:
    """Give a world, and take away what another tool made there."""
    yield desk
    desk.workstation.sh(
        f"systemctl -q disable --now home-of-lab {INSTANCE}; rm -f {PATH}* {TEMPLATE_PATH}; "
        "rm -f /home/alice/.ssh/config; "
        "systemctl daemon-reload; crontab -u alice -r; pkill -u alice -x autossh; pkill -u alice -x ssh",
        check=False,
    )


def seen(world: World) -> dict[str, Any]:
    """What status says of it, once its own ssh has had the time to connect."""
    world.workstation.wait_for(f"scitex-ssh status -p {WANTED.port}", 60, user="alice")
    return status(world, WANTED.port)


def stands_alone(world: World) -> None:
    """Our tunnel works, and nothing of the other runs."""
    assert (status(world, WANTED.port)["level"], status(world, WANTED.port)["adopted"]) == ("verified", False)
    assert visit(world, WANTED.port).stdout.split() == ["alice", "workstation"]
    assert len(processes(world.workstation, "ssh")) == 1
    assert not processes(world.workstation, "autossh")
    assert "nothing to do" in done(cli(world, "setup", *WANTED.argv)).stdout


def test_a_tunnel_of_1_2_0(older: World) -> None:
    """Proven as it is, replaced in place, and gone without a trace when it is removed."""
    script = from_pypi("scitex-ssh==1.2.0", "setup-autossh-service.sh")
    older.workstation.write("/home/alice/former.sh", script)
    flags = f"-p {WANTED.port} -b tunnel@bastion -s /home/alice/{KEY}"
    older.workstation.sh(f"bash former.sh {flags}; rm former.sh", user="alice", timeout=60)
    former = seen(older)
    assert (former["level"], former["adopted"], former["user"]) == ("verified", True, "alice")
    assert former["detail"] == (
        f"made elsewhere, in /etc/systemd/system/{WANTED.unit}; answers with this host's own key"
    )
    assert verified(done(cli(older, "setup", *WANTED.argv)))
    stands_alone(older)
    done(cli(older, "remove", "-p", str(WANTED.port)))
    assert slugs(cli(older, "status", "-p", str(WANTED.port))) == ["no-such-tunnel"]


def test_a_line_in_a_crontab(older: World) -> None:
    """alice's, though root sets ours up: what runs ends, the line is set aside, the rest is as it was."""
    older.workstation.sh("crontab -", user="alice", input=TABLE + "\n")
    older.workstation.sh(LINE, user="alice")
    former = seen(older)
    assert (former["level"], former["adopted"], former["keeper"]) == ("verified", True, "cron")
    refused(cli(older, "remove", "-p", str(WANTED.port)), "made-elsewhere")
    assert "set aside" in done(cli(older, "setup", *WANTED.argv)).stdout
    stands_alone(older)
    table = older.workstation.sh("crontab -l", user="alice").stdout
    assert table.strip() == TABLE.replace("@reboot", "# before scitex-ssh: @reboot")


def test_a_unit_comes_back_when_ours_cannot_be_proven(older: World) -> None:
    """It is enabled and runs as before; then, with a bastion that lets the key prove it, it is replaced."""
    world = older
    world.workstation.write(PATH, UNIT)
    world.workstation.sh("systemctl daemon-reload; systemctl -q enable --now home-of-lab")
    assert seen(world)["detail"].startswith(f"made elsewhere, in {PATH}; answers with")
    key = world.workstation.read(f"/home/alice/{KEY}.pub").strip()
    with authorized(world.bastion, f'restrict,port-forwarding,permitopen="localhost:1" {key}'):
        refused(failed := cli(world, "setup", *WANTED.argv), "not-proven")
        assert "restored" in failed.stdout
    assert world.workstation.read(PATH) == UNIT
    assert world.workstation.sh("systemctl is-enabled home-of-lab").stdout.strip() == "enabled"
    assert seen(world)["adopted"] is True
    assert "set aside" in done(cli(world, "setup", *WANTED.argv)).stdout
    stands_alone(world)
    assert world.workstation.read(f"{PATH}.before-scitex-ssh") == UNIT
    assert world.workstation.sh("systemctl is-active home-of-lab", check=False).stdout.strip() != "active"


def test_a_unit_of_a_template_whose_forward_stands_in_an_ssh_config(older: World) -> None:
    """Found by the name of its instance; that one is replaced, and the template stays for others."""
    host = older.workstation
    host.write("/home/alice/.ssh/config", CONFIG, owner="alice:alice")
    host.write(TEMPLATE_PATH, TEMPLATE)
    host.sh(f"systemctl daemon-reload; systemctl -q enable --now {INSTANCE}")
    former = seen(older)
    assert (former["level"], former["adopted"], former["keeper"]) == ("verified", True, "systemd")
    assert former["detail"] == (
        "made elsewhere, in /etc/systemd/system/to@gate.service; answers with this host's own key"
    )
    assert "set aside" in done(cli(older, "setup", *WANTED.argv)).stdout
    stands_alone(older)
    assert host.read(TEMPLATE_PATH) == TEMPLATE
    states = host.sh(f"systemctl is-enabled {INSTANCE}; systemctl is-active {INSTANCE}", check=False).stdout
    assert states.split() == ["disabled", "inactive"]
