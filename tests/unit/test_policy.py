"""The policy: which file and which entry decide, and that nothing is allowed in doubt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from scitex_ssh import config, policy
from scitex_ssh.errors import PolicyError


class Files(NamedTuple):
    """The two files, neither of which is there at first."""

    system: Path
    user: Path


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Put both files where a test may write them."""
    both = Files(tmp_path / "etc/config.yaml", tmp_path / "home/.scitex/ssh/config.yaml")
    for path in both:
        path.parent.mkdir(parents=True)
    monkeypatch.setattr(config, "SYSTEM", both.system)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(config.VARIABLE, raising=False)
    return both


def refusal(action: str, *names: str, consent: bool = False) -> str:
    """The slug of a refusal, or ""."""
    try:
        policy.check(action, *names, consent=consent)
    except PolicyError as problem:
        return problem.slug
    return ""


CASES = [
    # system, user: what is said of exec on lab1
    ("", "", "policy-unset"),
    ("default: {tunnels: allow}", "", "policy-unset"),
    ("default: {exec: allow}", "", ""),
    ("", "default: {exec: allow}", ""),
    ("", "hosts: {lab1: {exec: allow}}", ""),
    ("", "hosts: {LAB1: {exec: allow}}", ""),
    ("", "hosts: {lab2: {exec: allow}}", "policy-unset"),
    ("", "default: {exec: allow}\nhosts: {lab1: {exec: deny}}", "policy-denied"),
    ("", "default: {exec: deny}\nhosts: {lab1: {exec: allow}}", ""),
    ("default: {exec: deny}", "default: {exec: allow}", "policy-denied"),
    ("default: {exec: deny}", "hosts: {lab1: {exec: allow}}", "policy-denied"),
    ("default: {exec: deny}\nhosts: {lab1: {exec: allow}}", "", ""),
    ("default: {exec: allow}", "hosts: {lab1: {exec: deny}}", "policy-denied"),
    ("hosts: {10.0.0.7: {exec: deny}}", "default: {exec: allow}", "policy-denied"),
]


@pytest.mark.parametrize(("system", "user", "expected"), CASES)
def test_who_decides(files: Files, system: str, user: str, expected: str) -> None:
    """The entry of a host beats the default; the administrator's deny, and one's own, stand."""
    for path, text in zip(files, (system, user)):
        if text:
            path.write_text(text)
    assert refusal("exec", "lab1", "10.0.0.7") == expected


def test_consent_stands_in_for_silence_only(files: Files) -> None:
    """A yes is enough where no file speaks, and never where one denies or is broken."""
    assert refusal("tunnels", "here") == "policy-unset"
    assert refusal("tunnels", "here", consent=True) == ""
    files.user.write_text("default:\n  tunnels: deny\n")
    assert refusal("tunnels", "here", consent=True) == "policy-denied"
    files.user.write_text("default:\n  tunnels: [allow]\n")
    assert refusal("tunnels", "here", consent=True) == "policy-broken"


@pytest.mark.parametrize("name", ["lab1", "LAB1", "alice@lab1", "lab1."])
def test_a_name_is_found_however_it_is_written(files: Files, name: str) -> None:
    """Neither a user before it nor capitals get round a deny."""
    files.system.write_text("hosts: {Lab1: {copy: deny}}")
    assert refusal("copy", name, consent=True) == "policy-denied"
    assert refusal("copy", "lab2", consent=True) == ""


