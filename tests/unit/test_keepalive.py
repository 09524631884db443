"""A keepalive is a profile or a pair of numbers, and knows how soon it notices."""

from __future__ import annotations

import pytest

from scitex_ssh.errors import InputError
from scitex_ssh.model import PROFILES, Keepalive


@pytest.mark.parametrize(
    ("text", "expected", "name"),
    [
        ("fast", (2, 2, 6), "fast"),
        ("default", (5, 2, 10), "default"),
        ("patient", (20, 4, 30), "patient"),
        ("5x2", (5, 2, 10), "default"),
        ("2x2", (2, 2, 10), "2x2"),
        ("1x1", (1, 1, 10), "1x1"),
        ("3600x100", (3600, 100, 10), "3600x100"),
    ],
)
def test_reads_profiles_and_pairs(text: str, expected: tuple[int, int, int], name: str) -> None:
    """Interval, count and connect time-out; equal values have one name, which reads back."""
    keepalive = Keepalive.parse(text)
    assert (keepalive.interval, keepalive.count, keepalive.connect_timeout) == expected
    assert str(keepalive) == name
    assert Keepalive.parse(name) == keepalive


WRONG = [
    *("x", "5x", "x2", "5", "0x2", "5x0", "05x2", "5x02", "+5x2", "-5x2", "5X2", "5*2", "5.0x2"),
    *("5x2x2", "Fast", "3601x2", "5x101", "99999x2"),
]


@pytest.mark.parametrize(
    "given", [*WRONG, "", " 5x2", "5x2\n", "fast\n", "\u0665x2", None, 5, 5.2, True, ["fast"]], ids=ascii
)
def test_refuses_anything_else(given: object) -> None:
    """No guess is made at what a number alone, a zero or a typo may mean."""
    with pytest.raises(InputError) as refusal:
        Keepalive.parse(given)
    assert refusal.value.slug == "bad-keepalive"


def test_notices_after_one_interval_more_than_the_count() -> None:
    """ssh sends its count of probes and then waits an interval for the last."""
    assert {name: profile.notice_within for name, profile in PROFILES.items()} == {
        "fast": 6,
        "default": 15,
        "patient": 100,
    }
