"""Every kind of forward, and tunnels that have a name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shlex import join

import pytest

from .tunnels import PYZ, Wanted, cli, done, idle, pyz, refused, verified, visit
from .world import KEY, World

bookworm = pytest.mark.suites("bookworm")
WAY = ("-b", "tunnel@bastion", "-s", "~/.ssh/id_ed25519")

# A service that greets, and one that waits for the visitor to speak: without anything to install.
GREETER = """
import socketserver, sys
class Greet(socketserver.BaseRequestHandler):
    def handle(self):
        if "silent" not in sys.argv:
            self.request.sendall(b"220 hello\\r\\n")
        self.request.recv(100)
class V6(socketserver.ThreadingTCPServer):
    address_family = __import__("socket").AF_INET6
    allow_reuse_address = True
kind = socketserver.ThreadingUnixStreamServer if sys.argv[1][0] == "/" else V6
where = sys.argv[1] if sys.argv[1][0] == "/" else ("::", int(sys.argv[1]))
kind(where, Greet).serve_forever()
"""


def serve(world: World, host: str, where: str, *words: str) -> None:
    """Start such a service on a host, as a unit that ends with the test."""
    machine = getattr(world, host)
    machine.write("/var/local/greeter.py", GREETER)
    unit = f"greeter-{where.strip('/').replace('/', '-')}"
    command = join(["python3", "/var/local/greeter.py", where, *words])
    machine.sh(f"systemd-run -q --collect --unit={unit} {command}")
    socket = f"[ -S {where} ] && chmod 777 {where}"
    probe = socket if where.startswith("/") else f"grep -q ':{int(where):04X} ' /proc/net/tcp6"
    machine.wait_for(probe, 10)


@pytest.fixture
def serving(desk: World) -> Iterator[World]:
    """Give the desk, and end what was served there."""
    yield desk
    for machine in (desk.workstation, desk.bastion):
        machine.sh("systemctl stop 'greeter-*.service'; rm -f /run/app.sock /tmp/scitex-ssh-*", check=False)


def listed(world: World) -> dict[str, dict[str, object]]:
    """What status says of every tunnel, by name."""
    said = json.loads(cli(world, "status", "--json").stdout)
    return {seen["tunnel"]: seen for seen in said["tunnels"]}


@bookworm
def test_one_tunnel_holds_many_forwards(serving: World) -> None:
    """Remote ports to several targets, SOCKS proxies both ways, local ports: each is proven."""
    serve(serving, "workstation", "5432")
    serve(serving, "workstation", "/run/app.sock", "silent")
    serve(serving, "bastion", "8080")
    flags = (
        *(
            "-p",
            "2222",
            "--name",
            "lab1",
            "-R",
            "2300:127.0.0.1:5432",
            "-R",
            "2301:/run/app.sock",
            "-R",
            "2302",
        ),
        *("-L", "9001:localhost:22", "-L", "9002:localhost:8080", "-D", "9003"),
    )
    assert verified(done(cli(serving, "setup", *flags, *WAY)))
    seen = listed(serving)["lab1"]
    assert [(each["kind"], each["port"], each["level"]) for each in seen["forwards"]] == [  # type: ignore[attr-defined]
        ("remote", 2222, "verified"),
        ("remote", 2300, "verified"),
        ("remote", 2301, "verified"),
        ("socks", 2302, "verified"),
        ("local", 9001, "verified"),
        ("local", 9002, "verified"),
        ("dynamic", 9003, "verified"),
    ]
    assert visit(serving, 2222).stdout == "alice\nworkstation\n"
    assert idle(done(cli(serving, "setup", *flags, *WAY)))
    # By its name and by the port.
    assert "2301:" not in done(cli(serving, "status", "-p", "2222")).stdout
    assert done(cli(serving, "doctor", "-n", "lab1")).stdout.count("ok  ") >= 10
    # One that ends makes the tunnel what its worst forward is.
    serving.workstation.sh("systemctl stop 'greeter-5432.service'")
    seen = listed(serving)["lab1"]
    assert (seen["level"], seen["cause"]) == ("down", "target-refused")
    assert sorted(each["level"] for each in seen["forwards"]) == ["down", *["verified"] * 6]  # type: ignore[attr-defined]
    done(cli(serving, "remove", "-p", "2222"))
    assert listed(serving) == {}


@bookworm
def test_what_cannot_be_forwarded_is_told(serving: World) -> None:
    """A local port that is taken, a target that is none, a far end that is not there: an error each."""
    refused(cli(serving, "setup", "-L", "8022:localhost:1", *WAY), "far-end-refused")
    refused(cli(serving, "setup", "-R", "2222:localhost:1", *WAY), "target-refused")
    refused(cli(serving, "setup", "-p", "2222", "--target", "/run/none", *WAY), "target-refused")
    serve(serving, "workstation", "9001")
    refused(cli(serving, "setup", "-D", "9001", *WAY), "local-port-taken")
    assert listed(serving) == {}
    assert serving.workstation.sh("ls /etc/scitex-ssh", check=False).stdout == ""
    refused(cli(serving, "remove", "-n", "lab1"), "no-such-tunnel")
    refused(cli(serving, "status", "-n", "lab1"), "no-such-tunnel")


def test_a_socket_of_the_bastion_has_a_name_instead_of_a_number(serving: World) -> None:
    """It is proven by the host key, taken back after a kill, and leaves no stale file in the way."""
    flags = ("--remote-socket", "lab1", *WAY)
    assert verified(done(cli(serving, "setup", *flags)))
    assert idle(done(cli(serving, "setup", *flags)))
    serving.workstation.sh("pkill -9 -x ssh; sleep 1")
    serving.workstation.wait_for(f"{PYZ} status -n lab1", 30, user="alice")
    # The first OpenSSH that can ask for one by -W.
    if serving.suite == "trixie":
        allowed = "/home/tunnel/.ssh/authorized_keys"
        before = serving.bastion.read(allowed)
        serving.bastion.authorize("tunnel", serving.client.read(f"/home/carol/{KEY}.pub").strip())
        block = done(cli(serving, "ssh-config", "--name", "lab1")).stdout
        pins = [line[4:] for line in block.splitlines() if line.startswith("#   lab1 ")]
        serving.client.write("/home/carol/.ssh/config.d/scitex-ssh.known_hosts", "\n".join([*pins, ""]))
        serving.client.write("/home/carol/lab1", block)
        said = serving.client.sh("ssh -F ~/lab1 -o BatchMode=yes lab1 hostname", user="carol")
        assert said.stdout == "workstation\n"
        serving.client.sh("rm -r /home/carol/.ssh/config.d /home/carol/lab1")
        serving.bastion.write(allowed, before, mode="600", owner="tunnel:tunnel")
    done(cli(serving, "remove", "-n", "lab1"))
    # The file is still there: the next one takes it.
    assert verified(done(cli(serving, "setup", *flags)))
    done(cli(serving, "remove", "-n", "lab1"))
    # Somebody else's, which cannot be taken away.
    serving.bastion.sh("rm -f /tmp/scitex-ssh-lab1; touch /tmp/scitex-ssh-lab1")
    result = cli(serving, "setup", *flags)
    refused(result, "socket-refused")


@pytest.fixture
def gateway_ports(desk: World) -> Iterator[World]:
    """Give the desk, and the bastion its own GatewayPorts back."""
    yield desk
    desk.bastion.sh("rm -f /etc/ssh/sshd_config.d/gateway.conf; systemctl restart ssh")


@pytest.mark.parametrize(
    ("setting", "listen", "slug"),
    [
        ("no", "2222", None),
        ("no", "*:2222", "bind-refused"),
        ("clientspecified", "*:2222", None),
        ("yes", "2222", "bind-exposed"),
    ],
)
@bookworm
def test_where_the_bastion_listens_is_seen(
    setting: str, listen: str, slug: str | None, gateway_ports: World
) -> None:
    """GatewayPorts on the bastion decides where a port opens, and says nothing: so it is looked at."""
    gateway_ports.bastion.sh(
        f"echo GatewayPorts {setting} >/etc/ssh/sshd_config.d/gateway.conf; systemctl restart ssh"
    )
    result = cli(gateway_ports, "setup", "-R", f"{listen}:localhost:22", *WAY)
    if slug:
        refused(result, slug)
        assert listed(gateway_ports) == {}
    else:
        assert verified(done(result))
        assert listed(gateway_ports)["2222"]["level"] == "verified"


@bookworm
def test_a_name_and_a_number_do_not_get_in_each_others_way(desk: World) -> None:
    """Two tunnels with names stand beside one with a number, and each is found by its own."""
    for flags in (["-p", "2400"], ["-p", "2401", "-n", "one"], ["-p", "2402", "-n", "two"]):
        assert verified(done(cli(desk, "setup", *flags, *WAY)))
    assert set(listed(desk)) == {"2400", "one", "two"}
    done(cli(desk, "remove", "-p", "2401"))
    assert set(listed(desk)) == {"2400", "two"}
    refused(cli(desk, "setup", "-p", "2402", *WAY), "port-of-tunnel")
    assert done(cli(desk, "status", "-n", "two")).stdout.count("verified") == 1
    assert Wanted(2400).unit in desk.workstation.sh("systemctl list-units --no-legend 'autossh*'").stdout


@bookworm
def test_the_bastion_may_pick_the_port(desk: World) -> None:
    """-R 0 is told which port it got, and has the same one from then on."""
    flags = ("-R", "0:localhost:22", "-n", "picked", *WAY)
    assert verified(done(cli(desk, "setup", *flags)))
    port = listed(desk)["picked"]["port"]
    assert isinstance(port, int)
    assert port > 1024
    assert idle(done(cli(desk, "setup", *flags)))
    assert verified(done(cli(desk, "setup", *flags, "--keepalive", "fast")))
    assert listed(desk)["picked"]["port"] == port
    assert visit(desk, port).stdout == "alice\nworkstation\n"


@bookworm
def test_forwards_in_the_foreground_leave_nothing(serving: World) -> None:
    """Without root, proven, until Ctrl-C; an error ends it at once."""
    serve(serving, "bastion", "8080")
    flags = join(["-L", "9002:localhost:8080", "-D", "9003", "-b", "tunnel@bastion"])
    script = f"timeout -s INT 40 {PYZ} forward {flags} -s ~/.ssh/id_ed25519"
    greeted = "sleep 12; exec 3<>/dev/tcp/localhost/9002; head -n 1 <&3"
    result = serving.workstation.sh(
        f"({script}) >/tmp/said 2>&1 & {greeted}; wait; cat /tmp/said; "
        "ls /tmp | grep scitex-ssh; pgrep -a ssh -u alice",
        user="alice",
        check=False,
        timeout=90,
    )
    hello, *said = result.stdout.splitlines()
    assert hello.strip() == "220 hello"
    assert said[-1] == "Held until Ctrl-C."
    assert said[-2].startswith(
        "Verified: localhost:9002 here leads to localhost:8080 as tunnel@bastion sees it"
    )
    refused(cli(serving, "forward", "-L", "9002:localhost:1", *WAY), "far-end-refused")
    assert listed(serving) == {}


@bookworm
def test_clients_reach_the_machine_by_its_name(desk: World) -> None:
    """ssh, scp and rsync work from the client with the file that ssh-config writes there."""
    done(cli(desk, "setup", "-p", "2222", *WAY))
    told = done(cli(desk, "ssh-config", "--name", "lab1", "--json")).stdout
    desk.client.copy_in(pyz(), PYZ)
    desk.client.write("/home/carol/lab1.json", told, owner="carol:carol")
    desk.client.sh(f"mkdir -p ~/.ssh && {PYZ} ssh-config --from ~/lab1.json --write", user="carol")
    said = desk.client.sh(f"{PYZ} ssh-config --from ~/lab1.json --write", user="carol").stdout
    assert "Include config.d/scitex-ssh" in said
    desk.client.write("/home/carol/.ssh/config", "Include config.d/scitex-ssh\n", owner="carol:carol")
    try:
        script = """
        set -e
        ssh -o BatchMode=yes lab1 'id -un; hostname'
        echo content >file; scp -q -o BatchMode=yes file lab1:copied; ssh -o BatchMode=yes lab1 cat copied
        rsync -e 'ssh -o BatchMode=yes' file lab1:synced; ssh -o BatchMode=yes lab1 cat synced
        grep -c '^Host lab1$' ~/.ssh/config.d/scitex-ssh
        """
        assert (
            desk.client.sh(script, user="carol", timeout=60).stdout
            == "alice\nworkstation\n" + "content\n" * 2 + "1\n"
        )
    finally:
        desk.client.sh("rm -rf /home/carol/.ssh/config /home/carol/.ssh/config.d")
