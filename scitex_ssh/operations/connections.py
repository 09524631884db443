"""The connections of a run, which end with it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from paramiko import Channel, Transport

# How long the threads of all connections may take to see that they are closed, in seconds.
PATIENCE = 2


def close(machines: Iterable[Any]) -> None:
    """Close every connection to these machines, the nearest last, and see the threads behind them end.

    pyinfra leaves them open, and paramiko asks their threads to end when Python does, which is to say when
    gevent may run none any more: then nobody ever answers.
    """
    transports = [each for machine in machines for each in _transports(machine)]
    for transport in transports:
        transport.close()
    deadline = time.monotonic() + PATIENCE
    for transport in transports:
        transport.join(max(0, deadline - time.monotonic()))


def _transports(machine: Any) -> Iterator[Transport]:
    """That of the machine's own connection, and of those to the hosts that it jumps over; none but of ssh."""
    client = getattr(getattr(machine, "connector", None), "client", None)
    transport = client.get_transport() if client is not None else None
    while transport is not None:
        yield transport
        way = transport.sock
        transport = way.get_transport() if isinstance(way, Channel) else None
