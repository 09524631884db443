"""The commands for guides of single tasks."""

from __future__ import annotations

from pathlib import Path

import click

from scitex_ssh import skills as guides
from scitex_ssh.cli import present
from scitex_ssh.cli.app import SETTINGS
from scitex_ssh.errors import Exit

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")


@click.group("skills", context_settings=SETTINGS)
def skills() -> None:
    """Guides for single tasks, for people and for agents."""


@skills.command("list", context_settings=SETTINGS)
@_json
def list_(as_json: bool) -> int:
    """List them, with what each is for."""
    found = guides.skills()
    if as_json:
        body = {"success": True, "status": 0, "skills": [each.as_dict() for each in found]}
        present.envelope("skills list", body)
        return Exit.DONE
    present.columns([["NAME", "FOR"], *([each.name, each.description] for each in found)])
    return Exit.DONE


@skills.command("get", context_settings=SETTINGS)
@click.argument("name")
def get(name: str) -> int:
    """Print one, as Markdown with front matter."""
    print(guides.skill(name).text, end="")
    return Exit.DONE


@skills.command("install", context_settings=SETTINGS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def install(folder: Path) -> int:
    """Write all of them to FOLDER/scitex-ssh-NAME/SKILL.md.

    What is there is brought up to date; a file that is none of ours is left alone, and told.
    """
    for path, changed in guides.install(folder):
        print(f"{'changed' if changed else 'ok':13} {path}")
    return Exit.DONE
