"""A discovery file: on which node a job's services are, and on which ports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from scitex_ssh.errors import error
from scitex_ssh.model.destination import host_reason
from scitex_ssh.model.text import shown

MOST_BYTES = 64 * 1024
_SUFFIX = "_port"


def local_forwards(text: str, path: str, services: Iterable[str] = ()) -> tuple[str, ...]:
    """What -L takes for the services of a file of this text: each the same port here as on the node.

    The file is one JSON object with ``node`` and, for each service, ``NAME_port``; or ``ports``, an
    object of numbers by name. All else in it is somebody else's. Without ``services``, all are meant.

    Raises:
        TunnelError: ``bad-discovery``.
    """
    data = _object(text, path)
    node = data.get("node")
    reason = host_reason(node) if isinstance(node, str) else "it must be text"
    if reason:
        raise error("bad-discovery", path=path, why=f"its node is no host: {reason}")
    ports = _ports(data, path)
    for name in services:
        if name not in ports:
            known = ", ".join(sorted(ports))
            raise error("bad-discovery", path=path, why=f"it names no port {shown(name)}, but {known}")
    host = f"[{node}]" if ":" in str(node) else node
    # Two names may stand for one port.
    wanted = dict.fromkeys(ports[name] for name in (list(services) or ports))
    return tuple(f"{port}:{host}:{port}" for port in wanted)


def _object(text: str, path: str) -> Mapping[str, object]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise error("bad-discovery", path=path, why="it is not JSON") from problem
    if not isinstance(data, dict):
        raise error("bad-discovery", path=path, why="it is not one JSON object")
    return data


def _ports(data: Mapping[str, object], path: str) -> Mapping[str, int]:
    named = data.get("ports", {})
    if not isinstance(named, dict):
        raise error("bad-discovery", path=path, why="its ports are not an object of numbers by name")
    found = {name[: -len(_SUFFIX)]: port for name, port in data.items() if name.endswith(_SUFFIX)}
    ports = {}
    for name, port in {**found, **named}.items():
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
            raise error("bad-discovery", path=path, why=f"the port {shown(name)} is not one: {shown(port)}")
        ports[name] = port
    if not ports:
        raise error("bad-discovery", path=path, why="it names no port (NAME_port)")
    return ports
