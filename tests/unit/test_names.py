"""The names of tunnels and accounts do as file names and in unit files."""

from __future__ import annotations

import pytest

from scitex_ssh.errors import InputError
from scitex_ssh.model import LocalUser, TunnelName


@pytest.mark.parametrize("text", ["2222", "a", "lab1", "a.b_c-d", "0", "a" * 63])
def test_takes_a_tunnel_name(text: str) -> None:
    """Letters, digits, and '_', '.', '-' inside."""
    assert TunnelName(text) == text


@pytest.mark.parametrize(
    "given",
    [
        "",
        "A",
        ".",
        "..",
        "-a",
        "_a",
        "a/b",
        "a b",
        "a\n",
        "a" * 64,
        "\u00e4",
        "a@",
        "a%i",
        "a\\x2d",
        None,
        22,
    ],
    ids=ascii,
)
def test_refuses_another_tunnel_name(given: object) -> None:
    """What a path or systemd would read as more than a name is refused."""
    with pytest.raises(InputError) as refusal:
        TunnelName(given)
    assert refusal.value.slug == "bad-name"


@pytest.mark.parametrize("text", ["root", "_apt", "a.b", "A-b", "a1", "a" * 32])
def test_takes_an_account(text: str) -> None:
    """Account names as useradd makes them."""
    assert LocalUser(text) == text


@pytest.mark.parametrize(
    "given",
    [
        "",
        "1a",
        "0",
        "-a",
        ".a",
        "$a",
        "a$b",
        "machine$",
        "a b",
        "a\n",
        "a:b",
        "a/b",
        "a%i",
        "\u00e4",
        "a" * 33,
        None,
        0,
    ],
    ids=ascii,
)
def test_refuses_another_account(given: object) -> None:
    """A number, a flag, or a text that /etc/passwd could not hold is no account."""
    with pytest.raises(InputError) as refusal:
        LocalUser(given)
    assert refusal.value.slug == "bad-user"
