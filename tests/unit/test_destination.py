"""A destination says user, host and port in one text, and can be read in only one way."""

from __future__ import annotations

import pytest

from scitex_ssh.errors import InputError
from scitex_ssh.model import Address, Destination, Port

READ = [
    ("gw", (None, "gw", 22)),
    ("gw:2200", (None, "gw", 2200)),
    ("u@gw", ("u", "gw", 22)),
    ("u@gw.example.com:22", ("u", "gw.example.com", 22)),
    ("a.b-c_d+e@gw", ("a.b-c_d+e", "gw", 22)),
    ("u@192.0.2.1:2200", ("u", "192.0.2.1", 2200)),
    ("[fd95::1]", (None, "fd95::1", 22)),
    ("u@[fd95::1]", ("u", "fd95::1", 22)),
    ("u@[fd95::1]:2200", ("u", "fd95::1", 2200)),
    ("u@gw.example.com.", ("u", "gw.example.com.", 22)),
    ("my_host", (None, "my_host", 22)),
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_reads_every_documented_form(text: str, expected: tuple[str | None, str, int]) -> None:
    """User and port may be left out, and an IPv6 address stands in brackets."""
    destination = Destination.parse(text)
    assert (destination.user, destination.host, int(destination.port)) == expected


@pytest.mark.parametrize(("text", "_"), READ)
def test_its_text_reads_back_as_itself(text: str, _: object) -> None:
    """The text of a destination means the same destination."""
    destination = Destination.parse(text)
    assert Destination.parse(str(destination)) == destination


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GW.Example.COM", "gw.example.com"),
        ("[FD95:0:0::0001]", "fd95::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[1:0:0:4:0:0:0:8]", "1:0:0:4::8"),
        ("[1:2:3:4:5:6:7::]", "1:2:3:4:5:6:7:0"),
    ],
)
def test_a_host_is_written_as_ssh_looks_for_it(text: str, expected: str) -> None:
    """Lower case and the shortest IPv6 form: so ssh writes a host into known_hosts, hashed or not."""
    assert Destination.parse(text).host == expected


HOSTILE = [
    *("-oProxyCommand=id", "u@-oProxyCommand=id", "-u@gw", "-gw", "--", "gw -l root", " gw", "gw ", "u @gw"),
    *(
        "gw\n",
        "gw\nProxyCommand id",
        "u\n@gw",
        "gw\x00",
        "u\x00@gw",
        "gw\t",
        "gw\r",
        "gw\x7f",
        "gw\x85",
        "gw\u2028",
    ),
    *(
        "$(id)",
        "`id`",
        "u$(id)@gw",
        "gw;id",
        "gw|id",
        "gw&",
        "gw>x",
        "*",
        "gw?",
        "gw*",
        "a/b",
        "a\\b",
        "gw\\",
    ),
    *("'gw'", '"gw"', "gw'", 'u"@gw', "%h", "u%r@gw", "gw%eth0", "$HOME", "~", "#gw", "!gw", "gw,gw2"),
    *(
        "b\u00fccher",
        "u\u0308@gw",
        "g\u0661",
        "\u0661.2.3.4",
        "\uff11.2.3.4",
        "\udcff",
        "u\udcff@gw",
        "gw\u200b",
    ),
]
MALFORMED = [
    *(
        "",
        "@",
        "@gw",
        "u@",
        "a@b@gw",
        ":22",
        "u@:22",
        "ssh://u@gw",
        "u@gw/",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.04",
    ),
    *("1.2.3.4.5", "a..b", ".a", "a.-b", "-a.b", "a-", "a" * 64, ".".join(["a" * 50] * 6), "u" * 65 + "@gw"),
    *("[]", "[gw]", "[1.2.3.4]", "[::1", "::1]", "[::1]x", "[::1]x:22", "x[::1]", "[[::1]]", "[::1]]", "[:]"),
    *(
        "[1:2:3]",
        "[:::]",
        "[1::2::3]",
        "[12345::]",
        "[g::]",
        "[fe80::1%eth0]",
        "[::1/64]",
        "[1:2:3:4:5:6:7:8:9]",
    ),
    *("[::ffff:1.2.3.4]", "[::ffff:102:304]", "[::1.2.3.4]", "[64:ff9b::1.2.3.4]"),
]


@pytest.mark.parametrize("text", [*HOSTILE, *MALFORMED], ids=ascii)
def test_refuses_what_is_no_destination(text: str) -> None:
    """Nothing that a command line, a file or a shell could read otherwise gets in."""
    with pytest.raises(InputError) as refusal:
        Destination.parse(text)
    assert refusal.value.slug == "bad-destination"
    assert refusal.value.facts["why"] != ""
    assert refusal.value.sentence.isprintable()


@pytest.mark.parametrize("given", [None, 22, b"gw", ["gw"], True], ids=ascii)
def test_refuses_what_is_not_text(given: object) -> None:
    """A data file may hold a number or nothing where text is meant."""
    with pytest.raises(InputError) as refusal:
        Destination.parse(given)
    assert (refusal.value.slug, refusal.value.facts["why"]) == ("bad-destination", "it is not text")


@pytest.mark.parametrize("text", ["fd95::1", "u@fd95::1", "u@fd95::1:22", "::1", "gw:22:22", "gw::22"])
def test_an_ipv6_address_without_brackets_is_not_guessed_at(text: str) -> None:
    """u@fd95::1:22 may mean port 22 or the address fd95::1:22, so it is refused and says how."""
    with pytest.raises(InputError) as refusal:
        Destination.parse(text)
    assert refusal.value.facts["why"] == "an IPv6 address goes into [brackets]"


@pytest.mark.parametrize(
    "port", ["", "0", "022", "+22", "65536", "-1", "ssh", "22 ", "22\n", "\u0662", "22:22"]
)
def test_refuses_a_wrong_port_behind_a_right_host(port: str) -> None:
    """The port of a destination is read as strictly as any."""
    with pytest.raises(InputError) as refusal:
        Destination.parse(f"u@[fd95::1]:{port}")
    assert refusal.value.slug == "bad-port"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:22", ("localhost", 22)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[::1]:22", ("::1", 22)),
        ("DB:5432", ("db", 5432)),
    ],
)
def test_a_target_is_host_and_port(text: str, expected: tuple[str, int]) -> None:
    """A target reads like a destination without a user."""
    address = Address.parse(text, slug="bad-target", default_port=None)
    assert (address.host, int(address.port)) == expected


@pytest.mark.parametrize(
    "text", ["localhost", "[::1]", "u@localhost:22", "", ":22", "22", "::1:22", "a b:22"]
)
def test_a_target_needs_host_and_port_and_no_user(text: str) -> None:
    """A target's port has no default: forgetting it is said, not guessed."""
    with pytest.raises(InputError) as refusal:
        Address.parse(text, slug="bad-target", default_port=None)
    assert refusal.value.slug == "bad-target"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("gw:22", "gw"), ("gw:2200", "[gw]:2200"), ("[::1]:22", "::1"), ("[::1]:2200", "[::1]:2200")],
)
def test_the_known_name_is_the_one_of_sshd(text: str, expected: str) -> None:
    """known_hosts names a port other than 22 in brackets (sshd(8))."""
    address = Address.parse(text, slug="bad-target", default_port=None)
    assert address.known_name == expected


def test_a_port_is_a_port_whoever_gives_it() -> None:
    """The default port is validated like a given one."""
    assert Address.parse("gw", slug="bad-target", default_port=22).port == Port(22)
