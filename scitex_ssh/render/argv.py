"""One tunnel as the words of one ssh command, which needs none of the tunnel's files."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

from scitex_ssh.errors import InputError
from scitex_ssh.model import Destination, Keepalive, KeyPath, Tunnel
from scitex_ssh.model.forward import Forward
from scitex_ssh.model.text import shown
from scitex_ssh.model.way import Proxy
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

    Each jump host is one more ssh, whose words are a word of the one that goes on from there; a proxy is
    spoken to by nc of OpenBSD.

    Raises:
        InputError: ``bad-key-path`` for a path that no flag of ssh can hold.
    """
    way = [*tunnel.jumps, tunnel.bastion]
    keys = [*tunnel.jump_keys, *[tunnel.key] * len(way)]
    through = "" if tunnel.proxy is None else _asking(tunnel.proxy)
    for number, (hop, onward) in enumerate(zip(way, way[1:]), 1):
        flags = [*_hop_options(tunnel.keepalive, number), *_through(through), *_identity(keys[number - 1])]
        words = ["ssh", "-F", "none", *flags, "-W", str(onward.address), *_login(tunnel, hop)]
        # Each ssh expands % in what it hands to the shell.
        through = shlex.join(words).replace("%", "%%")
    return [
        *("ssh", "-N", "-T", "-F", "none", "-o", "ExitOnForwardFailure=yes"),
        *_options(tunnel.keepalive, len(way) * tunnel.keepalive.connect_timeout),
        *_through(through),
        *_identity(tunnel.key),
        *(word for each in tunnel.forwards for word in _forward(each)),
        *_login(tunnel, tunnel.bastion),
    ]


def _login(tunnel: Tunnel, host: Destination) -> list[str]:
    user = host.user or tunnel.user
    return [*([] if user is None else ["-l", user]), "-p", str(host.port), host.host]


def _asking(proxy: Proxy) -> str:
    return f"nc -X {'connect' if proxy.kind == 'http' else '5'} -x '{proxy.address}' %h %p"


def _through(command: str) -> list[str]:
    return ["-o", f"ProxyCommand={command}"] if command else []


def _hop_options(keepalive: Keepalive, number: int) -> list[str]:
    """As the tunnel's file has them: the tunnel's own ssh looks through a hop from end to end."""
    patient = replace(keepalive, interval=2 * keepalive.interval, count=4 * keepalive.count + 3)
    return _options(patient, number * keepalive.connect_timeout)


def _options(keepalive: Keepalive, timeout: int) -> list[str]:
    """The lines of the tunnel's ssh_config that are the same for every host of it, as flags."""
    values = {
        "alive_interval": str(keepalive.interval),
        "alive_count": str(keepalive.count),
        "reach_timeout": str(timeout),
    }
    lines = BODY.partition("Host hold tunnel release bastion\n")[2].splitlines()
    words = []
    for name, value in (line.split(None, 1) for line in lines if line.startswith(" ")):
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
