"""A tunnel of plain values is right as a whole, or every fault of it is told with its place."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from scitex_ssh.errors import Exit, InputError
from scitex_ssh.model import Destination, Keepalive, KeyPath, LocalUser, Tunnel
from scitex_ssh.model.forward import remote


def test_the_defaults_are_the_documented_ones() -> None:
    """Port, bastion and key are enough: the rest is sshd here, plain ssh, the default keepalive."""
    tunnel = Tunnel.of("2222", "u@gw", "~/k")
    assert tunnel == Tunnel((remote(2222),), Destination.parse("u@gw"), KeyPath("~/k"))
    assert (str(tunnel.forwards[0].target), tunnel.user, tunnel.engine) == ("localhost:22", None, "ssh")
    assert str(tunnel.keepalive) == "default"
    assert tunnel.name == "2222"


def test_every_value_can_be_given() -> None:
    """What is given is what the tunnel says."""
    tunnel = Tunnel.of(2223, "gw:443", "/k", target="[::1]:80", user="lab", engine="autossh", keepalive="7x3")
    assert str(tunnel.forwards[0]) == "remote localhost:2223 [::1]:80"
    assert (tunnel.bastion.user, tunnel.bastion.port) == (None, 443)
    assert (tunnel.user, tunnel.engine, tunnel.keepalive) == (
        LocalUser("lab"),
        "autossh",
        Keepalive(7, 3),
    )


@pytest.mark.parametrize(
    ("changed", "slug"),
    [
        ({"port": "022"}, "bad-port"),
        ({"bastion": "-gw"}, "bad-destination"),
        ({"bastion": "gw:0"}, "bad-port"),
        ({"key": "k"}, "bad-key-path"),
        ({"target": "localhost"}, "bad-target"),
        ({"user": "0"}, "bad-user"),
        ({"engine": "mosh"}, "bad-engine"),
        ({"engine": None}, "bad-engine"),
        ({"keepalive": "5"}, "bad-keepalive"),
        ({"on_up": ""}, "bad-hook"),
        ({"on_down": "a\nb"}, "bad-hook"),
        ({"on_down": 7}, "bad-hook"),
        ({"port": 80}, "port-privileged"),
    ],
)
def test_a_wrong_value_is_refused_as_usage(changed: dict[str, Any], slug: str) -> None:
    """Each wrong value has its own slug and ends a command with the usage status."""
    values: dict[str, Any] = {"port": 2222, "bastion": "u@gw", "key": "/k", **changed}
    with pytest.raises(InputError) as refusal:
        Tunnel.of(values.pop("port"), values.pop("bastion"), values.pop("key"), **values)
    assert (refusal.value.slug, refusal.value.status) == (slug, Exit.USAGE)


@pytest.mark.parametrize(
    ("bastion", "user", "taken"),
    [
        ("root@gw", None, True),
        ("root@gw", "lab", True),
        ("gw", "root", True),
        ("gw", None, True),
        ("u@gw", None, False),
        ("u@gw", "root", False),
        ("gw", "lab", False),
    ],
)
def test_a_privileged_port_is_for_root_on_the_bastion(bastion: str, user: str | None, taken: bool) -> None:
    """Refused as soon as it is known that the login is not root; else the host decides."""
    if taken:
        assert Tunnel.of(1023, bastion, "/k", user=user).forwards[0].port == 1023
    else:
        with pytest.raises(InputError) as refusal:
            Tunnel.of(1023, bastion, "/k", user=user)
        assert refusal.value.slug == "port-privileged"
    assert Tunnel.of(1024, bastion, "/k", user=user).forwards[0].port == 1024


def test_a_tunnel_is_a_value() -> None:
    """Equal tunnels are equal, hash alike and cannot be changed."""
    one, other = Tunnel.of(2222, "GW", "/k"), Tunnel.of("2222", "gw:22", "/k")
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.engine = "autossh"  # type: ignore[misc]


def test_a_mapping_reads_like_the_values() -> None:
    """A data file says the same as flags; a value left empty is one not given."""
    data = {"port": 2222, "bastion": "u@gw", "key": "/k", "user": None, "keepalive": "fast"}
    assert Tunnel.from_mapping(data, "tunnels[0]") == (
        (Tunnel.of(2222, "u@gw", "/k", keepalive="fast"),),
        [],
    )


def told(data: object) -> list[tuple[str, str]]:
    """Slug and place of each fault in a mapping."""
    tunnels, faults = Tunnel.from_mapping(data, "tunnels[0]")
    assert tunnels == ()
    return [(fault.slug, fault.where) for fault in faults]


def test_every_fault_of_a_mapping_is_told_at_once() -> None:
    """One run tells all faults, each with its place, and none twice."""
    data = {
        "port": True,
        "bastion": "u@fd95::1:22",
        "target": "localhost",
        "user": "a b",
        "engine": "mosh",
        "keepalive": "5",
        "prot": 1,
        7: 7,
    }
    assert sorted(told(data)) == [
        ("bad-destination", "tunnels[0].bastion"),
        ("bad-engine", "tunnels[0].engine"),
        ("bad-field", "tunnels[0].7"),
        ("bad-field", "tunnels[0].prot"),
        ("bad-keepalive", "tunnels[0].keepalive"),
        ("bad-port", "tunnels[0].port"),
        ("bad-target", "tunnels[0].target"),
        ("bad-user", "tunnels[0].user"),
        ("missing-field", "tunnels[0]"),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, [("missing-field", "tunnels[0]")] * 3),
        (None, [("bad-field", "tunnels[0]")]),
        ([], [("bad-field", "tunnels[0]")]),
        ("2222", [("bad-field", "tunnels[0]")]),
        (
            {"port": None, "bastion": None, "key": None},
            [
                ("bad-port", "tunnels[0].port"),
                ("bad-destination", "tunnels[0].bastion"),
                ("bad-key-path", "tunnels[0].key"),
            ],
        ),
        ({"port": 80, "bastion": "u@gw", "key": "/k"}, [("port-privileged", "tunnels[0]")]),
    ],
    ids=ascii,
)
def test_an_incomplete_mapping_tells_what_is_missing(data: object, expected: list[tuple[str, str]]) -> None:
    """Nothing, an empty value and a wrong combination are told, too."""
    assert told(data) == expected


def test_a_fault_reads_with_its_place() -> None:
    """The message begins with where the fault stands."""
    _, (fault,) = Tunnel.from_mapping({"port": 0, "bastion": "gw", "key": "/k"}, "h1: tunnels[0]")
    assert fault.sentence == (
        "At 'h1: tunnels[0].port': 0 is not a port for the tunnel: a whole number from 1 to 65535 is needed."
    )
