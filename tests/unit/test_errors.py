"""Every error has a sentence, a next move and an exit status, and is raised with all its facts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import scitex_ssh
from scitex_ssh.errors import (
    CATALOGUE,
    Exit,
    InputError,
    PolicyError,
    Problem,
    ReachError,
    SSHError,
    TunnelError,
    error,
    fill,
)
from scitex_ssh.keepers.systemd import supervisor

PACKAGE = Path(scitex_ssh.__file__).parent
SHELL_SOURCES = sorted(PACKAGE.glob("plan/shell/*.sh"))
PROBLEMS = [pytest.param(problem, id=slug) for slug, problem in CATALOGUE.items()]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_an_entry_is_complete(problem: Problem) -> None:
    """A slug that can be a link, a sentence that ends, a move to make, a status that is no success."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", problem.slug)
    assert CATALOGUE[problem.slug] is problem
    for text in (problem.sentence, problem.next_move):
        assert re.fullmatch(r"[a-z{].*[.)]", text)
        assert "\n" not in text
    assert problem.status in set(Exit) - {Exit.DONE}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_fact_fills(problem: Problem) -> None:
    """With its facts, no text has a gap left; without one, the gap reads '?'."""
    facts = {name: f"<{name}>" for name in problem.facts()}
    raised = error(problem.slug, **facts)
    lines = str(raised).split("\n")
    assert lines[2] == f"  [{problem.slug}]"
    assert lines[1] == f"  Next: {fill(problem.next_move, facts)}"
    assert not re.search(r"[{}?]", str(raised))
    assert all(f"<{name}>" in str(raised) for name in problem.facts())
    assert str(error(problem.slug)).count("?") == len(
        re.findall(r"\{\w+\}", problem.sentence + problem.next_move)
    )


FAMILIES = [
    ("bad-port", InputError, ValueError),
    ("forwarding-refused", PolicyError, PermissionError),
    ("bastion-timeout", ReachError, ConnectionError),
    ("key-not-accepted", ReachError, ConnectionError),
    ("host-key-changed", ReachError, ConnectionError),
    ("key-missing", TunnelError, RuntimeError),
    ("port-taken", TunnelError, RuntimeError),
]


@pytest.mark.parametrize(("slug", "family", "builtin"), FAMILIES)
def test_a_family_is_also_the_builtin_that_fits(
    slug: str, family: type[SSHError], builtin: type[Exception]
) -> None:
    """Whoever knows nothing of this package can still catch the error."""
    with pytest.raises(builtin) as caught:
        raise error(slug, port=2222)
    assert type(caught.value) is family
    assert isinstance(caught.value, SSHError)
    assert caught.value.facts == {"port": "2222"}
    assert caught.value.status is CATALOGUE[slug].status


def test_every_family_has_its_statuses() -> None:
    """Every slug's error is of one family, and of SSHError itself never."""
    assert {type(error(slug)) for slug in CATALOGUE} == {
        InputError,
        PolicyError,
        ReachError,
        TunnelError,
    }


def test_a_slug_nobody_knows_is_our_fault() -> None:
    """An unknown slug, from a newer program, is told and not raised as a KeyError."""
    raised = error("no-such-slug", port=1)
    assert (raised.slug, raised.status) == ("internal", Exit.FAILED)
    assert "no-such-slug" in raised.sentence


def test_the_place_comes_first() -> None:
    """A configuration error says where it stands before what is wrong."""
    raised = error("bad-port", where="tunnels[0].port", value="'x'", what="the tunnel")
    assert raised.sentence.startswith("At 'tunnels[0].port': 'x' is not a port")


# Where a command stands, so that the word in a sentence is none.
CALL = re.compile(r"(?:^|[;{()&|]|\bthen|\belse) *problem ([\w$\"-]+)(.*)")


class Call(NamedTuple):
    """One ``problem SLUG FACT=...`` of a shell source."""

    place: str
    slug: str
    facts: frozenset[str]


def calls(path: Path) -> Iterator[Call]:
    """Every problem that the source raises; a set of facts given as ``"$@"`` is the last one set."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    common: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r" *set -- \w+=", line):
            common = re.findall(r" (\w+)=", line)
        for slug, rest in CALL.findall("" if line.lstrip().startswith("#") else line):
            facts = {*re.findall(r" (\w+)=", rest), *(common if '"$@"' in rest else [])}
            slugs = (
                ("bad-destination", "bad-target", "bad-jump", "bad-proxy") if slug == '"$slug"' else (slug,)
            )
            for name in slugs:
                yield Call(f"{path.name}:{number}", name, frozenset(facts))


CALLS = [call for path in SHELL_SOURCES for call in calls(path)]


@pytest.mark.parametrize("call", CALLS, ids=[f"{call.place}-{call.slug}" for call in CALLS])
def test_a_shell_problem_gives_every_fact_of_its_texts(call: Call) -> None:
    """What the programs raise is in the catalogue, and none of its texts reads '?'."""
    assert call.slug in CATALOGUE
    assert set(CATALOGUE[call.slug].facts()) - call.facts == set()


def test_the_shell_sources_were_understood() -> None:
    """The reader of the sources sees a call in each of its forms, and no word of a sentence."""
    seen = {call.slug: call.facts for call in CALLS}
    assert len(CALLS) > 50
    assert seen["interrupted"] == set()
    assert seen["key-unreadable"] == {"key", "user"}
    assert seen["bastion-refused"] == {"host", "port", "login", "key"}
    assert seen["bad-target"] >= {"value", "why"}
    assert set(seen) <= set(CATALOGUE)


def test_every_slug_is_raised_somewhere() -> None:
    """A slug that nothing raises is a page that nobody can reach; the known ones are listed."""
    raised = {call.slug for call in CALLS} | {"internal"}
    for path in SHELL_SOURCES:
        raised |= set(re.findall(r"\b(?:one_)?cause=([a-z-]+)", path.read_text("utf-8")))
    # The supervisor has no catalogue: it leaves the slug before its words.
    raised |= set(re.findall(r'why="([a-z-]+): ', supervisor()))
    for path in PACKAGE.rglob("*.py"):
        if path.name != "errors.py":
            source = path.read_text("utf-8")
            raised |= set(re.findall(r'(?:(?:Error|error)\(\s*|slug=)"([a-z-]+)"', source))
    assert set(CATALOGUE) - raised == set()
