#!/usr/bin/env python3
"""Write the reference pages, docs/reference/, from the code.

    python build/docs.py            write them anew
    python build/docs.py --check    write nothing; exit status 1, and a diff, when a page has drifted

The pages are the same on every machine and every Python from 3.10 on, and carry no date.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable

from reference import commands, keeping, objects, problems, settings, sources
from reference.text import REFERENCE

PAGES: dict[str, Callable[[], str]] = {
    "cli.md": commands.cli,
    "config.schema.json": settings.config_schema,
    "configuration.md": settings.configuration,
    "environment.md": settings.environment,
    "errors.md": problems.errors,
    "exit-statuses.md": problems.exit_statuses,
    "fleet.schema.json": settings.fleet_schema,
    "json.md": objects.json_shape,
    "keepers.md": keeping.keepers,
    "status.schema.json": objects.status_schema,
    "pyinfra.md": sources.pyinfra,
    "python.md": sources.python,
    "unit.md": keeping.unit,
}


def check(pages: dict[str, str]) -> int:
    """Show what differs from the pages as they are; 1 if anything does."""
    drifted = False
    for name, text in pages.items():
        path = REFERENCE / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        diff = difflib.unified_diff(
            old.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"docs/reference/{name}",
            f"docs/reference/{name} (as it should be)",
        )
        for line in diff:
            drifted = True
            sys.stdout.write(line)
    for path in sorted(REFERENCE.glob("*")):
        if path.name not in pages:
            drifted = True
            print(f"docs/reference/{path.name} is not made by build/docs.py")
    if drifted:
        print("docs: the reference has drifted; run ./build/dev docs", file=sys.stderr)
    return int(drifted)


def write(pages: dict[str, str]) -> int:
    """Write the pages, and name those that changed."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        path = REFERENCE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/reference/{name}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say what has drifted")
    chosen = parser.parse_args()
    pages = {name: make() for name, make in PAGES.items()}
    return check(pages) if chosen.check else write(pages)


if __name__ == "__main__":
    raise SystemExit(main())
