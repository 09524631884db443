"""A folder in which the steps of a plan are tried by a real shell."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from scitex_ssh.plan.program import program
from scitex_ssh.plan.step import Plan, Step
from scitex_ssh.render.template import Template
from tests.shell.shells import Shell

# Asks, shows and applies as plan/shell/flow.sh does.
_TRY = """
exit_status=0 machine=0 work='' me=$(id -un)
forget; t_name=2222
test_1 >/dev/null 2>&1; echo "before $?"
show_1 >"$out.diff"
test_1 >/dev/null 2>&1; echo "shown $?"
if test_1 >/dev/null 2>&1; then exit; fi
apply_1 >"$out.words" 2>&1; echo "apply $?"
test_1 >/dev/null 2>&1; echo "after $?"
"""


class Tried(NamedTuple):
    """What a step answered: the statuses of its test and its apply, its diff, what it said."""

    answers: dict[str, int]
    diff: str
    words: str


def functions(step: Step, texts: Mapping[str, Template]) -> str:
    """The emitted program of that one step, without its last command."""
    plan = Plan((step,), texts)
    text = program({"do": plan}, {}, entry="exit", extra=("generic", "main"), version="0")
    before, start, _ = text.rpartition("\nbegin\n{ ")
    assert start
    return before


def try_step(
    shell: Shell,
    out: Path,
    step: Step,
    texts: Mapping[str, Template] = {},
    *,
    values: str = "",
    env: Mapping[str, str] | None = None,
    path: str | None = None,
) -> Tried:
    """Test, show and, if it is due, apply one step; its output goes beside ``out``."""
    script = f"{functions(step, texts)}\nout={out}\n{_TRY.replace('t_name=2222', 't_name=2222 ' + values)}"
    answer = shell.run(script, env=env, path=path)
    # Only what the account may not read is told on the way.
    assert [line for line in answer.stderr.splitlines() if "ermission denied" not in line] == []
    words = Path(f"{out}.words")
    return Tried(
        {name: int(status) for name, status in map(str.split, answer.stdout.splitlines())},
        Path(f"{out}.diff").read_text("utf-8", "surrogateescape"),
        words.read_text("utf-8", "surrogateescape") if words.exists() else "",
    )


def tree(folder: Path) -> dict[str, str]:
    """Everything under a folder: kind, mode, owner, and content or target, by relative path."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(root) / name
            found[str(path.relative_to(folder))] = _seen(path)
    return found


def _seen(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"link {path.readlink()}"
    owner = f"{status.st_mode:o} {status.st_uid}:{status.st_gid}"
    if path.is_dir():
        return owner
    try:
        return f"{owner} {path.read_bytes()!r}"
    except PermissionError:
        return f"{owner} unreadable"
