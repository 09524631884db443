"""A key path may hold anything that a line of a file can hold, and must not depend on where one stands."""

from __future__ import annotations

import pytest

from scitex_ssh.errors import InputError
from scitex_ssh.model import KeyPath

RIGHT = [
    *(
        "/k",
        "/a/b",
        "~/.ssh/id_ed25519",
        "~/k",
        "/a b",
        "/a'b",
        '/a"b',
        "/a%b",
        "/a%%h",
        "/a$b",
        "/$(id)",
        "/`id`",
    ),
    *("/a\\b", "/a*b", "/a?", "/[a]", "/a;b", "/a|b", "/a#b", "/a@name@b", "/-k", "/ ", "/a/../b", "//a"),
    *("/\u00e9", "/\U0001f511", "/e\u0301", "/\u00a0", "/" + "a" * 4094),
]


@pytest.mark.parametrize("text", RIGHT, ids=ascii)
def test_takes_any_name_a_file_can_have(text: str) -> None:
    """Quotes, spaces, dollars, percents and letters outside ASCII are parts of file names."""
    assert KeyPath(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (None, "it is not text"),
        (22, "it is not text"),
        (b"/k", "it is not text"),
        ("k", "it must be absolute, or begin with ~/"),
        ("./k", "it must be absolute, or begin with ~/"),
        ("../k", "it must be absolute, or begin with ~/"),
        ("$HOME/k", "it must be absolute, or begin with ~/"),
        ("-k", "it must be absolute, or begin with ~/"),
        ("~", "only ~/ stands for a home folder"),
        ("~root/k", "only ~/ stands for a home folder"),
        ("/", "it names a folder"),
        ("/a/", "it names a folder"),
        ("~/", "it names a folder"),
        ("/a\nb", "it holds the control character U+000A"),
        ("/a\n", "it holds the control character U+000A"),
        ("/a\x00", "it holds the control character U+0000"),
        ("/a\tb", "it holds the control character U+0009"),
        ("/a\x7f", "it holds the control character U+007F"),
        ("/a\x9b", "it holds the control character U+009B"),
        ("/a\u2028b", "it holds the control character U+2028"),
        ("/a\udcff", "it is not valid UTF-8"),
        ("/" + "a" * 4095, "it is longer than 4095 bytes"),
        ("/" + "\u00e9" * 2048, "it is longer than 4095 bytes"),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_refuses_with_the_reason(text: object, why: str) -> None:
    """What cannot stand on a line, is no file, or means another file elsewhere, is refused."""
    with pytest.raises(InputError) as refusal:
        KeyPath(text)
    assert (refusal.value.slug, refusal.value.facts["why"]) == ("bad-key-path", why)
