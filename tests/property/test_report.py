"""What a machine says is read, or passed over: whatever it is."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from scitex_ssh.plan.report import Line, Report, read_line

KINDS = (
    *("event", "diff", "result", "error", "keeper", "warning"),
    *("tunnel", "host", "host-key", "check", "motd"),
)
NAMES = (
    *("slug", "where", "tunnel", "level", "forwards", "levels"),
    *("restarts", "since", "pid", "ports", "keys"),
)
VALUES = st.one_of(
    st.sampled_from(
        ["2222", "-1", "1e3", "\u0663", "\u00b2", "9" * 5000, "remote", "remote :x ,,", "a b c d", "", ","]
    ),
    st.text(max_size=8),
)
FIELD = st.one_of(st.builds("{}={}".format, st.sampled_from(NAMES), VALUES), VALUES)
LINE = st.builds(
    lambda kind, fields: "\t".join([kind, *fields]), st.sampled_from(KINDS), st.lists(FIELD, max_size=7)
)


@given(st.lists(LINE, max_size=6))
def test_any_output_is_read_as_json_types(lines: list[str]) -> None:
    """Damaged lines cost no more than themselves."""
    read: list[Line] = [line for line in map(read_line, lines) if line is not None]
    assert json.loads(json.dumps(Report(read).to_json()))["status"] == 0


def test_a_line_beside_damaged_ones_is_read_in_full() -> None:
    """A motd, a cut line, and a number that is none."""
    said = [
        "Last login: never",
        "tunnel",
        "tunnel\t2301\tlevel=verified\trestarts=x\tforwards=remote",
        "event\ta",
    ]
    (seen,) = Report([line for line in map(read_line, said) if line is not None]).as_dict()["tunnels"]  # type: ignore[attr-defined]  # JSON types
    assert (seen["tunnel"], seen["level"], seen["restarts"]) == ("2301", "verified", 0)
    assert seen["forwards"] == [{"kind": "remote", "listen": "", "port": None, "target": None, "level": None}]
