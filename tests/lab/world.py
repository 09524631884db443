"""The smallest world a tunnel makes sense in: a workstation, a bastion and a client."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .hosts import Host
from .lab import Lab, together

NAMES = ("workstation", "bastion", "client")
KEY = ".ssh/id_ed25519"


@dataclass(frozen=True)
class World:
    """Three hosts of one suite.

    `alice` works on the workstation, with sudo, and logs in as `tunnel` on the bastion.
    `carol` works on the client, and logs in as `carol` on the bastion and as `alice` on the
    workstation.
    """

    suite: str
    workstation: Host
    bastion: Host
    client: Host

    @property
    def hosts(self) -> tuple[Host, Host, Host]:
        """The three hosts."""
        return (self.workstation, self.bastion, self.client)


@contextmanager
def inhabited(lab: Lab, suite: str, booted: Collection[str] = NAMES) -> Iterator[World]:
    """Give a world of a suite with its people, and remove it afterwards. Hosts that are not to be booted stay
    off."""
    try:
        world = _made(lab, suite)
        _populate(world)
        together(*(host.boot for host in world.hosts if host.name in booted))
        yield world
    finally:
        lab.destroy(*(host for host in lab.hosts if host.name in NAMES))


def _made(lab: Lab, suite: str) -> World:
    """Make the three hosts, all off."""
    workstation, bastion, client = together(
        lambda: lab.workstation("workstation", suite, boot=False),
        lambda: lab.bastion("bastion", suite, boot=False),
        lambda: lab.client("client", suite, boot=False),
    )
    return World(suite, workstation, bastion, client)


def _populate(world: World) -> None:
    workstation, bastion, client = world.hosts
    workstation.add_user("alice", sudo="nopasswd")
    bastion.add_user("tunnel")
    bastion.add_user("carol")
    client.add_user("carol")
    bastion.authorize("tunnel", workstation.make_key("alice", f"/home/alice/{KEY}"))
    key = client.make_key("carol", f"/home/carol/{KEY}")
    bastion.authorize("carol", key)
    workstation.authorize("alice", key)
    workstation.trust("alice", bastion)
    client.trust("carol", bastion)
