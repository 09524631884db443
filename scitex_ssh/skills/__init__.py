"""Guides for single tasks, as Markdown with front matter, for whoever or whatever does the task."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from scitex_ssh.errors import InputError, error
from scitex_ssh.model.text import shown

__all__ = ["Skill", "install", "skill", "skills"]


@dataclass(frozen=True)
class Skill:
    """A guide.

    Attributes:
        name: what it is called.
        description: what it is for, and when to take it, in a sentence or two.
        text: all of it, with its front matter.
    """

    name: str
    description: str
    text: str

    @classmethod
    def read(cls, text: str) -> Skill:
        """A guide from its text: the two lines between its rules, then the guide."""
        _, head, _ = text.split("---\n", 2)
        fields = dict(line.split(": ", 1) for line in head.splitlines())
        return cls(fields["name"], fields["description"], text)

    def as_dict(self) -> dict[str, str]:
        """Name and description as JSON types."""
        return {"name": self.name, "description": self.description}


def skills() -> list[Skill]:
    """All guides, by name."""
    found = [each for each in files(__name__).iterdir() if each.name.endswith(".md")]
    return sorted((Skill.read(each.read_text(encoding="utf-8")) for each in found), key=lambda one: one.name)


def skill(name: str) -> Skill:
    """One guide; `InputError` ``no-such-skill``."""
    for each in skills():
        if each.name == name:
            return each
    raise InputError("no-such-skill", value=shown(name), known=", ".join(each.name for each in skills()))


def install(folder: str | os.PathLike[str]) -> list[tuple[Path, bool]]:
    """Write each guide to ``FOLDER/scitex-ssh-NAME/SKILL.md``; the paths, and whether each was changed.

    Raises:
        TunnelError: ``skill-differs`` for a file there that is none of ours; then nothing is written.
    """
    wanted = [(Path(folder) / f"scitex-ssh-{each.name}" / "SKILL.md", each) for each in skills()]
    for path, each in wanted:
        if path.exists() and f"name: {each.name}\n" not in path.read_text(encoding="utf-8", errors="replace"):
            raise error("skill-differs", path=path)
    done = []
    for path, each in wanted:
        changed = not path.exists() or path.read_text(encoding="utf-8") != each.text
        if changed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(each.text, encoding="utf-8")
        done.append((path, changed))
    return done
