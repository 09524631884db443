"""The pages of the project, taken apart."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
WRITTEN = [path for path in PAGES if "reference" not in path.parts]

# The console blocks of these are run on real hosts.
RUN = [ROOT / "README.md", *(path for path in WRITTEN if path.parent.name in ("tutorial", "how-to"))]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the directive in the comment before it, its text."""

    language: str
    directive: str
    text: str


@dataclass(frozen=True)
class Call:
    """A command that a console block shows, who gives it, and what is shown of its output."""

    user: str
    host: str
    command: str
    output: str


def name(path: Path) -> str:
    """A page's path, for people and for test names."""
    return str(path.relative_to(ROOT))


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return found_blocks(path.read_text(encoding="utf-8"))


def found_blocks(text: str) -> list[Block]:
    """The fenced blocks of a text, in order; those of a list stand in by so many blanks."""
    pattern = r"(?:^ *<!-- ([^\n]*) -->\n)?^( *)```(\w*)\n(.*?)^\2```$"
    found = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    return [Block(language, directive, textwrap.dedent(inner)) for directive, _, language, inner in found]


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


PROMPT = re.compile(r"^(?:(?P<user>\w+)@(?P<host>\w+):~)?[$#] (?P<command>.*)$")


def calls(block: Block) -> Iterator[Call]:
    """The commands of a console block; one without a prompt's name is given in the checkout."""
    current: re.Match[str] | None = None
    output: list[str] = []
    for line in [*block.text.splitlines(), "$ "]:
        prompt = PROMPT.match(line)
        if not prompt:
            output.append(line)
            continue
        if current:
            yield Call(current["user"] or "", current["host"] or "", current["command"], "\n".join(output))
        current, output = prompt, []


def matches(shown: str, said: str) -> bool:
    """Whether a page shows what was said: ``...`` stands for anything, alone on a line for any lines."""
    pattern = []
    for line in shown.splitlines():
        if line == "...":
            pattern.append(r"(?:.*\n)*")
        else:
            words = re.split(r"(\s+|\.\.\.)", line.strip())
            pattern.append(" *" + "".join(map(_word, words)) + " *\n")
    lines = [line + "\n" for line in said.replace("\r", "").splitlines()]
    return re.fullmatch("".join(pattern), "".join(lines)) is not None


def _word(text: str) -> str:
    if text == "...":
        return ".*?"
    # How wide a column is depends on what else is in it.
    return r"\s+" if text.isspace() else re.escape(text)


def anchors(path: Path) -> set[str]:
    """What a link to a place in a page may name: its headings, as GitHub and others slug them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
