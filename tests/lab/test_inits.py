"""Hosts whose PID 1 is not systemd, or none at all, and whose tools are busybox's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote

import pytest

from .fixtures import SHARED
from .hosts import Host
from .shell import Result
from .tunnels import BASTION, PYZ, SCRIPTS, done, idle, install, refused, verified, visit
from .world import KEY, World

pytestmark = pytest.mark.suites("bookworm")

# What each starts: sshd and cron.
OPENRC = """
mkdir -p /etc/runlevels/default
cat >/etc/init.d/ssh <<'EOT'
#!/sbin/openrc-run
command=/usr/sbin/sshd
start_pre() { mkdir -p /run/sshd; }
EOT
cat >/etc/init.d/cron <<'EOT'
#!/sbin/openrc-run
command=/usr/sbin/cron
EOT
chmod 755 /etc/init.d/ssh /etc/init.d/cron
rm -f /etc/rc?.d/*
for service in ssh cron; do ln -s /etc/init.d/$service /etc/runlevels/default/$service; done
"""
RUNIT = r"""
mkdir -p /etc/lab/ssh /etc/lab/cron
printf '#!/bin/sh\nmkdir -p /run/sshd\nexec /usr/sbin/sshd -D\n' >/etc/lab/ssh/run
printf '#!/bin/sh\nexec /usr/sbin/cron -f\n' >/etc/lab/cron/run
chmod 755 /etc/lab/*/run
printf '#!/bin/sh\n' >/etc/runit/1
printf '#!/bin/sh\nexec runsvdir -P /etc/lab\n' >/etc/runit/2
printf '#!/bin/sh\n' >/etc/runit/3
chmod 755 /etc/runit/?
"""
# As on Alpine: every tool that busybox has is busybox's, and what it lacks is not there.
BUSYBOX = """
mkdir -p /opt/tools
/bin/busybox --install -s /opt/tools
for tool in ssh ssh-keygen ssh-keyscan sudo; do ln -s /usr/bin/$tool /opt/tools/$tool; done
ln -sf /bin/busybox /bin/sh
cd /usr/bin && rm -f flock setsid ss ps pgrep crontab systemctl loginctl systemd-run screen tmux
rm -f /usr/sbin/cron /usr/sbin/runuser
sed -i 's|^ENV_PATH.*|ENV_PATH PATH=/opt/tools|' /etc/login.defs
"""
# PID 1 of a container that runs one program: it is no init and looks after nobody.
ALONE = "mkdir -p /run/sshd && /usr/sbin/sshd && while :; do sleep 60; done"


@contextmanager
def another(request: pytest.FixtureRequest, desk: World, init: list[str], made: str) -> Iterator[Host]:
    """Give a host with that PID 1, where bob, who may not use sudo, has a key that the bastion lets in."""
    run = request.config.stash[SHARED]
    host = run.workstation("island", desk.suite, init=init, boot=False)
    try:
        host.add_user("alice")
        host.add_user("bob", shell="/bin/sh")  # noqa: S604  # a login shell, and no command
        host._files(made)
        desk.bastion.authorize("tunnel", host.make_key("bob", f"/home/bob/{KEY}"))
        host.trust("bob", desk.bastion)
        host.authorize("alice", desk.client.read(f"/home/carol/{KEY}.pub").strip())
        host.boot()
        install(host)
        yield host
    finally:
        run.destroy(host)


def bob(host: Host, *words: str) -> Result:
    """Run a command as bob."""
    return host.sh(" ".join(words), user="bob", check=False, timeout=120)


def setup(host: Host, *words: str) -> Result:
    """Set a tunnel up as bob."""
    return bob(host, PYZ, f"setup -p 2222 -b {BASTION} -s ~/{KEY} --yes", *words)


def used_and_left_alone(host: Host, desk: World) -> None:
    """Somebody comes through it; the command and the generic script find nothing to do."""
    assert visit(desk, pinned=host).stdout == "alice\nisland\n"
    assert idle(done(setup(host)))
    script = f"{SCRIPTS}/setup-autossh-service.sh"
    assert idle(done(bob(host, "sh", quote(script), f"-p 2222 -b {BASTION} -s ~/{KEY} --yes")))
    assert "verified" in done(bob(host, PYZ, "status")).stdout


def gone(host: Host) -> None:
    """A script takes it away, with all that was made for it."""
    done(bob(host, "sh", quote(f"{SCRIPTS}/remove-autossh-service.sh"), "-p 2222"))
    left = host.sh(
        "find /home/bob -path '*scitex-ssh*' ! -path '*/.scitex*'; grep -l scitex-ssh /home/bob/.*rc "
        "/home/bob/.profile /var/spool/cron/crontabs/bob; pgrep -U bob -x ssh",
        check=False,
    )
    assert left.stdout == ""


@pytest.mark.parametrize(("init", "made"), [("/sbin/openrc-init", OPENRC), ("/sbin/runit", RUNIT)])
def test_under_another_init_cron_keeps_it(
    desk: World, request: pytest.FixtureRequest, init: str, made: str
) -> None:
    """Chosen by itself, used, and back after a reboot without a login; systemd's keepers are a clear no."""
    with another(request, desk, [init], made) as host:
        for keeper in ("systemd", "systemd-user"):
            refused(setup(host, "--keeper", keeper), "systemd-missing")
        result = done(setup(host))
        assert verified(result)
        assert "Kept by cron, which survives: logout, crash, reboot, reboot without login." in result.stdout
        used_and_left_alone(host, desk)
        host.reboot()
        host.wait_for(f"{PYZ} status -p 2222", 30, user="bob")
        gone(host)


def test_without_an_init_or_the_usual_tools_a_login_keeps_it(
    desk: World, request: pytest.FixtureRequest
) -> None:
    """No cron that bob may use, and no Python: the login, said by itself; the rest is a clear no."""
    with another(request, desk, ["/bin/busybox", "sh", "-c", ALONE], BUSYBOX) as host:
        host.remove_python()
        refused(setup(host, "--keeper", "systemd"), "systemd-missing")
        for keeper in ("screen", "tmux"):
            refused(setup(host, "--keeper", keeper), "keeper-missing")
        # busybox's crontab, which is not setuid here.
        refused(setup(host, "--keeper", "cron"), "cron-denied", "install one that is setuid")
        result = done(setup(host))
        assert verified(result)
        assert "Kept by profile" in result.stdout + result.stderr
        used_and_left_alone(host, desk)
        host.reboot()
        down = bob(host, PYZ, "status")
        assert (down.status, "[keeper-stopped]" in down.stdout) == (50, True), down
        host.sh("for n in 1 2 3 4 5; do sh -lic true & done; wait", user="bob")
        host.wait_for(f"{PYZ} status -p 2222", 30, user="bob")
        done(bob(host, PYZ, "remove -p 2222"))
        assert verified(done(setup(host, "--keeper nohup")))
        gone(host)
