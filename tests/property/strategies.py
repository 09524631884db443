"""Tunnels of every kind that the model accepts."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import strategies as st

from scitex_ssh.errors import InputError
from scitex_ssh.model import Tunnel
from scitex_ssh.model.text import control_character

_LETTERS = "abcxyzABC019"
_LABEL = st.text(_LETTERS + "_", min_size=1, max_size=8).map(lambda text: text + "-a")
_NAME = st.lists(_LABEL, min_size=1, max_size=4).map(".".join)
_IPV4 = st.ip_addresses(v=4).map(str)


def _bracketed(number: int) -> str:
    return f"[{ipaddress.IPv6Address(number)}]"


# Without the addresses that are IPv4 ones.
_IPV6 = st.one_of(st.just("[::1]"), st.integers(0xFFFF << 33, 2**128 - 1).map(_bracketed))
_HOST = st.one_of(_NAME, _IPV4, _IPV6)
_PORT = st.integers(1, 65535).map(str)
_USER = st.text(_LETTERS + "_.", min_size=1, max_size=6).flatmap(
    lambda first: st.text(_LETTERS + "_.+-", max_size=6).map(lambda rest: first + rest)
)
_BASTION = st.builds(
    lambda user, host, port: user + host + port,
    st.one_of(st.just(""), _USER.map("{}@".format)),
    _HOST,
    st.one_of(st.just(""), _PORT.map(":{}".format)),
)
_TARGET = st.builds("{}:{}".format, _HOST, _PORT)

_FORWARD_PORT = st.integers(1024, 65535).map(str)
_BIND = st.one_of(st.just(""), st.sampled_from(["localhost:", "*:", ":", "127.0.0.1:", "[::1]:"]))
_SOCKET = st.lists(st.text(_LETTERS + "_.+-", min_size=1, max_size=6), min_size=1, max_size=3).map(
    lambda names: "/" + "/".join(names)
)
_LEADS_TO = st.one_of(_TARGET, _SOCKET)
_LISTENS = st.builds("{}{}".format, _BIND, _FORWARD_PORT)
_R = st.one_of(
    st.builds("{}:{}".format, st.one_of(_LISTENS, _SOCKET), _LEADS_TO), _LISTENS, st.just("0:localhost:22")
)
_L = st.builds("{}:{}".format, _LISTENS, _LEADS_TO)
_FORWARDS = {
    "remote": st.lists(_R, max_size=3, unique=True),
    "local": st.lists(_L, max_size=2, unique=True),
    "dynamic": st.lists(_LISTENS, max_size=1),
    "remote_socket": st.one_of(st.none(), st.just("lab1"), _SOCKET),
}

_PROXY = st.builds("{}://{}:{}".format, st.sampled_from(["http", "socks5"]), _HOST, _PORT)

# What means something to a shell, to ssh_config, to systemd, to sed, to JSON or to our own templates.
_PIECES = st.sampled_from(
    [
        *" '\"%$`\\*?[]{}()<>;|&!#~=,:@+-^",
        "%h",
        "%%",
        "$(id)",
        "${HOME}",
        "@key@",
        "..",
        "é",
        "\U0001f511",
        "e\u0301",
    ]
)
# Control characters are refused, and surrogates are no characters.
_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="/"), max_size=3
)


def file_names() -> st.SearchStrategy[str]:
    """Names that a file can have and a line can hold."""
    parts = st.lists(st.one_of(_PIECES, _TEXT), min_size=1, max_size=8).map("".join)
    # Made right rather than thrown away: a list of tunnels has dozens of them.
    named = parts.map(lambda text: f"{text}x" if text in ("", ".", "..") else text)
    return named.filter(lambda text: not control_character(text) and len(text.encode()) < 200)


def key_paths() -> st.SearchStrategy[str]:
    """Absolute paths, and some in the home folder."""
    return st.builds(
        lambda start, names: start + "/".join(names),
        st.sampled_from(["/", "/", "~/"]),
        st.lists(file_names(), min_size=1, max_size=3),
    )


# Keys for some of the hosts, the nearest first.
_WAY = st.lists(st.tuples(_BASTION, key_paths()), max_size=3).flatmap(
    lambda hops: st.fixed_dictionaries(
        {
            "jump": st.just([host for host, _ in hops] or None),
            "jump_key": st.integers(0, len(hops)).map(lambda count: [key for _, key in hops[:count]]),
            "proxy": st.one_of(st.none(), _PROXY),
        }
    )
)


def hooks() -> st.SearchStrategy[str]:
    """Commands of one line, with all that a shell or a file could take amiss."""
    return st.builds(
        "{}{}".format,
        st.sampled_from(["logger up", "# on_down: x", "@port@", "$(id)", "'", '"', "\\", "%h %%", "&|;<>*"]),
        key_paths(),
    )


def tunnels(user: st.SearchStrategy[str | None] | None = None) -> st.SearchStrategy[Tunnel]:
    """Tunnels with any values that the model accepts."""
    described = st.fixed_dictionaries(
        {
            "port": st.integers(1024, 65535),
            "bastion": _BASTION,
            "key": key_paths(),
            "target": _LEADS_TO,
            "user": st.sampled_from(["root", "lab", "a.b-c_d"]) if user is None else user,
            "engine": st.sampled_from(["ssh", "autossh"]),
            "keepalive": st.one_of(
                st.sampled_from(["fast", "default", "patient"]),
                st.builds("{}x{}".format, st.integers(1, 3600), st.integers(1, 100)),
            ),
        },
        optional={
            "name": st.sampled_from(["lab1", "a-b_c.d", "0x"]),
            "on_up": hooks(),
            "on_down": hooks(),
            **_FORWARDS,
            "way": _WAY,
        },
    )
    return described.filter(_accepted).map(_tunnel)


def _accepted(described: dict[str, Any]) -> bool:
    """False where two forwards would open the same."""
    try:
        _tunnel(described)
    except InputError:
        return False
    return True


def _tunnel(described: dict[str, Any]) -> Tunnel:
    rest = {**described, **described.get("way", {})}
    rest.pop("way", None)
    return Tunnel.of(rest.pop("port"), rest.pop("bastion"), rest.pop("key"), **rest)
