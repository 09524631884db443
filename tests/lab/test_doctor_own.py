"""Doctor on tunnels without root: what ends them is named, alone and first."""

from __future__ import annotations

import json

import pytest

from .doctor_faults import Fault
from .test_keepers import KEY, bob, den, home, setup
from .tunnels import BASTION, done
from .world import World

__all__ = ["den", "home"]

pytestmark = pytest.mark.suites("bookworm")

KILL = "/etc/systemd/logind.conf.d/kill.conf"
LOGIND = "systemctl restart systemd-logind"
LOGOUT_KILLS = (
    f"mkdir -p {KILL.rpartition('/')[0]}; printf '[Login]\\nKillUserProcesses=yes\\n' >{KILL}; {LOGIND}",
    f"rm {KILL}; {LOGIND}",
)

# The keeper, and what befalls it.
FAULTS = {
    "linger ends": (
        "systemd-user",
        Fault("linger-missing", "workstation", "loginctl disable-linger bob", ":"),
    ),
    "cron stops": (
        "cron",
        Fault("cron-stopped", "workstation", "systemctl stop cron", "systemctl start cron"),
    ),
    "its lines in the crontab are gone": (
        "cron",
        Fault("keeper-lines-missing", "workstation", "crontab -u bob -r", ":", seen="the crontab"),
    ),
    "its lines in the profile are gone": (
        "profile",
        Fault(
            "keeper-lines-missing", "workstation", "cp /etc/skel/.profile /home/bob/", ":", seen="/.profile"
        ),
    ),
    "its process is killed": (
        "nohup",
        Fault("keeper-stopped", "workstation", "pkill -9 -U bob -f tunnels/2222/run", ":"),
    ),
    "its files are changed": (
        "nohup",
        Fault(
            "keeper-outdated",
            "workstation",
            "echo '# by hand' >>/home/bob/.config/scitex-ssh/tunnels/2222/ssh_config",
            ":",
        ),
    ),
    "a logout ended it": (
        "nohup",
        Fault(
            "keeper-logout",
            "workstation",
            f"{LOGOUT_KILLS[0]}; pkill -9 -U bob -f tunnels/2222/run",
            LOGOUT_KILLS[1],
            seen="KillUserProcesses=yes",
        ),
    ),
    "a logout will end it": (
        "nohup",
        Fault("keeper-logout", "workstation", *LOGOUT_KILLS, verdict="warning"),
    ),
}


@pytest.mark.fault
@pytest.mark.parametrize("name", FAULTS)
def test_doctor_names_what_ends_it(den: World, name: str) -> None:
    """Exactly one check fails, with this fault's slug."""
    keeper, fault = FAULTS[name]
    host = den.workstation
    if keeper == "systemd-user":
        host.sh("loginctl enable-linger bob")
    done(setup(den, keeper))
    host.sh(fault.inject)
    try:
        result = bob(den, "doctor -p 2222 --json")
    finally:
        host.sh(fault.cure)
    checks = json.loads(result.stdout)["checks"]
    found = [(check["verdict"], check["slug"]) for check in checks if check["slug"]]
    assert found == [(fault.verdict, fault.slug)], result.stdout
    assert fault.seen in result.stdout
    assert result.status == (50 if fault.verdict == "failed" else 0)


@pytest.mark.fault
def test_a_privileged_port_is_refused_before_anything_is_asked(den: World) -> None:
    """That needs no bastion to be known."""
    result = bob(den, f"doctor -p 80 -b {BASTION} -s ~/{KEY}")
    assert (result.status, "[port-privileged]" in result.stderr) == (2, True)
