"""What the page shows, as HTML."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

import scitex_ssh
from scitex_ssh.gateway import reach, roster
from scitex_ssh.gateway.tables import AWAY, Bastion

# How a machine stands, in two words and in a sentence.
WORDS = {
    "verified": ("verified", "It answers with its own host key."),
    "open": ("answers", "An sshd answers; which host key is its own, the gateway was not told."),
    "up": ("up", "Its tunnel holds its port; it was not dialled yet."),
    "other": (
        "wrong host key",
        "What answers on its port has another host key than the machine that enrolled.",
    ),
    "silent": ("no answer", "Its tunnel holds the port, but the machine behind it does not answer."),
    "down": ("down", "Nothing holds its port."),
    "pending": ("waits", "It waits for the approval of an admin."),
    "expired": ("expired", "It was away for too long; it enrols again by itself when it is set up again."),
    "revoked": ("revoked", "An admin took its port and its key."),
}

_PAGES = Environment(
    loader=PackageLoader("scitex_ssh.gateway.page", ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Seen:
    """All that a page of machines shows.

    Attributes:
        bastions: rows of `tables.BASTIONS`.
        who: the admin who is signed in, or "".
        form: what their forms carry.
    """

    found: roster.Found
    asked: roster.Asked
    bastions: list[Any]
    now: float
    who: str
    form: str


def machines(seen: Seen, problem: str = "") -> str:
    """The whole page."""
    return _PAGES.get_template("machines.html").render(**_values(seen), problem=problem)


def live(seen: Seen) -> str:
    """The part that changes."""
    return _PAGES.get_template("live.html").render(**_values(seen))


def sign_in(problem: str, root: str) -> str:
    """The form for a token; ``root`` leads from its address to the page of machines."""
    return _PAGES.get_template("sign_in.html").render(problem=problem, root=root)


def _values(seen: Seen) -> dict[str, Any]:
    bastions = {row["name"]: row for row in seen.bastions}
    ways = {name: Bastion.of(row) for name, row in bastions.items()}
    several = len(bastions) > 1
    return {
        "version": scitex_ssh.__version__,
        "seen": seen,
        "asked": seen.asked,
        "words": WORDS,
        "counts": [(name, seen.found.counts[name]) for name in roster.STANDINGS if name in seen.found.counts],
        "everything": sum(seen.found.counts.values()),
        "several": several,
        "bastions": [_bastion(row, seen.now) for row in seen.bastions],
        "rows": [
            {
                "machine": machine,
                "standing": standing,
                "command": reach.command(machine, ways.get(machine.bastion, Bastion())),
                "bastion": ways.get(machine.bastion, Bastion()).host or machine.bastion,
                "seen": ago(seen.now - machine.seen),
                "at": _minute(machine.seen),
            }
            for machine, standing in seen.found.machines
        ],
        "link": _linker(seen.asked),
    }


def _bastion(row: Any, now: float) -> dict[str, Any]:
    return {
        "name": row["host"] or row["name"] or "this bastion",
        "held": row["held"],
        "size": row["size"],
        "live": row["live"],
        "load": round(row["load"] * 100),
        "memory": round(row["memory"] * 100),
        # One whose upkeep has never run yet has nothing to tell.
        "told": row["seen"] > 0,
        "there": row["seen"] > now - AWAY,
        "seen": ago(now - row["seen"]),
    }


def ago(seconds: float) -> str:
    """How long ago, so coarse that it seldom changes."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "now"


def _minute(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")


def _linker(asked: roster.Asked) -> Any:
    def link(standing: str | None = None, page: int = 1) -> str:
        """The address of the same search, of another kind or page."""
        kind = asked.standing if standing is None else standing
        said = {"q": asked.word, "state": kind, "page": page if page > 1 else ""}
        return "?" + urlencode({name: value for name, value in said.items() if value})

    return link
