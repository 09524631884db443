"""Deploys to import, or to name on pyinfra's command line."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra import host, inventory
from pyinfra.api import DeployError, deploy

from scitex_ssh.operations import tunnel as operations


@deploy("Tunnels")
def tunnel() -> None:
    """Keep the tunnels that each host's data lists (``tunnels``), proven; see deploys/tunnel.py.

    Data of the host: ``tunnels`` (a list of mappings: ``port``, ``bastion``, ``key``, and if wanted
    ``target``, ``user``, ``engine``, ``keeper``, ``keepalive``, ``name``, ``remote``, ``local``,
    ``dynamic``, ``remote_socket``), ``accept_new_host_key``, ``accept_listening``.
    """
    check()
    wanted = host.data.get("tunnels") or []
    if wanted:
        operations.present(
            name="Tunnels stand and are proven",
            tunnels=wanted,
            accept_new_host_key=bool(host.data.get("accept_new_host_key")),
            host_key_fingerprint=host.data.get("host_key_fingerprint"),
            accept_listening=bool(host.data.get("accept_listening")),
        )


@deploy("Remove tunnels")
def remove() -> None:
    """Remove the tunnels that each host's data lists."""
    check()
    names = [each.name for each in operations.read(host.data.get("tunnels") or [], str(host.name))]
    if names:
        operations.absent(name="Tunnels are gone", ports=(), names=names)


def check() -> None:
    """`DeployError` with every error in the ``tunnels`` of all hosts, before any host is touched."""
    _, errors = operations.read_all({str(each.name): _tunnels(each) for each in inventory})
    if errors:
        raise DeployError(operations.summary(errors))


def _tunnels(each: object) -> Iterable[object]:
    wanted = each.data.get("tunnels")  # type: ignore[attr-defined]  # pyinfra's hosts are untyped
    if wanted is None:
        return []
    # Anything but a list is one bad tunnel, and reported as such.
    return wanted if isinstance(wanted, (list, tuple)) else [wanted]
