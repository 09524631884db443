"""A way to the bastion that is not straight, kept by systemd in its sandbox; and one over IPv6 alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .tunnels import cli, done, idle, refused, status, verified, visit
from .world import KEY, World

HOP_KEY = ".ssh/a hop's key"


@pytest.mark.suites("bookworm")
def test_to_a_bastion_by_its_ipv6_address(desk: World) -> None:
    """Set up, proven, used and removed; its name is asked of nobody."""
    way = ("-b", f"tunnel@[{desk.bastion.address6}]", "-s", f"~/{KEY}")
    assert verified(done(cli(desk, "setup", "-p", "2222", *way)))
    assert visit(desk, 2222).stdout == "alice\nworkstation\n"
    assert idle(done(cli(desk, "setup", "-p", "2222", *way)))
    done(cli(desk, "doctor", "-p", "2222"))
    done(cli(desk, "remove", "-p", "2222"))


# A proxy that lets only port 443 through, as those of many networks.
PROXY = """
import socket, socketserver, threading
def pump(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
class Connect(socketserver.StreamRequestHandler):
    rbufsize = 0
    def handle(self):
        host, _, port = self.rfile.readline().split()[1].decode().rpartition(":")
        while self.rfile.readline().strip():
            pass
        if port != "443":
            self.wfile.write(b"HTTP/1.1 403 Forbidden\\r\\n\\r\\n")
            return
        there = socket.create_connection((host, 443))
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
        threading.Thread(target=pump, args=(there, self.connection), daemon=True).start()
        pump(self.connection, there)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 3128), Connect).serve_forever()
"""


@pytest.fixture
def shut_in(desk: World) -> Iterator[str]:
    """Let the workstation out to a proxy alone, and have the bastion listen on port 443, too."""
    desk.client.write("/var/local/proxy.py", PROXY)
    desk.client.sh("systemd-run -q --collect --unit=proxy python3 /var/local/proxy.py")
    desk.client.wait_for("grep -q ':0C38 .* 0A ' /proc/net/tcp", 10)
    conf = "/etc/ssh/sshd_config.d/443.conf"
    desk.bastion.sh(f"printf 'Port 22\\nPort 443\\n' >{conf} && systemctl restart ssh")
    desk.workstation.sh(
        f"""
        nft add table inet shut_in
        nft 'add chain inet shut_in out {{ type filter hook output priority 0; policy drop; }}'
        nft add rule inet shut_in out oif lo accept
        nft add rule inet shut_in out ip daddr {desk.client.address} tcp dport 3128 accept
        """
    )
    yield f"http://{desk.client.address}:3128"
    desk.workstation.sh("nft delete table inet shut_in")
    desk.client.sh("systemctl stop proxy")
    desk.bastion.sh(f"rm {conf} && systemctl restart ssh")


@pytest.mark.suites("bookworm")
def test_through_a_proxy_to_a_bastion_on_port_443(desk: World, shut_in: str) -> None:
    """Where nothing else is let out: proven, used, found in order, and back after its way is killed."""
    way = ("-p", "2222", "-s", f"~/{KEY}", "--proxy", shut_in, "--accept-new-host-key")
    refused(cli(desk, "setup", *way, "-b", "tunnel@bastion"), "proxy-refused", "443")
    assert verified(done(cli(desk, "setup", *way, "-b", "tunnel@bastion:443")))
    assert visit(desk, 2222).stdout == "alice\nworkstation\n"
    assert status(desk)["proxy"] == shut_in
    assert idle(done(cli(desk, "setup", *way, "-b", "tunnel@bastion:443")))
    done(cli(desk, "doctor", "-p", "2222"))
    assert "killed" in desk.workstation.sh("pkill -9 -e -x nc").stdout
    assert "verified" in done(cli(desk, "status", "-p", "2222", "--wait", "30")).stdout
    done(cli(desk, "remove", "-p", "2222"))


def test_over_a_host_with_a_key_of_its_own(desk: World) -> None:
    """It is proven, found in order, comes back after its ssh is killed, and is changed to go straight."""
    # The bastion is its own jump host: by its address there, and by its name from there.
    desk.bastion.authorize("tunnel", desk.workstation.make_key("alice", f"/home/alice/{HOP_KEY}"))
    hop = ("-J", f"tunnel@[{desk.bastion.address6}]", "--jump-key", f"~/{HOP_KEY}")
    way = ("-p", "2222", "-b", "tunnel@bastion", "-s", f"~/{KEY}")
    assert verified(done(cli(desk, "setup", *way, *hop)))
    assert visit(desk, 2222).stdout == "alice\nworkstation\n"
    assert idle(done(cli(desk, "setup", *way, *hop)))
    assert "jump-1" in done(cli(desk, "doctor", "-p", "2222", "--json")).stdout
    assert (status(desk)["jumps"], status(desk)["proxy"]) == ([hop[1]], None)
    killed = desk.workstation.sh("pkill -9 -e -f 'ssh .* jump-1$'").stdout
    assert "killed" in killed
    assert "verified" in done(cli(desk, "status", "-p", "2222", "--wait", "30")).stdout
    folder = "/etc/scitex-ssh/tunnels/2222"
    assert desk.workstation.sh(f"ls {folder}").stdout.split() == [
        *("key", "key-1", "known_hosts", "run", "ssh_config", "tunnel.json")
    ]
    assert verified(done(cli(desk, "setup", *way)))
    assert desk.workstation.sh(f"ls {folder}").stdout.split() == [
        *("key", "known_hosts", "run", "ssh_config", "tunnel.json")
    ]
    done(cli(desk, "remove", "-p", "2222"))
