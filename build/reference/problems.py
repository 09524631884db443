"""Errors and exit statuses."""

from __future__ import annotations

import re

from reference.text import page

# What each status means to a script that looks at it.
STATUSES = {
    0: "Done, or already so.",
    1: "Failed: something on this machine went wrong, or there is no such tunnel.",
    2: "Usage: what was asked for cannot be right. Nothing was touched.",
    3: "Refused: it is not allowed, here or by the bastion.",
    10: "Configuration: this machine, or the key, is not as it must be. Nothing was touched.",
    20: "The bastion cannot be reached.",
    21: "The bastion does not let the key in.",
    22: "The bastion's host key is unknown, or is not the one that was expected.",
    23: "The port on the bastion is not to be had.",
    50: "The tunnel does not work or cannot be shown to (`setup`), or any of them (`status`), or a check "
    "failed (`doctor`).",
    130: "Interrupted; what was there before is back.",
}


def exit_statuses() -> str:
    """The statuses, and the errors that lead to each."""
    from scitex_ssh.errors import CATALOGUE, Exit

    rows = ["| status | meaning | errors |", "|---:|---|---|"]
    for status in Exit:
        slugs = [problem.slug for problem in CATALOGUE.values() if problem.status == status]
        links = ", ".join(f"[{slug}](errors.md#{slug})" for slug in slugs)
        rows.append(f"| {int(status)} | {STATUSES[int(status)]} | {links} |")
    return page(
        [
            "# Exit statuses",
            "The same for the command, the scripts and the .pyz without Python. With several tunnels or "
            "several errors, the first error decides. pyinfra has its own: a host whose tunnel cannot be "
            "proven fails, and the run ends with 1.",
            "\n".join(rows),
        ]
    )


def errors() -> str:
    """The catalogue, a heading a slug."""
    from scitex_ssh.errors import CATALOGUE

    parts = [
        "# Errors",
        "Every error has a name that does not change (its slug), one sentence that says what and why, a "
        "next move and an exit status. `scitex-ssh explain SLUG` prints an entry. Words in `{braces}` "
        "are filled in by the error that you see.",
    ]
    for problem in CATALOGUE.values():
        parts += [
            f"## {problem.slug}",
            f"> {_braces(problem.sentence)}",
            f"Next: {_braces(problem.next_move)}",
            f"Exit status [{int(problem.status)}](exit-statuses.md).",
        ]
    return page(parts)


def _braces(text: str) -> str:
    """A catalogue text as Markdown: its facts as code, nothing else read as markup."""
    plain = re.sub(r"([\\*<>\[\]_])", r"\\\1", text)
    return re.sub(r"\{([\w\\]+)\}", lambda match: f"`{{{match[1]}}}`".replace("\\", ""), plain)
