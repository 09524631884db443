"""A gateway on this machine: accounts, what sshd asks, and the units that systemd keeps."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scitex_ssh.errors import error
from scitex_ssh.gateway.service import opened
from scitex_ssh.gateway.settings import FILE, STATE, Settings
from scitex_ssh.render.authorized_keys import SESSION, session

ASK = "/usr/local/lib/scitex-ssh/gateway-keys"
DROP_IN = "/etc/ssh/sshd_config.d/60-scitex-ssh-gateway.conf"
UNITS = "/etc/systemd/system"
NAME = "scitex-ssh-gateway"


@dataclass(frozen=True)
class File:
    """A file as it is to be."""

    path: str
    text: str
    mode: int = 0o644


def files(settings: Settings, python: str = sys.executable) -> list[File]:
    """Every file of a gateway, but for its settings and its database."""
    return [
        File(SESSION, session(), 0o755),
        # sshd runs it with next to no environment; -P keeps the folder that it is run in out of the path.
        File(ASK, f'#!/bin/sh\nexec {python} -m scitex_ssh.gateway.ask "$@"\n', 0o755),
        File(DROP_IN, drop_in(settings)),
        File(f"{UNITS}/{NAME}.service", _serve(settings, python)),
        File(f"{UNITS}/{NAME}-upkeep.service", _upkeep(python)),
        File(f"{UNITS}/{NAME}-upkeep.timer", _timer()),
    ]


def drop_in(settings: Settings) -> str:
    """What sshd is told of the two accounts."""
    gateway_ports = "no" if settings.bind == "localhost" else "clientspecified"
    return f"""\
# Written by scitex-ssh gateway install. Two accounts without passwords, whose keys the gateway knows.
Match User {settings.ssh_user},{settings.enrol_user}
    AuthorizedKeysCommand {ASK} %u %t %k
    AuthorizedKeysCommandUser {settings.enrol_user}
    AuthorizedKeysFile none
    AuthenticationMethods publickey
    AllowAgentForwarding no
    AllowStreamLocalForwarding no
    PermitTTY no
    PermitTunnel no
    PermitUserRC no
    X11Forwarding no
    # A connection that is gone without a word is noticed, and its port free, within a minute or two.
    ClientAliveInterval 15
    ClientAliveCountMax 3
Match User {settings.ssh_user}
    AllowTcpForwarding yes
    GatewayPorts {gateway_ports}
Match User {settings.enrol_user}
    AllowTcpForwarding no
    MaxSessions 1
Match all
"""


def due(settings: Settings, http: bool) -> list[str]:
    """What `install` would do now."""
    accounts = [name for name, _ in _accounts(settings) if not _known(name)]
    written = [file.path for file in files(settings) if not _is_there(file)]
    settled = [] if FILE.exists() else [str(FILE)]
    database = [] if _has_database(settings) else [f"database {_named(settings)}"]
    units = [f"{unit} runs" for unit in _units(http) if not _is_up(unit)]
    return [*(f"account {name}" for name in accounts), *settled, *written, *database, *units]


def install(settings: Settings, http: bool) -> Iterator[str]:
    """Make it so, and say what was done; a second run says nothing.

    Raises:
        SSHError: ``gateway-install`` when a step fails. sshd keeps its former configuration then.
    """
    if os.geteuid() != 0:
        raise error("gateway-install", why="it takes root")
    for account, home in _accounts(settings):
        if not _known(account):
            _add(account, home)
            yield f"account {account}"
    yield from _settings(settings)
    changed = []
    for file in files(settings):
        if not _is_there(file):
            _write(file)
            changed.append(file.path)
            yield file.path
    yield from _database(settings)
    if DROP_IN in changed:
        _sshd()
    if any(path.startswith(UNITS) for path in changed):
        _run("systemctl", "daemon-reload")
    for unit in _units(http):
        if not _is_up(unit):
            _run("systemctl", "enable", "--now", unit)
            yield f"{unit} runs"
        elif f"{UNITS}/{unit}" in changed:
            _run("systemctl", "restart", unit)


def _accounts(settings: Settings) -> tuple[tuple[str, str], tuple[str, str]]:
    return (settings.enrol_user, STATE), (settings.ssh_user, f"/home/{settings.ssh_user}")


def _units(http: bool) -> list[str]:
    return [f"{NAME}-upkeep.timer", *([f"{NAME}.service"] if http else [])]


def _settings(settings: Settings) -> Iterator[str]:
    """The file of settings, for the root and the gateway to read: it may hold API keys."""
    if not FILE.exists():
        FILE.parent.mkdir(parents=True, exist_ok=True)
        text = (
            f"# Settings of the gateway: see scitex-ssh gateway serve --help.\nSSH_USER={settings.ssh_user}\n"
        )
        text += f"SCITEX_SSH_GATEWAY_ENROL_USER={settings.enrol_user}\n"
        _write(File(str(FILE), text, 0o640))
        yield str(FILE)
    shutil.chown(FILE, "root", settings.enrol_user)


def _has_database(settings: Settings) -> bool:
    """Whether the database is there; one on a server is the server's to have."""
    path = settings.database.removeprefix("sqlite:///")
    return path == settings.database or Path(path).exists()


