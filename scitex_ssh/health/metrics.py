"""What status saw, as a text file of metrics for node_exporter's textfile collector."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from scitex_ssh.health.whole import whole
from scitex_ssh.plan.report import LEVELS, Observation


def text(seen: Iterable[Observation], now: float | None = None) -> str:
    """The metrics of these tunnels in the Prometheus text format."""
    tunnels = list(seen)
    lines = [
        *_family("scitex_ssh_tunnel_up", "gauge", "1 while the tunnel is verified."),
        *(_sample("scitex_ssh_tunnel_up", one, int(one.level == "verified")) for one in tunnels),
        *_family(
            "scitex_ssh_tunnel_level", "gauge", "1 for the level that the tunnel has, 0 for the others."
        ),
        *(
            _sample("scitex_ssh_tunnel_level", one, int(one.level == level), level=level)
            for one in tunnels
            for level in LEVELS
        ),
        *_family("scitex_ssh_tunnel_restarts_total", "counter", "How often it began anew."),
        *_given("scitex_ssh_tunnel_restarts_total", tunnels, "restarts"),
        *_family("scitex_ssh_tunnel_uptime_seconds", "gauge", "How long its connection has lasted."),
        *_given("scitex_ssh_tunnel_uptime_seconds", tunnels, "uptime"),
        *_family("scitex_ssh_status_timestamp_seconds", "gauge", "When this was seen."),
        f"scitex_ssh_status_timestamp_seconds {int(time.time() if now is None else now)}",
    ]
    return "\n".join(lines) + "\n"


def write(path: Path, content: str) -> None:
    """Put it there at once: whoever reads the file meets the old text or the new one, never a half.

    Raises:
        OSError: when it cannot be written.
    """
    # It is read by another account than ours.
    with whole(path, 0o644) as file:
        file.write(content.encode())


def _family(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"


def _given(name: str, tunnels: Iterable[Observation], fact: str) -> Iterator[str]:
    for one in tunnels:
        if one.facts.get(fact):
            yield _sample(name, one, int(one.facts[fact]))


def _sample(name: str, one: Observation, value: int, **labels: str) -> str:
    labels = {"tunnel": one.tunnel, "bastion": one.facts.get("bastion", ""), **labels}
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
