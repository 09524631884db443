"""The configuration as Python, the shell programs and the published schema read it: never more is allowed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scitex_ssh import config, config_edit, policy
from scitex_ssh.config_schema import schema
from scitex_ssh.errors import PolicyError, SSHError
from tests.shell.shells import NAMES, Shell, busybox_applets, missing, prelude

HOST = "lab1"

_HOST = st.sampled_from([HOST, "LAB1", "lab2", "'lab1'", '"lab1"', "10.1", "fe80::1", "-lab", "::1", "lab1:"])
_ACTION = st.sampled_from([*config.ACTIONS, "tunnels", "tunnels", "tunels", "'tunnels'"])
_VERDICT = st.sampled_from(
    ["allow", "deny", "allow", "deny", "'deny'", '"allow"', "yes", "", "Allow", "[deny]"]
)
_PAIR = st.builds("{}: {}".format, _ACTION, _VERDICT)
_FLOW = st.lists(_PAIR, max_size=3).map(lambda pairs: "{" + ", ".join(pairs) + "}")
_INDENT = st.sampled_from(["", "  ", "  ", "    ", "    ", " ", "\t"])
_LINE = st.one_of(
    st.sampled_from(
        ["default:", "hosts:", "default: {}", "hosts: {}", "", "# a: deny", "---", "...", "\x85", "é"]
    ),
    st.builds("default: {}".format, _FLOW),
    st.builds("{}{}:".format, _INDENT, _HOST),
    st.builds("{}{}: {}".format, _INDENT, _HOST, _FLOW),
    st.builds("{}{}{}".format, _INDENT, _PAIR, st.sampled_from(["", "", " # why", " ", "#", ",", "\r"])),
    st.builds(
        "{}: {}".format,
        st.sampled_from(config.DEFAULTS),
        st.sampled_from(
            ["gw", "u@gw:22", "'~/my key'", '"a # b"', "|", ">", "&a b", "*a", "a: b", "''", "a:", "~"]
        ),
    ),
    st.text("adhlnopstuwy: {},#'\"-\n&*|>%@!?[]", max_size=12),
)
_BLOCK = st.one_of(
    st.lists(_PAIR, min_size=1, max_size=3).map(
        lambda pairs: "default:\n" + "\n".join(f"  {p}" for p in pairs)
    ),
    st.lists(st.tuples(_HOST, st.lists(_PAIR, min_size=1, max_size=2)), min_size=1, max_size=3).map(
        lambda hosts: (
            "hosts:\n" + "\n".join(f"  {h}:\n" + "\n".join(f"    {p}" for p in ps) for h, ps in hosts)
        )
    ),
)
TEXTS = st.lists(st.one_of(_BLOCK, _LINE), max_size=6).map("\n".join)

# Every file of the folder, in order: what it says, or that it is not understood.
_EACH = """
names=lab1 yes=0
for file in "$1"/*; do
    if read_policy "$file"; then echo "${verdict:-unset}"; else echo broken; fi
done
"""


def by_python(text: str) -> str:
    """What Python reads in a text."""
    try:
        found = config.read(text, Path("config.yaml"), system=True)
    except PolicyError:
        return "broken"
    return policy.said(found, "tunnels", (HOST,))[0] or "unset"


@pytest.fixture(scope="module", params=NAMES)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Each POSIX shell of this machine."""
    if missing(request.param):
        pytest.skip(f"{request.param} is not installed")
    applets = busybox_applets(tmp_path_factory.mktemp("applets")) if request.param == "busybox" else None
    return Shell.named(request.param, applets)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=20))
def test_a_shell_reads_the_same_or_refuses(shell: Shell, texts: list[str]) -> None:
    """Where the shell understands a file it says what Python says; where it does not, it allows nothing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for number, text in enumerate(texts):
            (Path(folder) / f"{number:03}").write_bytes(text.encode())
        answer = shell.run(prelude() + _EACH, folder)
    assert answer.stderr == ""
    for text, said in zip(texts, answer.stdout.split(), strict=True):
        assert said in ("broken", by_python(text)), text


PLAIN = [
    ("default:\n  tunnels: allow\n", "allow"),
    ("# ours\ndefault:\n  tunnels: deny # for now\n  exec: allow\n", "deny"),
    ("hosts:\n  lab1: {tunnels: deny, exec: allow}\ndefault: {tunnels: allow}\n", "deny"),
    ("default:\n    tunnels: deny\nhosts:\n  'LAB1':\n      exec: deny\n      tunnels: allow", "allow"),
    (
        "bastion: tunnel@gw:22\nkey: '~/my key'\nkeeper: cron\nkeepalive: 5x2\n"
        "on_up: logger up\non_down: 'curl -d x http://h:1'\n\n"
        "hosts:\n\n  lab2:\n    tunnels: deny\n",
        "unset",
    ),
    ("default:\r\n  tunnels: deny\r\n", "deny"),
    ("", "unset"),
]


@pytest.mark.parametrize(("text", "expected"), PLAIN)
def test_a_shell_understands_what_people_write(
    shell: Shell, text: str, expected: str, tmp_path: Path
) -> None:
    """The usual forms are understood, not merely refused; Python says the same."""
    tmp_path.chmod(0o755)
    (tmp_path / "config").write_bytes(text.encode())
    assert shell.run(prelude() + _EACH, str(tmp_path)).stdout.split() == [expected]
    assert by_python(text) == expected


_WORD = st.one_of(
    st.sampled_from(["", "allow", "deny", "yes", "/k", "~/k", "k", "a\nb"]), st.text(max_size=4)
)
_NAMES = st.sampled_from([*config.ACTIONS, "tunels", ""])
_RULES = st.one_of(
    _WORD, st.dictionaries(_NAMES, st.one_of(_WORD, st.sampled_from(config.VERDICTS)), max_size=3)
)
_HOSTS = st.dictionaries(
    st.one_of(st.sampled_from(["lab1", "::1", "a b"]), st.text(max_size=3)), _RULES, max_size=3
)
_DATA = st.fixed_dictionaries(
    {},
    optional={
        "default": _RULES,
        "hosts": st.one_of(_HOSTS, _WORD),
        "typo": _WORD,
        **dict.fromkeys(config.DEFAULTS, _WORD),
    },
)


def _for_editors(data: object) -> object:
    """The data as a YAML reader with types gives it: nothing after a colon is null."""
    if isinstance(data, dict):
        return {name: _for_editors(value) for name, value in data.items()}
    return None if data == "" else data


@settings(max_examples=300, deadline=None)
@given(data=st.one_of(_DATA, _WORD, st.lists(_WORD)))
def test_the_schema_and_the_loader_agree(data: object) -> None:
    """What an editor marks as wrong is what is refused, and nothing else."""
    valid = jsonschema.Draft202012Validator(schema()).is_valid(_for_editors(data))
    assert valid == (list(config.faults(data)) == [])


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(TEXTS, st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_no_text_is_a_traceback(text: str) -> None:
    """Whatever a file holds is read, or refused with its one error."""
    assert by_python(text) in ("allow", "deny", "unset", "broken")


@settings(max_examples=200, deadline=None)
@given(
    text=TEXTS,
    action=st.sampled_from(config.ACTIONS),
    verdict=st.sampled_from(config.VERDICTS),
    host=st.sampled_from([None, HOST, "new"]),
)
def test_a_change_changes_one_answer(text: str, action: str, verdict: str, host: str | None) -> None:
    """What was asked for is so, the rest and its comments are as before; or nothing is changed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(text.encode())
        try:
            before = config.load(path, system=False)
            config_edit.put(path, action, verdict, host=host)
        except SSHError:
            assert path.read_bytes() == text.encode()
            return
        after = config.load(path, system=False)
        assert path.read_text().count("# why") == text.count("# why")
        name = next((name for name in before.hosts if host and name.lower() == host), host)
        rules = after.default if name is None else after.hosts[name]
        assert rules[action] == verdict
        assert after.defaults == before.defaults
        for other in {*before.hosts} - {name}:
            assert after.hosts[other] == before.hosts[other]
