"""A burst of commands, before an sshd that holds every connection against its source (from 9.8 on)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .tunnels import Wanted, changed, cli, done, status, visit
from .world import World

pytestmark = pytest.mark.suites("trixie")

WANTED = Wanted()
FORGIVING = "/etc/ssh/sshd_config.d/forgive.conf"


@pytest.fixture
def stern(desk: World) -> Iterator[World]:
    """Give a world whose sshd are as Debian has them, penalties on."""
    hosts = (desk.workstation, desk.bastion)
    for host in hosts:
        host.sh(f"mv {FORGIVING} /root/ && systemctl reset-failed ssh && systemctl restart ssh")
        assert "\npersourcepenalties crash" in host.sh("sshd -T").stdout
    yield desk
    for host in hosts:
        host.sh(f"mv /root/forgive.conf {FORGIVING}; systemctl reset-failed ssh; systemctl restart ssh")


def test_a_burst_of_set_ups_and_statuses_locks_nobody_out(stern: World) -> None:
    """Ten of each in a row are answered, and so are the users of the tunnel, then and after changes of it."""
    began = stern.bastion.sh("date +@%s").stdout.strip()
    done(cli(stern, "setup", *WANTED.argv))
    first = time.monotonic()
    for _ in range(10):
        done(cli(stern, "setup", *WANTED.argv))
        assert status(stern)["level"] == "verified"
    # A faster machine than this one must not come near the limit either: one proof serves five seconds.
    log = f"journalctl -u ssh --since {began} --grep 'preauth' --quiet"
    proofs = stern.workstation.sh(log, check=False).stdout.count("\n")
    assert 1 <= proofs <= 2 + (time.monotonic() - first) / 5
    assert visit(stern).status == 0
    for profile in ("fast", "default", "fast", "default"):
        done(cli(stern, "setup", *changed(WANTED, flags=(f"--keepalive={profile}",)).argv))
    assert visit(stern).status == 0
    for host in (stern.workstation, stern.bastion):
        dropped = host.sh(f"journalctl -u ssh --since {began} --grep 'drop connection'", check=False).stdout
        assert "penalty" not in dropped
