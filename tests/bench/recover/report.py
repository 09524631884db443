"""What was measured, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from .played import FAULTS
from .troupe import Part, shown


def row(name: str, part: Part) -> dict[str, Any]:
    """Median and worst of one fault; a run that never came back counts as longer than any."""
    times = part.times[name]
    endless = sorted(float("inf") if value is None else value for value in times)
    middle = statistics.median(endless)
    return {
        "fault": name,
        "contender": part.contender.title,
        "suite": part.suite,
        "median": None if middle == float("inf") else round(middle, 1),
        "worst": None if endless[-1] == float("inf") else round(endless[-1], 1),
        "never": times.count(None),
        "spoilt": part.spoilt[name],
        "runs": [None if value is None else round(value, 2) for value in times],
    }


def markdown(report: Mapping[str, Any]) -> str:
    """One table: a row a fault, a column a contender on a suite; median / worst."""
    rows = report["rows"]
    columns = list(dict.fromkeys((row["contender"], row["suite"]) for row in rows))
    heads = [f"{contender} ({suite})" for contender, suite in columns]
    outages = ", short outages" if report["quick"] else ""
    most = max(len(row["runs"]) for row in rows)
    spoilt = sum(row["spoilt"] for row in rows)
    never = " or ".join(f"{value:g}" for value in sorted(set(report["give_up"].values())))
    lines = [
        f"Median / worst of {most} runs{outages}; `×n` where there were n. Never: not within {never} s. "
        f"{report['machine']}, {report['worlds']} worlds side by side, "
        f"load {report['load']}, {report['priority']}; commit {report['commit']}, {report['date']}."
        + (f" {spoilt} runs were played again, since their world had broken." if spoilt else ""),
        "",
        "| fault | counted from | target | " + " | ".join(heads) + " |",
        "|---|---|---|" + "---|" * len(heads),
    ]
    for name in dict.fromkeys(row["fault"] for row in rows):
        fault = FAULTS[name]
        cells = []
        for column in columns:
            found = [r for r in rows if (r["fault"], r["contender"], r["suite"]) == (name, *column)]
            cells.append(cell(found[0], most) if found else "")
        title = fault.named(report["quick"])
        target = f"{fault.median:g} / {fault.worst:g}"
        lines.append(f"| {title} | {fault.after} | {target} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def cell(row: Mapping[str, Any], most: int) -> str:
    """One figure of the table."""
    if not row["runs"]:
        return "not played"
    median, worst = shown(row["median"]), shown(row["worst"])
    number = "" if len(row["runs"]) == most else f" ×{len(row['runs'])}"
    return ("never" if median == worst == "never" else f"{median} / {worst}") + number
