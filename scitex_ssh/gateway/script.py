"""A POSIX script that enrols a machine without Python, then sets its tunnel up."""

from __future__ import annotations

from importlib.resources import files
from shlex import quote

from scitex_ssh.backends import shell
from scitex_ssh.gateway.client import split
from scitex_ssh.model import Destination


def script(url: str) -> str:
    """The script for a gateway; `InputError` for what is no address of one."""
    parts = split(url)
    there = Destination.parse(url[len("ssh://") :].rstrip("/")) if parts.scheme == "ssh" else None
    values = {
        "url": url.rstrip("/"),
        "scheme": parts.scheme,
        "host": str(parts.hostname),
        "port": str(there.port) if there else "",
        "user": (there.user or "enrol") if there else "",
    }
    text = files("scitex_ssh.gateway").joinpath("enrol.sh").read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", quote(value), 1)
    return text + shell.generic_scripts()["setup-autossh-service.sh"].partition("\n")[2]
