"""The network of one lab run: an internet, with homes behind routers that translate addresses.

Every interface is made inside a namespace of the run, so nothing reaches the machine's own network
and interface names cannot clash with those of another run.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from threading import Lock

from .command import run

# Ranges set aside for documentation: no real host has these addresses.
PUBLIC = IPv4Network("203.0.113.0/24")
PUBLIC6 = IPv6Network("2001:db8:0:1::/64")

# The first addresses of a segment are kept for its gateway.
FIRST_HOST, LAST_HOST = 10, 254

# A home lets its packets out under its public address, and in what they were answered with.
HOME_ROUTER = """
table inet home {
  chain postrouting { type nat hook postrouting priority 100; policy accept;
    oifname "wan" masquerade
  }
  chain forward { type filter hook forward priority 0; policy drop;
    iifname "lan" accept
    ct state established,related accept
  }
  chain input { type filter hook input priority 0; policy drop;
    iifname { "lan", "lo" } accept
    ct state established,related accept
    meta l4proto { icmp, ipv6-icmp } accept
  }
}
"""


def ip(namespace: str, *words: str) -> str:
    """Run `ip` in a namespace."""
    return run("ip", "-n", namespace, *words)


def nft(namespace: str, rules: str) -> str:
    """Load nftables rules in a namespace."""
    return run("ip", "netns", "exec", namespace, "nft", "-f", "-", input=rules)


def add_namespace(name: str, *, forwarding: bool = False) -> None:
    """Make a namespace whose loopback is up, as a router when it forwards."""
    run("ip", "netns", "add", name)
    ip(name, "link", "set", "lo", "up")
    if forwarding:
        script = "cd /proc/sys/net; echo 1 | tee ipv4/ip_forward ipv6/conf/all/forwarding"
        run("ip", "netns", "exec", name, "sh", "-c", script)


def hardware_address(name: str) -> str:
    """A private hardware address, the same each time for the same name."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ":".join(["02", *(digest[at : at + 2] for at in range(0, 10, 2))])


class Segment:
    """A switched network with a gateway: the internet's, or a home's."""

    def __init__(self, namespace: str, bridge: str, net: IPv4Network, net6: IPv6Network) -> None:
        self.namespace = namespace
        self.bridge = bridge
        self.net = net
        self.net6 = net6
        self.gateway = net[1]
        self.gateway6 = net6[1]
        self._lock = Lock()
        self._ports = itertools.count()
        self._taken: set[int] = set()
        # Going round before using a number again keeps a new host from inheriting another's peers.
        self._numbers = itertools.cycle(range(FIRST_HOST, LAST_HOST + 1))

    def create(self) -> None:
        """Make the bridge and give the gateway its addresses."""
        options = ("forward_delay", "0", "mcast_snooping", "0")
        # Of its own, or it would be that of a port: hosts would look for the gateway where the port is.
        card = ("address", hardware_address(f"{self.namespace} {self.bridge}"))
        ip(self.namespace, "link", "add", "name", self.bridge, *card, "type", "bridge", *options)
        ip(self.namespace, "link", "set", self.bridge, "up")
        for address, net in ((self.gateway, self.net), (self.gateway6, self.net6)):
            _add_address(self.namespace, self.bridge, f"{address}/{net.prefixlen}")

    def take_port(self) -> str:
        """Return a name for a new port of the bridge, at most 15 characters long."""
        with self._lock:
            return f"{self.bridge}-p{next(self._ports)}"

    def take_number(self) -> int:
        """Return the host part of an address that nobody holds."""
        with self._lock:
            for number in itertools.islice(self._numbers, LAST_HOST - FIRST_HOST + 1):
                if number not in self._taken:
                    self._taken.add(number)
                    return number
        raise RuntimeError(f"All addresses of {self.net} are taken.")

    def free_number(self, number: int) -> None:
        """Give the host part of an address back."""
        with self._lock:
            self._taken.discard(number)


