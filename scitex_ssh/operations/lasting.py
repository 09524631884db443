"""A command that may cut the very connection that it came by: the tunnel that it changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api import StringCommand
from pyinfra.connectors.sshuserclient import client as ssh_client
from pyinfra.connectors.util import CommandOutput

# A tunnel that is changed is proven within half a minute, or given back within another.
PATIENCE = 90


class Lasting(StringCommand):
    """A command that is given once more by a new connection, where the one that it came by was lost.

    For programs that find the work of the first done, or wait for its end.

    Attributes:
        turn: called before each try to connect anew, with its number: which of several ways is next.
        parts: the way that is lost is one that was to go; what else there is to prove is seen elsewhere.
    """

    turn: Callable[[int], object] = staticmethod(lambda number: None)
    parts = False

    def by_turns(self, turn: Callable[[int], object]) -> Lasting:
        """The same, with another way at every try."""
        self.turn = turn
        return self

    def parting(self) -> Lasting:
        """The same, for a way that is to go."""
        self.parts = True
        return self

    def execute(self, state: Any, host: Any, connector_arguments: Any) -> Any:
        """Give it; pyinfra's own result."""
        try:
            status, output = super().execute(state, host, connector_arguments)
        except (OSError, EOFError, SSHException) as problem:
            if not is_lost(host):
                raise
            logger.debug("lost: %s", problem)
            status, output = False, CommandOutput([])
        if status or not is_lost(host):
            return status, output
        if self.parts:
            logger.info(f"{host.print_prefix}the connection went with the tunnel, as it was to")
            return True, output
        logger.info(f"{host.print_prefix}the connection went with what was changed; waiting for it")
        return (
            super().execute(state, host, connector_arguments)
            if returned(host, self.turn)
            else (False, output)
        )


def is_lost(host: Any) -> bool:
    """The connection that was there is there no longer; only ssh's can be."""
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client is not None else None
    return client is not None and (transport is None or not transport.is_active())


def returned(host: Any, turn: Callable[[int], object] = lambda number: None) -> bool:
    """Connect anew where the connection was lost; whether there is one now."""
    deadline = time.monotonic() + PATIENCE
    # That it is not back yet is no news.
    logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)
    for number in count():
        if not is_lost(host):
            break
        turn(number)
        # The way may be another one now: pyinfra reads ssh's files once.
        for known in (ssh_client.get_ssh_config, ssh_client.get_host_keys):
            known.cache.clear()
        try:
            host.connector.connect()
        except Exception as problem:
            # Also pyinfra's own, where it stumbles over a connection that was never made.
            if time.monotonic() > deadline:
                logger.error(f"{host.print_prefix}it does not come back: {problem}")
                return False
            time.sleep(1)
    return True
