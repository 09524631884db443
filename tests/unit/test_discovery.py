"""What a discovery file says, and what is refused of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitex_ssh.errors import SSHError
from scitex_ssh.model import Forward
from scitex_ssh.model.discovery import local_forwards

JOB = {"node": "gpu07", "litellm_port": 4000, "vllm_port": 8765, "model": "m", "key": "k"}


def read(data: object, *services: str) -> tuple[str, ...]:
    return local_forwards(json.dumps(data), "f", services)


def test_each_named_port_is_the_same_port_here() -> None:
    """All of them, or those that are asked for; what else the file says is left alone."""
    assert read(JOB) == ("4000:gpu07:4000", "8765:gpu07:8765")
    assert read(JOB, "vllm") == ("8765:gpu07:8765",)
    assert read({"node": "fd00::7", "ports": {"a": 8000, "b": 8000}}) == ("8000:[fd00::7]:8000",)


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        {"node": "gpu07"},
        {"node": "-oProxyCommand=x", "a_port": 1},
        {"node": 7, "a_port": 1},
        {"node": "gpu07", "a_port": "4000"},
        {"node": "gpu07", "a_port": True},
        {"node": "gpu07", "a_port": 65536},
        {"node": "gpu07", "ports": [4000]},
    ],
)
def test_what_is_no_discovery_file_is_refused(data: object) -> None:
    """By one slug, which tells why."""
    with pytest.raises(SSHError) as refusal:
        read(data)
    assert refusal.value.slug == "bad-discovery"


@pytest.mark.parametrize("text", ["", "{", "[" * 100000, "NaN", '"\\ud800"'])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """However deep it is nested."""
    with pytest.raises(SSHError) as refusal:
        local_forwards(text, "f")
    assert refusal.value.slug == "bad-discovery"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {}, optional={"node": _JSON | st.just("gpu07"), "a_port": _JSON | st.integers(1, 9), "ports": _JSON}
    )
    | _JSON
)
def test_it_is_read_or_refused(data: object) -> None:
    """Whatever is in it; what is read is what -L takes."""
    try:
        found = read(data)
    except SSHError as problem:
        found = ()
        slug = problem.slug
    else:
        slug = "bad-discovery"
    assert slug == "bad-discovery"
    assert all(Forward.parse(each, "-L").target is not None for each in found)
