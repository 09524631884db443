"""Ports of a fleet are given once, and stay."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitex_ssh.model.fleet import COUNT, FIRST, Wish, allocate, cksum, host_name
from scitex_ssh.model.host import LONGEST, HostName
from scitex_ssh.model.port import Port

NAMES = st.lists(st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}", fullmatch=True), unique=True, max_size=40)


@pytest.mark.parametrize("text", ["", "lab1", "web-01", "a" * 300])
def test_the_sum_is_that_of_the_tool(text: str) -> None:
    """So a bastion that chooses by itself chooses the same port."""
    done = subprocess.run(["cksum"], input=text, capture_output=True, text=True, check=True)
    assert cksum(text) == int(done.stdout.split()[0])


@given(NAMES, st.randoms())
def test_order_does_not_matter_and_no_two_share(names: list[str], random: object) -> None:
    """Each has a port of the range, whatever the order of the inventory."""
    ports, errors = allocate({name: [Wish()] for name in names}, {})
    shuffled = sorted(names, key=lambda name: cksum(name + "x"))
    assert allocate({name: [Wish()] for name in shuffled}, {}) == (ports, [])
    chosen = [port for each in ports.values() for port in each]
    assert errors == []
    assert len(set(chosen)) == len(names)
    assert all(FIRST <= port < FIRST + COUNT for port in chosen)


@given(NAMES, NAMES)
def test_who_is_on_record_keeps_the_port(first: list[str], second: list[str]) -> None:
    """Others come and go, and nobody moves."""
    before, _ = allocate({name: [Wish()] for name in first}, {})
    after, errors = allocate({name: [Wish()] for name in {*first, *second}}, before)
    assert errors == []
    assert {name: after[name] for name in first} == before


def test_explicit_ports_win_and_clashes_name_both() -> None:
    """Against each other, and against what the bastion has on record."""
    chosen = allocate({"b": [Wish()]}, {})[0]["b"][0]
    ports, errors = allocate({"a": [Wish(port=chosen)], "b": [Wish()]}, {})
    assert (ports["a"], errors) == ([chosen], [])
    assert ports["b"] != [chosen]
    for wishes, recorded in (
        ({"a": [Wish(port=Port(2222))], "b": [Wish(port=Port(2222))]}, {}),
        ({"a": [Wish(port=Port(2222))]}, {"b": [2222]}),
    ):
        (error,) = allocate(wishes, recorded)[1]
        assert error.slug == "port-clash"
        assert {error.facts["name"], error.facts["other"]} == {"a", "b"}


def test_several_tunnels_of_a_host_keep_theirs_in_any_order() -> None:
    """The port goes with what it leads to."""
    one, two = Wish(), Wish("localhost:5432")
    first = allocate({"a": [one, two]}, {})[0]["a"]
    assert allocate({"a": [two, one]}, {"a": first})[0]["a"] == first[::-1]


@pytest.mark.parametrize(
    ("name", "called"), [("lab1", "lab1"), ("Lab1.example.com", "lab1-example-com"), ("10.0.0.5", "10-0-0-5")]
)
def test_a_host_is_called_by_its_name(name: str, called: str) -> None:
    """In the letters that an account may have."""
    assert host_name(name) == called


@given(st.text(min_size=1, max_size=80))
def test_any_name_makes_one_that_is_allowed(name: str) -> None:
    """Long ones are cut, and told apart by a sum."""
    assert len(HostName(host_name(name))) <= LONGEST
