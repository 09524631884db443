"""Doctor names the cause: each fault is injected for real, and only its own slug may come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from .faults import silence, unsilence
from .hosts import Host
from .tunnels import Wanted, cli, done
from .world import World

pytestmark = pytest.mark.suites("bookworm")

WANTED = Wanted()
NEW = ("-p", "2222", "-b", "tunnel@bastion", "-s", "~/.ssh/id_ed25519")
STANDING = ("-p", "2222")
CONF = "/etc/ssh/sshd_config.d/fault.conf"
RELOAD = "systemctl reload ssh"


@dataclass(frozen=True)
class Fault:
    """Something that is wrong: how it comes, how it goes, and what doctor must say.

    ``host`` is where the scripts run; ``asked`` are doctor's flags; ``standing`` tells that a tunnel
    was set up before.
    """

    slug: str
    host: str
    inject: str
    cure: str
    asked: tuple[str, ...] = NEW
    standing: bool = False


def _conf(*lines: str) -> str:
    return f"printf '%s\\n' {' '.join(repr(line) for line in lines)} >{CONF} && {RELOAD}"


_UNCONF = f"rm -f {CONF} && {RELOAD}"
_KEY = "/home/alice/.ssh/id_ed25519"
_MV_KEY = (f"mv {_KEY} {_KEY}.away", f"rm -f {_KEY}; mv {_KEY}.away {_KEY}")
_AUTH = "/home/tunnel/.ssh/authorized_keys"
_SAVED_AUTH = (f"cp -p {_AUTH} {_AUTH}.away", f"mv {_AUTH}.away {_AUTH}")


_NO_AUTH = (f"{_SAVED_AUTH[0]}; : >{_AUTH}", _SAVED_AUTH[1])


def _to(bastion: str) -> tuple[str, ...]:
    return ("-b", bastion, "-s", "~/.ssh/id_ed25519")


def _restricted(options: str) -> str:
    return f"{_SAVED_AUTH[0]} && sed -i '{_restrict(options)}' {_AUTH}"


def _restrict(options: str) -> str:
    return f"s/^ssh-/{options} ssh-/"


FAULTS = {
    "no ssh": Fault(
        "ssh-missing", "workstation", "mv /usr/bin/ssh /usr/bin/ssh.away", "mv /usr/bin/ssh.away /usr/bin/ssh"
    ),
    "no key": Fault("key-missing", "workstation", *_MV_KEY),
    "key unreadable": Fault(
        "key-unreadable", "workstation", f"chown root {_KEY}; chmod 600 {_KEY}", f"chown alice {_KEY}"
    ),
    "key too open": Fault("key-too-open", "workstation", f"chmod 644 {_KEY}", f"chmod 600 {_KEY}"),
    "key locked": Fault(
        "key-locked",
        "workstation",
        f"cp -p {_KEY} {_KEY}.away; ssh-keygen -q -p -N secret -f {_KEY}; chown alice {_KEY}",
        _MV_KEY[1],
    ),
    "not a key": Fault(
        "key-invalid",
        "workstation",
        f"{_MV_KEY[0]}; install -m 600 -o alice /etc/hostname {_KEY}",
        _MV_KEY[1],
    ),
    "public key": Fault(
        "key-public", "workstation", f"{_MV_KEY[0]}; cp {_KEY}.pub {_KEY}; chown alice {_KEY}", _MV_KEY[1]
    ),
    "no name": Fault("bastion-unresolved", "workstation", ":", ":", _to("tunnel@nowhere.invalid")),
    "refused": Fault("bastion-refused", "workstation", ":", ":", _to("tunnel@bastion:23")),
    "not ssh": Fault(
        "bastion-not-ssh",
        "bastion",
        "systemd-run -q -u notssh sh -c 'while :; do echo hello there | nc -l -q 1 -p 2323; done'; sleep 0.5",
        "systemctl stop notssh",
        _to("tunnel@bastion:2323"),
    ),
    "host key unknown": Fault(
        "host-key-unknown",
        "workstation",
        "mv /home/alice/.ssh/known_hosts /home/alice/kh",
        "mv /home/alice/kh /home/alice/.ssh/known_hosts",
    ),
    "host key changed": Fault(
        "host-key-changed",
        "workstation",
        "cp -p /home/alice/.ssh/known_hosts /home/alice/kh; ssh-keygen -q -t ed25519 -N '' -f /tmp/hk; "
        'printf "bastion %s\\n" "$(cat /tmp/hk.pub)" >/home/alice/.ssh/known_hosts',
        "mv /home/alice/kh /home/alice/.ssh/known_hosts; rm -f /tmp/hk /tmp/hk.pub",
    ),
    "key not authorised": Fault("key-not-accepted", "bastion", *_NO_AUTH),
    "wrong user": Fault("key-not-accepted", "workstation", ":", ":", _to("nobody@bastion")),
    "AllowTcpForwarding no": Fault("forwarding-refused", "bastion", _conf("AllowTcpForwarding no"), _UNCONF),
    "AllowTcpForwarding local": Fault(
        "forwarding-refused", "bastion", _conf("AllowTcpForwarding local"), _UNCONF
    ),
    "DisableForwarding": Fault("forwarding-refused", "bastion", _conf("DisableForwarding yes"), _UNCONF),
    "PermitListen other": Fault("forwarding-refused", "bastion", _conf("PermitListen localhost:9"), _UNCONF),
    "permitlisten other": Fault(
        "forwarding-refused", "bastion", _restricted('permitlisten="localhost:9"'), _SAVED_AUTH[1]
    ),
    "stranger": Fault(
        "port-taken",
        "bastion",
        "systemd-run -q -u stranger /usr/sbin/sshd -D -p 2222; sleep 0.5",
        "systemctl stop stranger",
    ),
    "target down": Fault(
        "target-refused",
        "workstation",
        "systemctl stop ssh",
        "systemctl start ssh",
    ),
    "unit stopped": Fault(
        "unit-stopped", "workstation", f"systemctl stop {WANTED.unit}", ":", STANDING, standing=True
    ),
    "unit disabled": Fault(
        "unit-disabled", "workstation", f"systemctl -q disable {WANTED.unit}", ":", STANDING, standing=True
    ),
    "unit gone": Fault(
        "unit-missing",
        "workstation",
        f"systemctl stop {WANTED.unit}; rm /etc/systemd/system/{WANTED.unit}; systemctl daemon-reload",
        ":",
        STANDING,
        standing=True,
    ),
    "unit outdated": Fault(
        "unit-outdated",
        "workstation",
        f"echo '# by hand' >>{WANTED.folder}/ssh_config",
        ":",
        STANDING,
        standing=True,
    ),
    "dial forbidden": Fault(
        "not-proven", "bastion", _conf("PermitOpen none"), _UNCONF, STANDING, standing=True
    ),
    "key revoked while up": Fault(
        "key-not-accepted",
        "bastion",
        f"{_SAVED_AUTH[0]}; : >{_AUTH}",
        _SAVED_AUTH[1],
        STANDING,
        standing=True,
    ),
}

SCORE: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def score(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the right causes over the injected faults."""
    yield
    right = sum(said == FAULTS[name].slug for name, said in SCORE.items())
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and SCORE:
        reporter.write_line(f"\ndoctor named {right} of {len(SCORE)} causes")


