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
