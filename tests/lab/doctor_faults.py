"""The faults that doctor is tried on: how each comes and goes, and what doctor must say."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from .tunnels import Wanted

WANTED = Wanted()
NEW = ("-p", "2222", "-b", "tunnel@bastion", "-s", "~/.ssh/id_ed25519")
STANDING = ("-p", "2222")
CONF = "/etc/ssh/sshd_config.d/fault.conf"
RELOAD = "systemctl reload ssh"


@dataclass(frozen=True)
class Fault:
    """Something that is wrong: how it comes, how it goes, and what doctor must say.

    ``host`` is where the scripts run; ``asked`` are doctor's flags; ``standing`` tells that a tunnel
    was set up before, with ``flags``. ``seen`` must stand in
    what doctor says. ``verdict`` is ``warning`` for what will hurt one day only.
    """

    slug: str
    host: str
    inject: str
    cure: str
    asked: tuple[str, ...] = NEW
    standing: bool = False
    seen: str = ""
    verdict: str = "failed"
    flags: tuple[str, ...] = ()


def sshd(*lines: str) -> str:
    """A script that gives an sshd more settings."""
    return f"printf '%s\\n' {' '.join(map(quote, lines))} >{CONF} && {RELOAD}"


UNCONF = f"rm -f {CONF} && {RELOAD}"
KEY = "/home/alice/.ssh/id_ed25519"
_MV_KEY = (f"mv {KEY} {KEY}.away", f"rm -f {KEY}; mv {KEY}.away {KEY}")
_AUTH = "/home/tunnel/.ssh/authorized_keys"
_SAVED_AUTH = (f"cp -p {_AUTH} {_AUTH}.away", f"mv {_AUTH}.away {_AUTH}")


_NO_AUTH = (f"{_SAVED_AUTH[0]}; : >{_AUTH}", _SAVED_AUTH[1])


def _to(bastion: str) -> tuple[str, ...]:
    return ("-b", bastion, "-s", "~/.ssh/id_ed25519")


def _restricted(options: str) -> str:
    return f"{_SAVED_AUTH[0]} && sed -i 's|^ssh-|{options} ssh-|' {_AUTH}"


def _instead(path: str, script: str) -> tuple[str, str]:
    """Put a script in the place of a program, and the program back."""
    lines = f'#!/bin/sh\n{script}\nexec {path}.away "$@"\n'
    return (
        f"mv {path} {path}.away; printf %b {quote(lines)} >{path}; chmod 755 {path}",
        f"mv {path}.away {path}",
    )


def _drop_in(*lines: str) -> tuple[str, str]:
    """Change the unit by hand, as an administrator does, and start it again."""
    folder = f"/etc/systemd/system/{WANTED.unit}.d"
    return (
        f"mkdir {folder}; printf '%s\\n' {' '.join(map(quote, lines))} >{folder}/by-hand.conf; "
        f"systemctl daemon-reload; systemctl restart {WANTED.unit}; sleep 4",
        f"rm -r {folder}; systemctl daemon-reload",
    )


def _wall(action: str) -> tuple[str, str]:
    """What fail2ban does with an address: its packets to sshd are dropped or rejected."""
    return (
        "nft add table inet ban; nft add chain inet ban input '{ type filter hook input priority 0; }'; "
        f"nft add rule inet ban input tcp dport 22 {action}",
        "nft delete table inet ban",
    )


def _own_config(*lines: str) -> tuple[str, str]:
    """Give alice an ssh_config of her own."""
    path = "/home/alice/.ssh/config"
    return (f"printf '%s\\n' {' '.join(map(quote, lines))} >{path}; chown alice {path}", f"rm {path}")


_MUTE = 'command="/bin/false"'
_UNIT = f"/etc/systemd/system/{WANTED.unit}"


FAULTS = {
    # this machine
    "no ssh": Fault(
        "ssh-missing", "workstation", "mv /usr/bin/ssh /usr/bin/ssh.away", "mv /usr/bin/ssh.away /usr/bin/ssh"
    ),
    "no autossh": Fault(
        "ssh-missing",
        "workstation",
        "mv /usr/bin/autossh /usr/bin/autossh.away",
        "mv /usr/bin/autossh.away /usr/bin/autossh",
        STANDING,
        standing=True,
        flags=("--engine=autossh",),
        seen="there is no autossh",
    ),
    "ssh too old": Fault(
        "ssh-too-old",
        "workstation",
        *_instead("/usr/bin/ssh", '[ "$1" != -V ] || { echo OpenSSH_7.4p1 >&2; exit; }'),
    ),
    "disk full": Fault(
        "disk-full",
        "workstation",
        "mkdir -p /etc/scitex-ssh; mount -t tmpfs -o size=16k none /etc/scitex-ssh; "
        "cat /dev/zero >/etc/scitex-ssh/full 2>/dev/null; :",
        "umount /etc/scitex-ssh; rmdir /etc/scitex-ssh",
    ),
    # the key
    "no key": Fault("key-missing", "workstation", *_MV_KEY),
    "key unreadable": Fault(
        "key-unreadable", "workstation", f"chown root {KEY}; chmod 600 {KEY}", f"chown alice {KEY}"
    ),
    "key too open": Fault("key-too-open", "workstation", f"chmod 644 {KEY}", f"chmod 600 {KEY}"),
    "key locked": Fault(
        "key-locked",
        "workstation",
        f"cp -p {KEY} {KEY}.away; ssh-keygen -q -p -N secret -f {KEY}; chown alice {KEY}",
        _MV_KEY[1],
    ),
    "not a key": Fault(
        "key-invalid",
        "workstation",
        f"{_MV_KEY[0]}; install -m 600 -o alice /etc/hostname {KEY}",
        _MV_KEY[1],
    ),
    "public key": Fault(
        "key-public", "workstation", f"{_MV_KEY[0]}; cp {KEY}.pub {KEY}; chown alice {KEY}", _MV_KEY[1]
    ),
    # the way
    "no name": Fault("bastion-unresolved", "workstation", ":", ":", _to("tunnel@nowhere.invalid")),
    "an alias of ssh_config": Fault(
        "bastion-alias",
        "workstation",
        *_own_config("Host gate", "HostName bastion", "User tunnel"),
        _to("gate"),
        seen="tunnel@bastion",
    ),
    "refused": Fault("bastion-refused", "workstation", ":", ":", _to("tunnel@bastion:23")),
    "fail2ban rejects": Fault("bastion-banned", "bastion", *_wall("reject")),
    "fail2ban drops": Fault("bastion-filtered", "bastion", *_wall("drop")),
    "not ssh": Fault(
        "bastion-not-ssh",
        "bastion",
        "systemd-run -q -u notssh sh -c 'while :; do echo hello there | nc -l -q 1 -p 2323; done'; sleep 0.5",
        "systemctl stop notssh",
        _to("tunnel@bastion:2323"),
    ),
    "MaxStartups": Fault(
        "bastion-full",
        "bastion",
        f"{sshd('MaxStartups 1:100:1')}; systemd-run -q -u hog sh -c 'sleep 60 | nc 127.0.0.1 22'; sleep 1",
        f"systemctl stop hog; {UNCONF}",
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
    "wrong user, and ssh_config knows": Fault(
        "wrong-user",
        "workstation",
        *_own_config("Host bastion", "User tunnel"),
        _to("nobody@bastion"),
        seen="tunnel@...",
    ),
    # From outside it looks like a key that is not authorised: sshd does not tell. The next move names it.
    "account locked": Fault(
        "key-not-accepted",
        "bastion",
        f"usermod -L tunnel; {sshd('UsePAM no')}",
        f"usermod -U tunnel; {UNCONF}",
        seen="a locked account",
    ),
    "account expired": Fault("account-expired", "bastion", "usermod -e 1 tunnel", "usermod -e '' tunnel"),
    "closed by /etc/nologin": Fault(
        "account-refused",
        "bastion",
        "echo 'The gate is shut.' >/etc/nologin",
        "rm /etc/nologin",
        seen="The gate is shut.",
    ),
    # forwarding
    "AllowTcpForwarding no": Fault(
        "forwarding-off",
        "bastion",
        sshd("AllowTcpForwarding no"),
        UNCONF,
        seen="fault.conf:1:AllowTcpForwarding no",
    ),
    "AllowTcpForwarding local": Fault(
        "forwarding-off", "bastion", sshd("AllowTcpForwarding local"), UNCONF, seen="AllowTcpForwarding local"
    ),
    "DisableForwarding": Fault(
        "forwarding-off", "bastion", sshd("DisableForwarding yes"), UNCONF, seen="DisableForwarding yes"
    ),
    "PermitListen other": Fault(
        "listen-limited", "bastion", sshd("PermitListen localhost:9"), UNCONF, seen="PermitListen localhost:9"
    ),
    "AllowTcpForwarding no, by its doing": Fault(
        "forwarding-off",
        "bastion",
        f"{_restricted(_MUTE)}; {sshd('AllowTcpForwarding no')}",
        f"{_SAVED_AUTH[1]}; {UNCONF}",
        seen="neither listen nor dial",
    ),
    "AllowTcpForwarding local, by its doing": Fault(
        "forwarding-off",
        "bastion",
        f"{_restricted(_MUTE)}; {sshd('AllowTcpForwarding local')}",
        f"{_SAVED_AUTH[1]}; {UNCONF}",
        seen="dial ports, but listen on none",
    ),
    "PermitListen, by its doing": Fault(
        "listen-limited",
        "bastion",
        f"{_restricted(_MUTE)}; {sshd('PermitListen localhost:2223')}",
        f"{_SAVED_AUTH[1]}; {UNCONF}",
        seen="port 2223 is let, 2222 is not",
    ),
    "permitlisten other": Fault(
        "key-listens-elsewhere", "bastion", _restricted('permitlisten="localhost:9"'), _SAVED_AUTH[1]
    ),
    "restrict": Fault("key-no-forwarding", "bastion", _restricted("restrict"), _SAVED_AUTH[1]),
    "permitopen for permitlisten": Fault(
        "permitopen-alone",
        "bastion",
        _restricted('restrict,port-forwarding,permitopen="localhost:22"'),
        _SAVED_AUTH[1],
        STANDING,
        standing=True,
    ),
    "PermitOpen": Fault(
        "dial-limited",
        "bastion",
        sshd("PermitOpen none"),
        UNCONF,
        STANDING,
        standing=True,
        seen="PermitOpen none",
    ),
    "permitopen other": Fault(
        "not-proven",
        "bastion",
        _restricted('restrict,port-forwarding,permitlisten="localhost:2222",permitopen="localhost:22"'),
        _SAVED_AUTH[1],
        STANDING,
        standing=True,
    ),
    # the port
    "stranger": Fault(
        "port-taken",
        "bastion",
        "systemd-run -q -u stranger /usr/sbin/sshd -D -p 2222; sleep 0.5",
        "systemctl stop stranger",
    ),
    "stranger took it meanwhile": Fault(
        "port-taken",
        "bastion",
        "systemd-run -q -u stranger sh -c "
        "'while :; do pkill -u tunnel sshd; /usr/sbin/sshd -D -p 2222; done'; sleep 2",
        "systemctl stop stranger",
        STANDING,
        standing=True,
    ),
    "another tunnel of this machine": Fault(
        "port-held-here",
        "workstation",
        "systemd-run -q --uid=alice -u other ssh -o BatchMode=yes -N -R 2222:localhost:22 tunnel@bastion; "
        "sleep 1",
        "systemctl stop other",
        seen="ssh -o BatchMode=yes -N -R 2222:localhost:22",
    ),
    "an ephemeral port": Fault(
        "port-ephemeral",
        "workstation",
        ":",
        ":",
        ("-p", "40000", *NEW[2:]),
        verdict="warning",
    ),
    "GatewayPorts yes, before": Fault(
        "port-exposed",
        "bastion",
        sshd("GatewayPorts yes"),
        UNCONF,
        verdict="warning",
        seen="GatewayPorts yes",
    ),
    "GatewayPorts yes, since": Fault(
        "bind-exposed",
        "bastion",
        f"{sshd('GatewayPorts yes')}; pkill -u tunnel sshd; sleep 4",
        UNCONF,
        STANDING,
        standing=True,
    ),
    "GatewayPorts no, and a public bind": Fault(
        "bind-refused",
        "workstation",
        ":",
        ":",
        (*_to("tunnel@bastion"), "-R", "*:2222:localhost:22"),
        seen="its localhost only",
    ),
    "another tunnel of ours has the port": Fault(
        "port-of-tunnel",
        "workstation",
        ":",
        ":",
        (*_to("tunnel@bastion"), "-R", "2222:localhost:22", "-n", "other"),
        standing=True,
        seen="the tunnel 2222 of this machine",
    ),
    "nologin and ClientAliveInterval off": Fault(
        "no-take-back",
        "bastion",
        "usermod -s /usr/sbin/nologin tunnel",
        "usermod -s /bin/bash tunnel",
        verdict="warning",
    ),
    "half-rate probes of sshd 9.2": Fault(
        "half-rate",
        "bastion",
        f"{_restricted(_MUTE)}; {sshd('ClientAliveInterval 1')}",
        f"{_SAVED_AUTH[1]}; {UNCONF}",
        verdict="warning",
    ),
    "a clock a day off": Fault(
        "clock-off",
        "bastion",
        *_instead(
            "/usr/bin/date", '[ "$1" != +%s ] || { echo $(($(/usr/bin/date.away +%s) - 86400)); exit; }'
        ),
        verdict="warning",
        seen="differ by 864",
    ),
    "a home that others can write to": Fault(
        "home-too-open",
        "workstation",
        "chmod g+w /home/alice/.ssh",
        "chmod g-w /home/alice/.ssh",
        verdict="warning",
        seen="/home/alice/.ssh",
    ),
    # the target
    "target down": Fault("target-refused", "workstation", "systemctl stop ssh", "systemctl start ssh"),
    "a target that is none": Fault(
        "target-refused", "workstation", ":", ":", (*NEW, "--target", "localhost:9"), seen="localhost:9"
    ),
    "sshd on another port": Fault(
        "target-elsewhere",
        "workstation",
        f"echo 'Port 2022' >{CONF}; systemctl restart ssh",
        f"rm {CONF}; systemctl restart ssh",
        seen="--target localhost:2022",
    ),
    # the keeper
    "unit stopped": Fault(
        "unit-stopped", "workstation", f"systemctl stop {WANTED.unit}", ":", STANDING, standing=True
    ),
    "unit disabled": Fault(
        "unit-disabled", "workstation", f"systemctl -q disable {WANTED.unit}", ":", STANDING, standing=True
    ),
    "unit masked": Fault(
        "unit-masked",
        "workstation",
        f"systemctl stop {WANTED.unit}; ln -sf /dev/null {_UNIT}; systemctl daemon-reload",
        f"rm {_UNIT}; systemctl daemon-reload",
        STANDING,
        standing=True,
    ),
    "unit gone": Fault(
        "unit-missing",
        "workstation",
        f"systemctl stop {WANTED.unit}; rm {_UNIT}; systemctl daemon-reload",
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
    "unit failing": Fault(
        "unit-failing",
        "workstation",
        *_drop_in("[Service]", "ExecStart=", "ExecStart=/bin/false"),
        STANDING,
        standing=True,
    ),
    "unit start-limited": Fault(
        "unit-start-limited",
        "workstation",
        *_drop_in(
            *("[Unit]", "StartLimitIntervalSec=99", "StartLimitBurst=2"),
            *("[Service]", "ExecStart=", "ExecStart=/bin/false"),
        ),
        STANDING,
        standing=True,
    ),
    "key revoked while up": Fault("key-not-accepted", "bastion", *_NO_AUTH, STANDING, standing=True),
}
