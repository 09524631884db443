"""Tunnels of every kind that the model accepts."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st

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
_PART = st.lists(
    st.one_of(_PIECES, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)),
    min_size=1,
    max_size=8,
).map(lambda pieces: "".join(pieces).replace("/", ""))


def file_names() -> st.SearchStrategy[str]:
    """Names that a file can have and a line can hold."""
    return _PART.filter(
        lambda text: text not in ("", ".", "..") and not control_character(text) and len(text.encode()) < 200
    )


def key_paths() -> st.SearchStrategy[str]:
    """Absolute paths, and some in the home folder."""
    return st.builds(
        lambda start, names: start + "/".join(names),
        st.sampled_from(["/", "/", "~/"]),
        st.lists(file_names(), min_size=1, max_size=3),
    )


def tunnels(user: st.SearchStrategy[str | None] | None = None) -> st.SearchStrategy[Tunnel]:
    """Tunnels with any values that the model accepts."""
    return st.builds(
        Tunnel.of,
        st.integers(1024, 65535),
        _BASTION,
        key_paths(),
        target=_TARGET,
        user=st.sampled_from(["root", "lab", "a.b-c_d"]) if user is None else user,
        engine=st.sampled_from(["ssh", "autossh"]),
        keepalive=st.one_of(
            st.sampled_from(["fast", "default", "patient"]),
            st.builds("{}x{}".format, st.integers(1, 3600), st.integers(1, 100)),
        ),
    )
