"""What goes wrong with hosts and their networks, at the word of a test.

A fault acts at the far end of a host's cable: the host meets the effect and cannot see the cause.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from .command import CommandFailed, run
from .hosts import Host
from .network import Link, ip, nft

SLOWLINE = str(Path(__file__).with_name("slowline.py"))

# With br_netfilter, what only crosses a bridge would meet the router's rules, which let nothing of it pass.
BRIDGED_IS_NOT_ROUTED = """
for file in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e "$file" ] || echo 0 >"$file"; done
"""


class Flow(NamedTuple):
    """An established connection from a peer to a port of a host."""

    peer: str
    peer_port: int
    address: str
    port: int


def carrier(host: Host, up: bool) -> None:
    """Pull the host's cable out, or put it back."""
    ip(host.link.segment.namespace, "link", "set", host.link.port, "up" if up else "down")


def silence(host: Host) -> None:
    """Lose every packet from and to the host, while its link stays up."""
    # ARP stays: the last hop of a real host, its own router, goes on answering it.
    _filter(host.link, "silence", ["ether type { ip, ip6 } drop"], ["ether type { ip, ip6 } drop"])


def unsilence(host: Host) -> None:
    """End the silence around the host."""
    _unfilter(host.link, "silence")


def flows(host: Host, port: int = 22, peer: Host | None = None) -> list[Flow]:
    """Return the connections established to a port of a host, from all peers or from one."""
    selection = ("state", "established", f"sport = :{port}")
    argv = ("ip", "netns", "exec", host.link.namespace, "ss", "-Hnt", *selection)
    found = [_flow(line) for line in run(*argv).splitlines()]
    return [flow for flow in found if peer is None or flow.peer in _public_addresses(peer)]


def black_hole_flow(host: Host, port: int = 22, peer: Host | None = None) -> list[Flow]:
    """Lose the packets of the connections now established to a port of a host; new ones pass."""
    lost = flows(host, port, peer)
    _filter(
        host.link,
        "black_hole",
        [_rule(flow.address, flow.port, flow.peer, flow.peer_port) for flow in lost],
        [_rule(flow.peer, flow.peer_port, flow.address, flow.port) for flow in lost],
    )
    return lost


def heal_flow(host: Host) -> None:
    """Let the connections lost by `black_hole_flow` pass again."""
    _unfilter(host.link, "black_hole")


class SlowLine:
    """A line between a host and its segment that delays and loses packets, and can stall."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stall(self, seconds: float) -> None:
        """Hold every packet up for so long, from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"stall {seconds}\n")
        self._process.stdin.flush()


@contextmanager
def slow_line(host: Host, *, loss: float = 0, delay: float = 0) -> Iterator[SlowLine]:
    """Lose a share of the packets in percent, and delay the rest by milliseconds, each way.

    Between the host's cable and its bridge come a bridge of its own and, between the two, a program with a
    TAP device on each: few kernels lack TAP, this one lacks the netem queue.
    """
    link = host.link
    namespace, port, bridge = link.segment.namespace, link.port, link.segment.bridge
    number = port.rpartition("-")[2]
    far, near, slow = f"tapf{number}", f"tapn{number}", f"slow{number}"
    argv = ["ip", "netns", "exec", namespace, sys.executable, SLOWLINE, far, near, str(loss), str(delay)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == "open\n"
            run("ip", "netns", "exec", namespace, "sh", "-c", BRIDGED_IS_NOT_ROUTED)
            options = ("forward_delay", "0", "mcast_snooping", "0")
            ip(namespace, "link", "add", "name", slow, "type", "bridge", *options)
            ip(namespace, "link", "set", far, "master", slow, "up")
            ip(namespace, "link", "set", near, "master", bridge, "up")
            # Without ARP: else it would answer for the gateway, which is in the same namespace.
            ip(namespace, "link", "set", slow, "arp", "off", "addrgenmode", "none", "up")
            ip(namespace, "link", "set", port, "master", slow)
            yield SlowLine(process)
        finally:
            with suppress(CommandFailed):
                ip(namespace, "link", "set", port, "master", bridge)
            process.kill()
            with suppress(CommandFailed):
                ip(namespace, "link", "del", slow)


def readdress(host: Host) -> None:
    """Give the host new addresses on its own network, as a new lease does; names follow."""
    host.link.renumber()
    host.names.publish()


def readdress_home(host: Host) -> None:
    """Give the router before the host a new public address; the host itself sees nothing."""
    assert host.router is not None, f"{host.name} is not behind a router."
    host.router.wan.renumber()


def freeze(host: Host) -> None:
    """Stop every process of the host where it stands, while its kernel goes on answering."""
    host.container.cgroup.freeze(True)


def thaw(host: Host) -> None:
    """Let the processes of the host go on."""
    host.container.cgroup.freeze(False)


def _filter(link: Link, fault: str, from_host: list[str], to_host: list[str]) -> None:
    """Load rules for the packets that come from a link and for those that go into it."""
    table = _table(link, fault)
    incoming = "\n".join(f'iifname "{link.port}" {rule}' for rule in from_host)
    outgoing = "\n".join(f'oifname "{link.port}" {rule}' for rule in to_host)
    # Named first and deleted, so that loading works alike whether the table was there or not.
    rules = f"""
    table {table}
    delete table {table}
    table {table} {{
      chain incoming {{ type filter hook prerouting priority -300
        {incoming}
      }}
      chain outgoing {{ type filter hook postrouting priority 300
        {outgoing}
      }}
    }}
    """
    nft(link.segment.namespace, rules)


def _unfilter(link: Link, fault: str) -> None:
    table = _table(link, fault)
    nft(link.segment.namespace, f"table {table}\ndelete table {table}\n")


def _table(link: Link, fault: str) -> str:
    return f"bridge {fault}_{link.port.replace('-', '_')}"


def _rule(source: str, source_port: int, target: str, target_port: int) -> str:
    family = "ip6" if ":" in source else "ip"
    ends = f"{family} saddr {source} {family} daddr {target}"
    return f"{ends} tcp sport {source_port} tcp dport {target_port} drop"


def _flow(line: str) -> Flow:
    """Read a line of ss(8): two queue lengths, the local end, the other end."""
    local, peer = line.split()[2:4]
    return Flow(*_end(peer), *_end(local))


def _end(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    parsed = ip_address(address.strip("[]").partition("%")[0])
    return str(getattr(parsed, "ipv4_mapped", None) or parsed), int(port)


def _public_addresses(host: Host) -> set[str]:
    link = host.router.wan if host.router else host.link
    return {str(link.address), str(link.address6)}