class Link:
    """The cable between a namespace and its segment, with the addresses at its end."""

    def __init__(self, namespace: str, interface: str, segment: Segment) -> None:
        self.namespace = namespace
        self.interface = interface
        self.segment = segment
        self.port = segment.take_port()
        self._number = segment.take_number()

    @property
    def address(self) -> IPv4Address:
        """The IPv4 address of the far end."""
        return self.segment.net[self._number]

    @property
    def address6(self) -> IPv6Address:
        """The IPv6 address of the far end."""
        return self.segment.net6[self._number]

    def plug(self) -> None:
        """Lay the cable, up at both ends, and set addresses and routes."""
        far, near = self.namespace, self.segment.namespace
        peer = ("type", "veth", "peer", "name", self.port, "netns", near)
        # One card for good: with a new address at each boot, the others' ARP tables point to the old one.
        card = ("address", hardware_address(f"{self.namespace} {self.port}"))
        run("ip", "link", "add", "name", self.interface, *card, "netns", far, *peer)
        ip(near, "link", "set", self.port, "master", self.segment.bridge, "up")
        ip(far, "link", "set", self.interface, "up")
        self._set_addresses()

    def unplug(self) -> None:
        """Take the cable away: no packet leaves from here on."""
        ip(self.segment.namespace, "link", "del", self.port)

    def renumber(self) -> None:
        """Change to new addresses, as after a new lease."""
        former = self._number
        self._number = self.segment.take_number()
        self.segment.free_number(former)
        ip(self.namespace, "addr", "flush", "dev", self.interface, "scope", "global")
        self._set_addresses()

    def free(self) -> None:
        """Give the addresses back."""
        self.segment.free_number(self._number)

    def _set_addresses(self) -> None:
        segment = self.segment
        for address, net in ((self.address, segment.net), (self.address6, segment.net6)):
            _add_address(self.namespace, self.interface, f"{address}/{net.prefixlen}")
        for gateway in (str(segment.gateway), str(segment.gateway6)):
            # The address was set a moment ago and took the former route with it, or there was none.
            ip(self.namespace, "route", "replace", "default", "via", gateway, "dev", self.interface)


class Router:
    """A home's router: outgoing traffic leaves under its public address, nothing comes in."""

    def __init__(self, namespace: str, public: Segment, number: int) -> None:
        self.namespace = namespace
        self.wan = Link(namespace, "wan", public)
        self.lan = Segment(
            namespace,
            "lan",
            IPv4Network(f"192.168.{number}.0/24"),
            IPv6Network(f"fd00:0:0:{number:x}::/64"),
        )
        self._hosts = 0

    def create(self) -> None:
        """Make the namespace, its two sides and the rules between them."""
        add_namespace(self.namespace, forwarding=True)
        self.lan.create()
        self.wan.plug()
        nft(self.namespace, HOME_ROUTER)

    def join(self, namespace: str) -> Link:
        """Return a link for one more host of this home."""
        self._hosts += 1
        return Link(namespace, "eth0", self.lan)

    def leave(self) -> None:
        """Let a host go; the router goes with the last one."""
        self._hosts -= 1
        if self._hosts == 0:
            self._remove()

    def _remove(self) -> None:
        self.wan.unplug()
        self.wan.free()
        run("ip", "netns", "del", self.namespace)


class Network:
    """All namespaces of one run."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.public = Segment(self.namespace("core"), "net", PUBLIC, PUBLIC6)
        self._homes = itertools.count(1)

    def namespace(self, name: str) -> str:
        """Return the full name of a namespace of this run."""
        return f"{self.prefix}-{name}"

    def create(self) -> None:
        """Make the internet."""
        # Forwarding makes the gateway answer for addresses that are nowhere, as a real one does.
        add_namespace(self.public.namespace, forwarding=True)
        self.public.create()

    def router(self) -> Router:
        """Make a home with its own private network."""
        number = next(self._homes)
        router = Router(self.namespace(f"home{number}"), self.public, number)
        router.create()
        return router


def remove_namespaces(prefix: str) -> None:
    """Remove every namespace of a run, whoever made it."""
    for name in namespaces(prefix):
        run("ip", "netns", "del", name)


def namespaces(prefix: str) -> Iterator[str]:
    """Yield the names of a run's namespaces."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(f"{prefix}-"):
            yield name


def _add_address(namespace: str, interface: str, address: str) -> None:
    # The search for a duplicate would keep an IPv6 address unusable for a second.
    nodad = ("nodad",) if ":" in address else ()
    ip(namespace, "addr", "add", address, "dev", interface, *nodad)
