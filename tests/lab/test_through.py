"""A tunnel that is changed by somebody who came through it."""

from __future__ import annotations

import pytest

from .tunnels import PYZ, Wanted, cli, done, status, wait_verified
from .world import World

pytestmark = pytest.mark.suites("bookworm")


@pytest.mark.parametrize("terminal", ["-tt", "-T"])
@pytest.mark.parametrize(("key", "after"), [("~/.ssh/id_ed25519", "fast"), ("~/.ssh/other", "default")])
def test_a_change_that_ends_the_login_is_proven_or_undone(
    desk: World, terminal: str, key: str, after: str
) -> None:
    """The new tunnel stands if it can be proven; else the old one is back."""
    done(cli(desk, "setup", *Wanted().argv))
    # A key that the bastion took when it was tried, and that may not listen there.
    desk.workstation.sh("rm -f /home/alice/.ssh/other*")
    other = desk.workstation.make_key("alice", "/home/alice/.ssh/other")
    desk.bastion.authorize("tunnel", other, 'permitlisten="localhost:9"')
    setup = f"{PYZ} setup -p 2222 -b tunnel@bastion -s {key} --keepalive fast"
    desk.client.sh(
        f"ssh {terminal} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
        f"-o ProxyCommand='ssh -o BatchMode=yes -W %h:%p carol@bastion' -p 2222 alice@localhost '{setup}'",
        user="carol",
        check=False,
        timeout=60,
    )
    desk.workstation.wait_for("! systemctl -q is-active 'scitex-ssh-*.service'", 60)
    wait_verified(desk)
    assert status(desk)["level"] == "verified"
    assert f"# keepalive: {after}" in desk.workstation.read("/etc/scitex-ssh/tunnels/2222/ssh_config")


def test_a_removal_that_ends_the_login_is_whole(desk: World) -> None:
    """Nobody is left to be told of it, and nothing of the tunnel is left either."""
    done(cli(desk, "setup", *Wanted().argv))
    desk.client.sh(
        "ssh -tt -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
        "-o ProxyCommand='ssh -o BatchMode=yes -W %h:%p carol@bastion' -p 2222 alice@localhost "
        f"'{PYZ} remove -p 2222'",
        user="carol",
        check=False,
        timeout=60,
    )
    unit = "/etc/systemd/system/autossh-tunnel-2222.service"
    desk.workstation.wait_for(f"! test -e /etc/scitex-ssh/tunnels/2222 && ! test -e {unit}", 60)
    assert desk.bastion.sh("ss -Hltn 'sport = :2222'").stdout == ""
