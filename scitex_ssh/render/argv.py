"""One tunnel as the words of one ssh command, which needs none of the tunnel's files."""

from __future__ import annotations

import re

from scitex_ssh.errors import InputError
from scitex_ssh.model import KeyPath, Tunnel
from scitex_ssh.model.forward import Forward
from scitex_ssh.model.text import shown
from scitex_ssh.render.ssh_config import BODY

_FLAGS = {"remote": "-R", "socks": "-R", "local": "-L", "dynamic": "-D"}
# Said by flags of their own, or of the tunnel's folder: by hand, the caller's known_hosts is what counts.
_ELSEWHERE = (
    "HostName",
    "Port",
    "User",
    "IdentityFile",
    "UserKnownHostsFile",
    "GlobalKnownHostsFile",
    "ProxyCommand",
)
# What needs no quotes in a line of ssh_config.
_PLAIN = re.compile(r"[A-Za-z0-9%~/._@+=-]+")


def argv(tunnel: Tunnel) -> list[str]:
    """The words: what the tunnel's own ssh is told, by flags, with no configuration file read.

    Raises:
        InputError: ``bad-key-path`` for a path that no flag of ssh can hold, ``usage`` for what takes
            more than one ssh.
    """
    if tunnel.jumps or tunnel.proxy:
        why = "jump hosts and proxies take more than one command: --as ssh-config has them"
        raise InputError("usage", why=why, command="scitex-ssh render")
    user = tunnel.bastion.user or tunnel.user
    return [
        *("ssh", "-N", "-T", "-F", "none"),
        *_options(tunnel),
        *_identity(tunnel.key),
        *(word for each in tunnel.forwards for word in _forward(each)),
        *([] if user is None else ["-l", user]),
        *("-p", str(tunnel.bastion.port), tunnel.bastion.host),
    ]


def _options(tunnel: Tunnel) -> list[str]:
    """The lines of the tunnel's ssh_config that are the same for every host of it, as flags."""
    keepalive = tunnel.keepalive
    values = {
        "alive_interval": str(keepalive.interval),
        "alive_count": str(keepalive.count),
        "reach_timeout": str(keepalive.connect_timeout),
    }
    lines = BODY.partition("Host hold tunnel release bastion\n")[2].splitlines()
    settings = [line.split(None, 1) for line in lines if line.startswith(" ")]
    pairs = [("ExitOnForwardFailure", "yes"), *settings]
    words = []
    for name, value in pairs:
        if name not in _ELSEWHERE:
            words += ["-o", f"{name}={re.sub('@(.*)@', lambda gap: values[gap[1]], value)}"]
    return words


def _identity(key: KeyPath) -> list[str]:
    if "${" in key:
        why = "ssh would read ${ in it as a variable; scitex-ssh setup can have it"
        raise InputError("bad-key-path", value=shown(key), why=why)
    path = key.replace("%", "%%")
    # Not -i: where there is no such file, ssh would go on with the keys that it knows by itself.
    if _PLAIN.fullmatch(path):
        return ["-o", f"IdentityFile={path}"]
    quoted = re.sub(r'(["\\])', r"\\\1", path)
    return ["-o", f'IdentityFile="{quoted}"']


def _forward(forward: Forward) -> list[str]:
    target = "" if forward.target is None else f":{forward.target}"
    return [_FLAGS[forward.kind], f"{forward.listen}{target}"]