def _named(settings: Settings) -> str:
    return settings.database.partition("?")[0]


def _database(settings: Settings) -> Iterator[str]:
    state = Path(STATE)
    state.mkdir(mode=0o750, parents=True, exist_ok=True)
    there = _has_database(settings)
    opened(settings).close()
    if not there:
        yield f"database {_named(settings)}"
    # Not the enrolling account's to replace by a link: chown below goes to what is there.
    for path in (state, *state.glob("gateway.db*")):
        shutil.chown(path, settings.enrol_user, settings.enrol_user)


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _add(name: str, home: str) -> None:
    # '*' is a password that never matches; '!' would lock the account for keys as well. The shell runs
    # the forced commands.
    _run("useradd", "--system", "--user-group", "--create-home", "--home-dir", home, "--shell", "/bin/sh",
         "--password", "*", name)  # fmt: skip


def _is_there(file: File) -> bool:
    path = Path(file.path)
    return path.exists() and path.read_text() == file.text and path.stat().st_mode & 0o777 == file.mode


def _write(file: File) -> None:
    path = Path(file.path)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as made:
        made.write(file.text)
        os.fchmod(made.fileno(), file.mode)
    beside.replace(path)


def _sshd() -> None:
    """Have sshd read its configuration again, if it can."""
    tried = subprocess.run(["sshd", "-t"], capture_output=True, text=True)
    if tried.returncode != 0:
        Path(DROP_IN).unlink()
        why = f"sshd does not take {DROP_IN}, which is removed again: {tried.stderr.strip()}"
        raise error("gateway-install", why=" ".join(why.split()))
    _run("systemctl", "reload", "ssh.service")


def _is_up(unit: str) -> bool:
    return all(
        subprocess.run(["systemctl", "-q", word, unit], capture_output=True).returncode == 0
        for word in ("is-enabled", "is-active")
    )


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as problem:
        raise error("gateway-install", why=f"there is no {command[0]} on this machine") from problem
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise error("gateway-install", why=f"{' '.join(command[:3])} failed: {lines[-1]}")


def _serve(settings: Settings, python: str) -> str:
    return f"""\
[Unit]
Description=Gateway of scitex-ssh, over HTTP
After=network-online.target
Wants=network-online.target

[Service]
User={settings.enrol_user}
EnvironmentFile={FILE}
ExecStart={python} -m scitex_ssh gateway serve
Restart=always
RestartSec=2
# Its database is all that it writes.
StateDirectory={NAME}
StateDirectoryMode=0750
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
# It reads /proc/net/tcp, which is there without the processes of others.
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def _upkeep(python: str) -> str:
    return f"""\
[Unit]
Description=Leases of the gateway of scitex-ssh: renewed, ended, cut

[Service]
Type=oneshot
EnvironmentFile={FILE}
ExecStart={python} -m scitex_ssh gateway tick
# Root, since sshd shows to nobody else which session holds a port, with no more rights than that.
CapabilityBoundingSet=CAP_KILL CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={STATE}
# The host keys that ssh is to expect are written to a file there.
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077
"""


def _timer() -> str:
    return f"""\
[Unit]
Description=Every 20 seconds: {NAME}-upkeep.service

[Timer]
OnBootSec=20
OnUnitInactiveSec=20
AccuracySec=1

[Install]
WantedBy=timers.target
"""
