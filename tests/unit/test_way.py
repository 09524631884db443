"""The way to a bastion in plain values: hosts to jump over, their keys, a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from scitex_ssh.errors import InputError
from scitex_ssh.model import Destination, Proxy, Tunnel
from scitex_ssh.model.way import read_jumps

WHERE = (2222, "u@gw", "/k")


def test_jumps_are_read_in_their_order() -> None:
    """As ssh's -J takes them, or as a list of a data file."""
    jumps = tuple(map(Destination.parse, ("a", "u@[::1]:2200")))
    assert read_jumps("a,u@[::1]:2200") == read_jumps(["a", "u@[::1]:2200"]) == jumps


@pytest.mark.parametrize(
    "wrong", ["", "a,", ",a", "a,-oProxyCommand=id", "u@::1", 7, ["a", 7], "a," * 8 + "b"]
)
def test_what_is_no_host_is_refused(wrong: Any) -> None:
    """One that is wrong is enough."""
    with pytest.raises(InputError) as problem:
        Tunnel.of(*WHERE, jump=wrong)
    assert problem.value.slug == "bad-jump"


def test_a_key_needs_a_host() -> None:
    """Keys are for the hosts in their order; the others take the tunnel's own."""
    assert Tunnel.of(*WHERE, jump="a,b", jump_key="/one").jump_keys == ("/one",)
    with pytest.raises(InputError) as problem:
        Tunnel.of(*WHERE, jump="a", jump_key=["/one", "/two"])
    assert problem.value.slug == "bad-jump"


@pytest.mark.parametrize("url", ["http://proxy:3128", "socks5://[::1]:1080"])
def test_a_proxy_is_written_as_it_was_read(url: str) -> None:
    """In one form, whichever program will speak to it."""
    assert str(Proxy.parse(url)) == url


@pytest.mark.parametrize("wrong", ["proxy:3128", "https://p:1", "http://p", "http://u:p@h:1", 7])
def test_what_is_no_proxy_is_refused(wrong: Any) -> None:
    """A password least of all: the program that speaks to the proxy would show it to everybody here."""
    with pytest.raises(InputError) as problem:
        Tunnel.of(*WHERE, proxy=wrong)
    assert problem.value.slug == "bad-proxy"
    assert "u:p" not in str(problem.value)


def test_every_error_of_a_mapping_is_told() -> None:
    """With the place of each."""
    data = {"port": 2222, "bastion": "gw", "key": "/k", "jump": "a,,", "proxy": "x", "jump_key": "k"}
    _, errors = Tunnel.from_mapping(data, "h1")
    assert {each.slug for each in errors} == {"bad-jump", "bad-proxy", "bad-key-path"}
