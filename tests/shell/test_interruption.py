"""A signal is told of once, whatever the program is at."""

from __future__ import annotations

import pytest

from tests.shell.shells import Shell, prelude

# What calls a function that the signal comes to.
AT = {
    "nothing": "asks",
    "a look whose words nobody wants": "asks >/dev/null 2>&1",
    "a step": "quietly asks",
    "a cause that is only sought": "capturing=1; asks",
    "a warning": "as_warning=1; asks",
}


@pytest.mark.parametrize("call", AT.values(), ids=AT)
def test_an_interruption_is_told(shell: Shell, call: str) -> None:
    """As an error with its own exit status, after what was undone."""
    before = "restore_all() { echo undone; }; asks() { kill -INT $$; sleep 0.1; }"
    answer = shell.run(f"{prelude()}\nbegin; make_work; applying=1; {before}\n{call}\necho on")
    assert (answer.status, answer.stdout, answer.stderr.count("[interrupted]")) == (130, "undone\n", 1), (
        answer
    )


def test_it_may_have_nobody_to_speak_to(shell: Shell) -> None:
    """Whoever started it has closed what it would speak by."""
    answer = shell.run(f"({prelude()}\nbegin; make_work; problem interrupted; finish) >&- 2>&-; echo $?")
    assert answer.stdout == "130\n", answer
