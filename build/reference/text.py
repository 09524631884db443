"""What the reference pages are made of, and where all is."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The code of this very checkout is what the pages tell of.
sys.path.insert(0, str(ROOT))

REFERENCE = ROOT / "docs/reference"
WIDTH = 90


def page(parts: Iterable[str]) -> str:
    head = "<!-- Written by build/docs.py: change the code, then run ./build/dev docs. -->"
    return "\n\n".join([head, *(part.strip("\n") for part in parts)]) + "\n"


def fence(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
