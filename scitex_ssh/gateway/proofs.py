"""What answers on the ports of machines, dialled from this bastion: their own sshd, or another."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from scitex_ssh.gateway.machine import Machine

# It answers with the machine's own host key; with another one; with no key that is known; not at all.
VERIFIED, OTHER, OPEN, SILENT = "verified", "other", "open", "silent"
SECONDS = 5
# So many at a time, each a process for some tenths of a second.
_AT_ONCE = 8


def dial(machines: Iterable[Machine]) -> dict[str, str]:
    """What answers on the port of each machine, by its id."""
    chosen = [machine for machine in machines if machine.port is not None]
    if not chosen:
        return {}
    with ThreadPoolExecutor(min(_AT_ONCE, len(chosen))) as crowd:
        return dict(zip((machine.id for machine in chosen), crowd.map(_proof, chosen)))


def _proof(machine: Machine) -> str:
    port = machine.port or 0
    return _by_key(port, machine.host_keys) if machine.host_keys else _greeting(port)


def _by_key(port: int, host_keys: str) -> str:
    """Have ssh ask for the host key, with no way to log in: that its key was right is all that is wanted.

    ssh-keyscan would not do: it believes whoever sends the public half.
    """
    with tempfile.NamedTemporaryFile("w", prefix="scitex-ssh-", encoding="ascii") as known:
        known.write("".join(f"machine {key}\n" for key in host_keys.splitlines()))
        known.flush()
        options = {
            "BatchMode": "yes",
            "CheckHostIP": "no",
            "ConnectTimeout": str(SECONDS),
            "ControlPath": "none",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": "machine",
            "IdentityFile": "none",
            "PreferredAuthentications": "none",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": known.name,
        }
        command = ["ssh", "-n", "-F", "none", *(f"-o{name}={value}" for name, value in options.items())]
        try:
            done = subprocess.run(
                [*command, "-p", str(port), "-l", "nobody", "localhost", "true"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=2 * SECONDS,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return SILENT
    if done.returncode == 0 or "Permission denied" in done.stderr:
        return VERIFIED
    if "Host key verification failed" in done.stderr:
        return OTHER
    return SILENT


def _greeting(port: int) -> str:
    """Whether something says that it speaks SSH."""
    try:
        with socket.create_connection(("localhost", port), timeout=SECONDS) as line:
            return OPEN if line.recv(4) == b"SSH-" else SILENT
    except OSError:
        return SILENT
