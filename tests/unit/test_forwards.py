"""What a tunnel forwards and what it is called, and the block that clients are given."""

from __future__ import annotations

from typing import Any

import pytest

from scitex_ssh.errors import InputError
from scitex_ssh.model import Destination, Tunnel
from scitex_ssh.render.client_config import Machine, Way, config, pins


def of(**values: Any) -> Tunnel:
    """A tunnel of these values besides bastion and key."""
    return Tunnel.of(values.pop("port", None), "u@gw", "/k", **values)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"port": 2222, "local": "9000:db:1"}, "2222"),
        ({"remote": ["2300:a:1", "2301:a:1"]}, "2300"),
        ({"local": "9000:db:1", "remote": "1080"}, "1080"),
        ({"remote_socket": "lab1"}, "lab1"),
        ({"remote_socket": "/srv/t/web.sock"}, "web.sock"),
        ({"local": "9000:db:1"}, "local-9000"),
        ({"dynamic": 1080}, "socks-1080"),
        ({"port": 2222, "name": "lab1"}, "lab1"),
        ({"remote": "0:a:1", "name": "picked"}, "picked"),
    ],
)
def test_a_tunnel_is_called_by_what_it_opens(values: dict[str, Any], name: str) -> None:
    """The first port on the bastion, else a socket's name, else what is open here; unless it is given one."""
    assert of(**values).name == name


@pytest.mark.parametrize(
    ("values", "slug"),
    [
        ({}, "missing-field"),
        ({"remote": "0:a:1"}, "missing-field"),
        ({"local": "9000:a:1", "target": "a:1"}, "missing-field"),
        ({"port": 2222, "remote": "2222:a:1"}, "bad-forward"),
        ({"local": "9000:a:1", "dynamic": "9000"}, "bad-forward"),
        ({"remote": ["0:a:1", "0:a:1"], "name": "x"}, "bad-forward"),
        ({"remote": ["0", "0"], "name": "x"}, "bad-forward"),
        ({"local": "80:a:1"}, "local-port-privileged"),
        ({"remote": "80:a:1"}, "port-privileged"),
        ({"port": 2222, "name": "2223"}, "bad-name"),
        ({"port": 2222, "name": "Lab"}, "bad-name"),
        ({"remote": "/tmp/x"}, "bad-forward"),
        ({"dynamic": "1080:a:1"}, "bad-forward"),
        ({"local": "/tmp/x:a:1"}, "bad-forward"),
    ],
)
def test_what_cannot_stand_together_is_refused(values: dict[str, Any], slug: str) -> None:
    """Each with its own slug, before anything is touched."""
    with pytest.raises(InputError) as refusal:
        of(**values)
    assert refusal.value.slug == slug


def test_the_bastion_may_pick_two_ports_for_two_targets() -> None:
    """To ssh they differ, so each gets a port of its own."""
    tunnel = of(remote=["0:a:1", "0:a:2", "[::1]:0:a:1"], name="x")
    assert [str(each.listen) for each in tunnel.forwards] == ["localhost:0", "localhost:0", "[::1]:0"]


def test_the_same_port_may_be_open_at_both_ends() -> None:
    """The bastion's port and this machine's are two."""
    tunnel = of(remote="1080", dynamic="1080")
    assert [str(each) for each in tunnel.forwards] == ["socks localhost:1080", "dynamic localhost:1080"]


def test_a_client_jumps_through_the_bastion_and_pins_the_machine() -> None:
    """One way is a ProxyJump, without the account that keeps the tunnel; the machine's key is its own."""
    way = Way(Destination.parse("tunnel@gw:443"), "localhost:2222")
    machine = Machine("lab1", "alice", ("ssh-ed25519 AAAA",), (way,))
    assert config([machine], "~/known").splitlines() == [
        "Host lab1",
        "    HostName localhost",
        "    Port 2222",
        "    User alice",
        "    HostKeyAlias lab1",
        "    UserKnownHostsFile ~/known",
        "    StrictHostKeyChecking yes",
        "    CheckHostIP no",
        "    ProxyJump gw:443",
    ]
    assert pins([machine]) == "lab1 ssh-ed25519 AAAA\n"
    assert "ProxyJump bastion\n" in config([machine], "~/known", ["bastion"])


def test_a_client_tries_every_way() -> None:
    """Two bastions are tried one after the other; a socket last, by the account that may open it."""
    ways = (Way(Destination.parse("t@b:443"), "/srv/lab1"), Way(Destination.parse("t@a"), "localhost:2222"))
    machine = Machine("lab1", "alice", (), ways)

    def way(*via: str) -> str:
        lines = config([machine], "~/known", via).splitlines()
        assert "    Port 2222" in lines
        assert any("9.4" in line for line in lines)
        return lines[-1].strip()

    assert way() == (
        "ProxyCommand sh -c 'ssh -o ConnectTimeout=10 -W localhost:2222 a"
        " || ssh -o ConnectTimeout=10 -W /srv/lab1 -p 443 -l t b'"
    )
    assert way("two", "one").endswith("-W localhost:2222 one || ssh -o ConnectTimeout=10 -W /srv/lab1 two'")