def test_the_variable_names_the_callers_file_only(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file of one's own can be named; the administrator's stays."""
    other = files.user.with_name("other.yaml")
    other.write_text("default: {attach: allow}")
    files.user.write_text("default: {attach: deny}")
    monkeypatch.setenv(config.VARIABLE, str(other))
    assert refusal("attach", "lab1") == ""
    assert policy.answer("attach", "lab1").path == str(other)
    files.system.write_text("default: {attach: deny}")
    assert refusal("attach", "lab1") == "policy-denied"


BROKEN = [
    ("default: [", "", "line 1: "),
    ("- default", "", "a mapping is needed"),
    ("tunnels: allow", "tunnels", "no such key"),
    ("default: {tunels: deny}", "default.tunels", "no such action"),
    ("default: {tunnels: yes}", "default.tunnels", "'yes' is neither allow nor deny"),
    ("hosts: {lab1: {tunnels: no}}", "hosts.lab1.tunnels", "'no' is neither"),
    ("hosts: {lab1: deny}", "hosts.lab1", "a mapping of actions"),
    ("hosts: [lab1]", "hosts", "a mapping of host names"),
    ("hosts: {'lab 1': {tunnels: deny}}", "hosts", "'lab 1' is not the name"),
    ("default: {exec: deny}\ndefault: {exec: allow}", "", "line 2: 'default' is there twice"),
    ("default: {exec: deny, exec: allow}", "", "'exec' is there twice"),
    ("default: &a {exec: deny}\nhosts: {lab1: {<<: *a}}", "hosts.lab1.<<", "no such action"),
    ("? [default]\n: {exec: deny}", "", "a key is no word"),
    ("default: {}\n---\ndefault: {}", "", "line 2: "),
    ("bastion: [gw]", "bastion", "a word is needed"),
    ("bastion: ''", "bastion", "a word is needed"),
    ('key: "a\\nb"', "key", "a word is needed"),
    ("[" * 5000, "", "nested"),
    ("# " + "x" * 300_000, "", "larger than"),
    ("default: \x00", "", "special characters"),
]


@pytest.mark.parametrize(("text", "where", "why"), BROKEN)
@pytest.mark.parametrize("which", [0, 1], ids=Files._fields)
def test_a_broken_file_denies_loudly(files: Files, which: int, text: str, where: str, why: str) -> None:
    """Whichever of the two is broken, nothing is allowed, and the message says where."""
    files[which].write_text(text)
    files[1 - which].write_text("default: {exec: allow}")
    with pytest.raises(PolicyError) as caught:
        policy.check("exec", "lab1", consent=True)
    assert caught.value.slug == "policy-broken"
    assert caught.value.where == where
    assert why in caught.value.facts["why"]
    assert caught.value.facts["path"] == str(files[which])


def test_what_is_no_readable_file_denies(files: Files) -> None:
    """A folder, a pipe, a loop of links, bytes that are no text: told at once, and nothing is allowed."""
    files.user.mkdir()
    assert refusal("exec", "lab1", consent=True) == "policy-unreadable"
    files.user.rmdir()
    os.mkfifo(files.user)
    assert refusal("exec", "lab1", consent=True) == "policy-unreadable"
    files.user.unlink()
    files.user.symlink_to(files.user)
    assert refusal("exec", "lab1", consent=True) == "policy-unreadable"
    with pytest.raises(PolicyError) as caught:
        policy.check("exec", "lab1")
    assert str(caught.value).count("cannot be read") == 1
    files.user.unlink()
    files.user.write_bytes(b"default: {exec: \xff}")
    assert refusal("exec", "lab1", consent=True) == "policy-broken"
    files.user.write_bytes("\ufeffdefault: {exec: allow}".encode())
    assert refusal("exec", "lab1") == ""


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "default:\nhosts:\n", "hosts:\n  lab1:\n"])
def test_an_empty_file_says_nothing(files: Files, text: str) -> None:
    """A file of comments is no answer."""
    files.system.write_text(text)
    files.user.write_text(text)
    assert refusal("exec", "lab1") == "policy-unset"


def test_this_host_has_its_short_name_first() -> None:
    """What a tunnel is asked for is this machine, by the names that it knows of itself."""
    names = policy.this_host()
    assert names[0] == os.uname().nodename.lower().partition(".")[0]
    assert len(names) == len(set(names)) <= 2
