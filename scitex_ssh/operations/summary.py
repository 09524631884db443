"""What is said once, at the end of a run: which hosts went well, and what is so of each."""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pyinfra import inventory, logger

from scitex_ssh.operations import connections

Tunnel = Mapping[str, object]

_rows: dict[str, list[Tunnel]] = {}
_due: set[str] = set()
# Set by whoever drives pyinfra as a library, and says it all by itself.
silent = False


def at_the_end() -> None:
    """Name the hosts that were not reached, and those that failed, when the run is over."""
    _once("summary", _summarise, inventory.state)


def show_at_the_end(as_json: bool) -> None:
    """Print the table of all hosts when the run is over; as one JSON object where that is wanted."""
    _once("table", _show, inventory.state, as_json)


def seen(host: Any, tunnels: Iterable[Tunnel]) -> None:
    """Note what is so of a host's tunnels."""
    _rows[str(host.name)] = list(tunnels)


def is_well(host: Any) -> bool:
    """Whether a host has tunnels, and each is verified."""
    rows = _rows.get(str(host.name)) or []
    return bool(rows) and all(each["level"] == "verified" for each in rows)


def left_out(run: Any) -> tuple[list[str], list[str]]:
    """The hosts of a run that were not reached, and those that failed, by name."""
    wanted = [each for each in run.inventory if run.is_host_in_limit(each)]
    unreached = sorted(str(each.name) for each in wanted if each not in run.activated_hosts)
    failed = sorted(str(each.name) for each in run.failed_hosts if each in run.activated_hosts)
    return unreached, failed


def words(run: Any) -> str:
    """One line about all hosts of a run; "" where there is nothing to say."""
    unreached, failed = left_out(run)
    total = sum(1 for each in run.inventory if run.is_host_in_limit(each))
    well = f"{total - len(unreached) - len(failed)} of {total} machines went well"
    # A run that ended before it began, by an error in the data or as it only looked, went neither way.
    parts = [well] if run.is_executing else []
    parts += [f"not reached: {', '.join(unreached)}"] if unreached else []
    parts += [f"failed: {', '.join(failed)}"] if failed else []
    return "; ".join(parts)


def table(rows: Mapping[str, Iterable[Tunnel]], unreached: Iterable[str]) -> list[str]:
    """The lines of a table of all hosts."""
    cells: list[tuple[str, ...]] = [("HOST", "TUNNEL", "LEVEL", "BASTION", "TARGET", "DETAIL")]
    for name in sorted({*rows, *unreached}):
        if name in unreached:
            cells.append((name, "-", "unreached", "-", "-", "it cannot be logged in to from here"))
            continue
        tunnels = list(rows[name])
        if not tunnels:
            cells.append((name, "-", "down", "-", "-", "it has no tunnel"))
        for each in tunnels:
            fields = ("tunnel", "level", "bastion", "target", "detail")
            cells.append((name, *(str(each.get(field) or "-") for field in fields)))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]) - 1)]
    return ["  ".join([*(c.ljust(w) for c, w in zip(row, widths)), row[-1]]).rstrip() for row in cells]


def as_dict(rows: Mapping[str, Iterable[Tunnel]], unreached: Iterable[str]) -> dict[str, object]:
    """The same as JSON types: a list of hosts, each with its tunnels."""
    return {
        "hosts": [
            {"name": name, "reached": name not in unreached, "tunnels": list(rows.get(name, ()))}
            for name in sorted({*rows, *unreached})
        ]
    }


def _once(kind: str, say: Any, run: Any, *arguments: object) -> None:
    # The body of a deploy runs once for each host.
    if not silent and kind not in _due:
        _due.add(kind)
        # What is registered last is called first: words, and then an end.
        if len(_due) == 1:
            atexit.register(connections.close, run.inventory)
        atexit.register(say, run, *arguments)


def _summarise(run: Any) -> None:
    said = words(run)
    if said:
        logger.info(f"--> {said}")


def _show(run: Any, as_json: bool) -> None:
    unreached = [name for name in left_out(run)[0] if name not in _bastions(run)]
    if as_json:
        print(json.dumps({"version": 1, "command": "fleet status", **as_dict(_rows, unreached)}, indent=2))
    else:
        print("\n".join(table(_rows, unreached)))


def _bastions(run: Any) -> set[str]:
    return {str(each.name) for each in run.inventory.groups.get("bastions", ())}
