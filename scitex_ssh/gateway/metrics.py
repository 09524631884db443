"""What a gateway counts, in the Prometheus text format."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import scitex_ssh
from scitex_ssh.gateway import problems, roster
from scitex_ssh.gateway.store import Store
from scitex_ssh.gateway.tables import AWAY

# Seconds: what an agent, a person and a proxy still call quick, and what none of them does.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
Labels = tuple[tuple[str, str], ...]
# Every family: its kind, and what it says.
FAMILIES = {
    "info": ("gauge", "1, of the version that runs."),
    "machines": ("gauge", "Machines by state."),
    "machines_standing": ("gauge", "Machines by how they stand, as the page tells it."),
    "leases_ending": ("gauge", "Leases that end within a day unless their machine is seen."),
    "ports_free": ("gauge", "Ports that can be given out."),
    "events_total": ("counter", "What the audit log tells, of all ways to enrol and all gateways."),
    "bastion_up": ("gauge", "1 while the bastion has been heard of."),
    "bastion_ports": ("gauge", "Ports in a bastion's range."),
    "bastion_ports_held": ("gauge", "Ports of it that machines have."),
    "bastion_tunnels": ("gauge", "Tunnels that stood when it last looked."),
    "bastion_load": ("gauge", "Processes that run or want to, a processor."),
    "bastion_memory_used": ("gauge", "The share of its memory that is in use."),
    "requests_total": ("counter", "Requests over HTTP by path and status, of this process."),
    "refusals_total": ("counter", "Errors that this process answered with over HTTP, by slug."),
    "request_seconds": ("histogram", "How long requests over HTTP took, of this process."),
}


class Meter:
    """Counts and times the requests of an ASGI application."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[Labels] = Counter()
        self._took: Counter[float] = Counter()
        self._sum = 0.0

    def around(self, app: Any) -> Any:
        """The application, with what becomes of its requests remembered."""

        async def metered(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            began, status = time.perf_counter(), 500

            async def told(message: Any) -> None:
                nonlocal status
                status = message.get("status", status)
                await send(message)

            try:
                await app(scope, receive, told)
            finally:
                self._count(scope, status, time.perf_counter() - began)

        return metered

    def _count(self, scope: Any, status: int, seconds: float) -> None:
        # The path as it is declared: what strangers ask for would be labels without end.
        path = str(getattr(scope.get("route"), "path", "other"))
        with self._lock:
            self._requests[("path", path), ("status", str(status))] += 1
            self._took[next((each for each in BUCKETS if seconds <= each), float("inf"))] += 1
            self._sum += seconds

    def samples(self) -> Iterator[str]:
        """What was counted."""
        with self._lock:
            requests, took, total = dict(self._requests), dict(self._took), self._sum
        yield from _family("requests_total", requests)
        refused = {(("slug", slug),): number for slug, number in problems.answered().items()}
        yield from _family("refusals_total", refused)
        yield from _head("request_seconds")
        below = 0
        for edge in (*BUCKETS, float("inf")):
            below += took.get(edge, 0)
            label = "+Inf" if edge == float("inf") else f"{edge:g}"
            yield _sample("request_seconds_bucket", (("le", label),), below)
        yield _sample("request_seconds_sum", (), round(total, 6))
        yield _sample("request_seconds_count", (), below)


class Events:
    """What the audit log tells, counted on from where the last count ended."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()
        self._seen, self._counts = 0, Counter[str]()

    def counted(self) -> dict[str, int]:
        """How often what happened."""
        with self._lock:
            last, new = self._store.events(self._seen)
            if self._store.in_order:
                self._seen, self._counts = last, self._counts + Counter(new)
            else:
                # Several write at once: one with a lower number may still come.
                self._counts = Counter(new)
            return dict(self._counts)


def text(store: Store, events: Events, meter: Meter) -> str:
    """All of it."""
    return "\n".join([*_known(store, events), *meter.samples()]) + "\n"


def _known(store: Store, events: Events) -> Iterator[str]:
    counts = store.counts()
    free = counts.pop("free")
    yield from _family("info", {(("version", scitex_ssh.__version__),): 1})
    yield from _family("machines", _by("state", counts))
    yield from _family("machines_standing", _by("standing", roster.standings(store)))
    yield from _family("leases_ending", {(): store.ending(86400.0)})
    yield from _family("ports_free", {(): free})
    yield from _family("events_total", _by("what", events.counted()))
    yield from _bastions(store.bastions(), store.clock())


def _bastions(rows: Iterable[Any], now: float) -> Iterator[str]:
    named = {(("bastion", row["name"] or row["host"]),): row for row in rows}
    told = {"ports": "size", "ports_held": "held", "tunnels": "live", "load": "load", "memory_used": "memory"}
    there = {label: int(row["seen"] > now - AWAY) for label, row in named.items()}
    yield from _family("bastion_up", there)
    for name, column in told.items():
        yield from _family(f"bastion_{name}", {label: row[column] for label, row in named.items()})


def _by(label: str, counts: Mapping[str, int]) -> dict[Labels, int]:
    return {((label, name),): number for name, number in sorted(counts.items())}


def _family(name: str, samples: Mapping[Any, float]) -> Iterator[str]:
    yield from _head(name)
    for labels, value in samples.items():
        yield _sample(name, labels, value)


def _head(name: str) -> Iterator[str]:
    kind, meaning = FAMILIES[name]
    yield f"# HELP scitex_ssh_gateway_{name} {meaning}"
    yield f"# TYPE scitex_ssh_gateway_{name} {kind}"


def _sample(name: str, labels: Labels, value: float) -> str:
    # No value of ours has a quote, a backslash or a line break: names, slugs and declared paths.
    words = ",".join(f'{label}="{text}"' for label, text in labels)
    where = f"{{{words}}}" if words else ""
    return f"scitex_ssh_gateway_{name}{where} {round(value, 6)}"
