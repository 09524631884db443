"""The connections of a run, which end with it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from paramiko import Channel, Transport


def close(machines: Iterable[Any]) -> None:
    """Close every connection to these machines, the nearest last.

    pyinfra leaves them open, and paramiko, when Python ends, waits for the thread of each that is. Those are
    gevent's by then, and never look as if they had ended, so nobody may wait for them here either.
    """
    for machine in machines:
        for transport in _transports(machine):
            transport.close()
    # They see it while gevent still runs them.
    time.sleep(0.1)


def _transports(machine: Any) -> Iterator[Transport]:
    """That of the machine's own connection, and of those to the hosts that it jumps over; none but of ssh."""
    client = getattr(getattr(machine, "connector", None), "client", None)
    transport = client.get_transport() if client is not None else None
    while transport is not None:
        yield transport
        way = transport.sock
        transport = way.get_transport() if isinstance(way, Channel) else None