@contextmanager
def _injected(host: Host, fault: Fault) -> Iterator[None]:
    host.sh(fault.inject)
    try:
        yield
    finally:
        host.sh(fault.cure, check=False)


@pytest.mark.parametrize("name", FAULTS)
def test_doctor_names_the_cause_alone_and_first(desk: World, name: str) -> None:
    """Exactly one check fails, with this fault's slug; all behind it are not reached."""
    fault = FAULTS[name]
    if fault.standing:
        done(cli(desk, "setup", *WANTED.argv))
    with _injected(getattr(desk, fault.host), fault):
        result = cli(desk, "doctor", *fault.asked, "--json")
    checks = json.loads(result.stdout)["checks"]
    failed = [check["slug"] for check in checks if check["verdict"] == "failed"]
    SCORE[name] = failed[0] if failed else ""
    assert failed == [fault.slug], result.stdout
    assert result.status == 50
    verdicts = [check["verdict"] for check in checks if check["verdict"] != "warning"]
    behind = verdicts[verdicts.index("failed") + 1 :]
    assert set(behind) <= {"not-reached", "ok"}
    assert not any(check["sentence"].count("?") for check in checks if check["sentence"])


def test_doctor_finds_nothing_where_nothing_is_wrong(desk: World) -> None:
    """A tunnel that works has no check that failed, and exit status 0."""
    done(cli(desk, "setup", *WANTED.argv))
    result = cli(desk, "doctor", *STANDING, "--json")
    checks = json.loads(result.stdout)["checks"]
    assert {check["verdict"] for check in checks} == {"ok"}, result.stdout
    assert result.status == 0


def test_doctor_tells_a_filtered_port_from_a_closed_one(desk: World) -> None:
    """A bastion that drops packets is a time-out, and said to be one."""
    silence(desk.bastion)
    try:
        result = cli(desk, "doctor", *NEW, "--json")
    finally:
        unsilence(desk.bastion)
    checks = json.loads(result.stdout)["checks"]
    assert [check["slug"] for check in checks if check["verdict"] == "failed"] == ["bastion-timeout"]


def test_doctor_changes_nothing(desk: World) -> None:
    """The files of the host are the same after it, and no connection of its own is left."""
    done(cli(desk, "setup", *WANTED.argv))
    before = desk.workstation.tree("/etc", "/home", "/tmp")
    cli(desk, "doctor", *STANDING)
    assert desk.workstation.tree("/etc", "/home", "/tmp") == before
    masters = desk.workstation.sh("ps -eo args | grep '[C]ontrolMaster=yes'", check=False).stdout
    assert masters == ""
