"""Every gap of a text has a value in the shell program that fills it."""

from __future__ import annotations

import re

import pytest

from scitex_ssh.backends.shell import baked, generic_program, generic_scripts
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Port, Tunnel
from scitex_ssh.plan.program import BEGINS, bind, module
from scitex_ssh.plan.step import PHASES, Plan
from scitex_ssh.render.template import Template

TUNNEL = Tunnel.of(2222, "u@gw", "/k")
KEPT = set(" ".join(re.findall(r'^kept="(?:\$kept )?([^"]*)"$', module("flow"), re.MULTILINE)).split())
PROGRAMS = {
    "generic": generic_program(),
    **generic_scripts(),
    **{f"baked {word}": baked(word, [TUNNEL]) for word in ("setup", "remove")},
    "baked status": baked("status", [Port(2222)]),
}


def gaps(plan: Plan) -> set[str]:
    """Every gap of a plan's texts, titles and paths."""
    texts: list[Template] = [*plan.texts.values()]
    for step in plan.steps:
        texts += [text for text in (step.title, step.path, step.content) if text is not None]
    return {gap for text in texts for gap in text.gaps()}


def test_the_list_of_kept_values_was_read() -> None:
    """The list is the one of flow.sh: it holds what was given and what follows from it."""
    assert {"port", "key", "key_json", "known_hosts", "connect_timeout"} <= KEPT


@pytest.mark.parametrize("word", sorted(PLANS))
def test_every_gap_of_a_plan_is_kept(word: str) -> None:
    """A gap whose value is not put by and taken up again would hold another tunnel's value."""
    assert gaps(PLANS[word]) - KEPT == set()


@pytest.mark.parametrize("name", sorted(FRAGMENTS))
def test_every_gap_of_a_fragment_is_kept(name: str) -> None:
    """The fragments are filled from the same values."""
    assert set(FRAGMENTS[name].gaps()) - KEPT == set()


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_value_a_program_reads_is_kept(name: str) -> None:
    """No function of the prelude reads a value of a tunnel that is not kept with it."""
    assert set(re.findall(r"\$\{?t_(\w+)", PROGRAMS[name])) - KEPT == set()


def test_every_given_value_is_kept() -> None:
    """What a tunnel brings along is put by with the rest."""
    assert set(bind(TUNNEL)) - KEPT == set()


@pytest.mark.parametrize("word", sorted(PLANS))
def test_a_plan_keeps_its_phases_in_order(word: str) -> None:
    """Files come before the reload, the reload before the services, the proof last."""
    phases = [step.phase for step in PLANS[word].steps]
    assert set(phases) <= set(PHASES)
    if word.startswith("setup_"):
        assert phases == sorted(phases, key=PHASES.index)
        assert phases[-1] == "proof"


@pytest.mark.parametrize("word", sorted(PLANS))
def test_every_text_of_a_plan_is_written_by_a_step(word: str) -> None:
    """The texts and the steps that name them fit."""
    named = {text for step in PLANS[word].steps for text in re.findall(r"\btext_(\w+)", step.apply)}
    assert named == set(PLANS[word].texts)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_program_can_find_its_beginning(name: str) -> None:
    """The mark from which a program cuts itself out to start again as root stands once, alone."""
    lines = PROGRAMS[name].splitlines()
    assert lines[1] == BEGINS
    assert lines.count(BEGINS) == 1


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_program_is_read_whole_before_it_starts(name: str) -> None:
    """Cut off on its way (curl | sh), a program does nothing: its only command is the last line."""
    before, command = PROGRAMS[name].splitlines()[-2:]
    assert before == "begin"
    assert re.fullmatch(r"\{ (main|generic) .*; exit; \}", command)


def test_a_template_fills_and_names_its_gaps() -> None:
    """Gaps are named once, in order; a value that looks like a gap is left alone."""
    template = Template("@a@ x@y @b@@a@ user@host")
    assert template.gaps() == ("a", "b")
    assert template.fill({"a": "@b@", "b": "2"}) == "@b@ x@y 2@b@ user@host"
    with pytest.raises(KeyError):
        template.fill({"a": "1"})
