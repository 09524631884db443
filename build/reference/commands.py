"""The command line: the help of every command."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reference.text import WIDTH, fence, page


def cli() -> str:
    """The help of every command, and of the generic scripts."""
    import click

    from scitex_ssh.cli.app import app

    parts = [
        "# Command line",
        "Every command answers `--help`; `scitex-ssh --help-recursive` prints all of it. What each "
        "ends with is in [exit statuses](exit-statuses.md), what it reads from the environment in "
        "[environment](environment.md), what `--json` prints in [JSON](json.md).",
        "The commands below `scitex-ssh tunnel` are the same as those at the top, and are not listed twice.",
    ]
    for path, command in _commands(app, "scitex-ssh"):
        parent = None
        for name in path.split()[:-1]:
            parent = click.Context(click.Group(), info_name=name, parent=parent)
        settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
        with click.Context(command, info_name=path.split()[-1], parent=parent, **settings) as context:
            parts += [f"## {path}", fence(command.get_help(context), "text")]
    parts += [
        "## The generic scripts",
        "Written by `scitex-ssh scripts FOLDER`; for a machine without Python. The .pyz is the same "
        "program there: `sh scitex-ssh.pyz setup ...`.",
    ]
    for name, text in _scripts().items():
        parts += [f"### {name}", fence(_script_help(name, text), "text")]
    return page(parts)


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The commands below a group, each with the words that call it; those of `tunnel` are known."""
    import click

    yield path, group
    if not isinstance(group, click.Group):
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        child = group.get_command(context, name)
        assert child is not None
        if path == "scitex-ssh tunnel" or child.hidden:
            continue
        yield from _commands(child, f"{path} {name}")


def _scripts() -> dict[str, str]:
    from scitex_ssh.backends.shell import generic_scripts

    return generic_scripts()


def _script_help(name: str, text: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(["sh", path, "--help"], capture_output=True, text=True, check=True)
    return done.stdout
