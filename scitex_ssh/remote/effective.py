"""What ssh makes of all its configuration for one host."""

from __future__ import annotations

import subprocess

from scitex_ssh.remote.way import Way


def effective(way: Way) -> dict[str, list[str]]:
    """The values of ``ssh -G``, by their names in small letters; empty where there is no ssh."""
    with way.opened() as folder:
        command = ["ssh", "-G", *way.flags, "-F", str(folder.config), *way.host.arguments]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except FileNotFoundError:
            return {}
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found
