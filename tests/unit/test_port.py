"""A port is a whole number from 1 to 65535, said in the one way that no program reads otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from scitex_ssh.errors import InputError
from scitex_ssh.model import Port


@pytest.mark.parametrize("given", [1, 22, 1023, 1024, 2222, 65535, "1", "22", "2222", "65535"])
def test_takes_a_number_or_its_digits(given: int | str) -> None:
    """A number and its decimal digits are the same port."""
    assert Port(given) == int(given)
    assert str(Port(given)) == str(given)


WRONG: list[Any] = [
    *(0, -1, 65536, 10**30, 22.0, True, False, None, [], b"22", 22j),
    *("", "0", "-1", "65536", "99999", "100000", "022", "+22", "0x16", "22.0", "2e3", "2_2", "ssh"),
    *(" 22", "22 ", "22\n", "\n22", "2 2", "22\x00", "\u0662\u0662", "\u00b2\u00b2", "\uff12\uff12"),
]


@pytest.mark.parametrize("given", WRONG, ids=ascii)
def test_refuses_what_is_not_plainly_a_port(given: object) -> None:
    """What ssh, a shell or Python would read as some other number is no port."""
    with pytest.raises(InputError) as refusal:
        Port(given)
    assert refusal.value.slug == "bad-port"


def test_the_refusal_names_the_value_and_its_purpose() -> None:
    """The message shows what was given, escaped, and what it was for."""
    with pytest.raises(InputError) as refusal:
        Port("22\n", what="-p")
    sentence = r"'22\n' is not a port for -p: a whole number from 1 to 65535 is needed."
    assert refusal.value.sentence == sentence


@pytest.mark.parametrize(("port", "expected"), [(1, True), (1023, True), (1024, False), (65535, False)])
def test_is_privileged_below_1024(port: int, expected: bool) -> None:
    """Only root may listen below 1024."""
    assert Port(port).is_privileged is expected
