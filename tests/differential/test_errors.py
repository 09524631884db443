"""An error reads the same whether Python or the shell tells it."""

from __future__ import annotations

import shlex

from scitex_ssh.errors import CATALOGUE, error
from tests.shell.shells import Shell, prelude

NASTY = 'it\'s $HOME \\ `id` "%s" {port} ${x} * \u00e9'


def test_every_error_reads_alike(shell: Shell) -> None:
    """Sentence, next move, slug and exit status of each error are those of the catalogue."""
    lines = [prelude()]
    expected = []
    for slug, problem in CATALOGUE.items():
        facts = {name: f"{name}: {NASTY}" for name in problem.facts()}
        given = " ".join(shlex.quote(f"{name}={text}") for name, text in facts.items())
        lines.append(f'(problem {slug} {given}; printf "%s\\n" "$? $exit_status" >&2)')
        expected.append(f"scitex-ssh: {error(slug, **facts)}\n1 {int(problem.status)}\n")
    answer = shell.run("\n".join(lines))
    assert answer.stderr == "".join(expected)


def test_a_fact_nobody_gave_reads_alike(shell: Shell) -> None:
    """A missing fact is a question mark in both, and not the end of the program."""
    answer = shell.run(prelude() + "problem bad-port; exit 7")
    assert (answer.stderr, answer.status) == (f"scitex-ssh: {error('bad-port')}\n", 7)


def test_the_first_error_sets_the_exit_status(shell: Shell) -> None:
    """Later errors are told, too, but do not change what the program ends with."""
    script = 'problem port-taken port=1; problem bad-port; echo "$exit_status"'
    assert shell.run(prelude() + script).stdout == "23\n"
