"""Make a machine a gateway. It looks by one remote command, and acts by one more when something is due."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host, logger, state
from pyinfra.api import OperationError, StringCommand, operation

from scitex_ssh.facts.gateway import GatewayDrift, install_command

Commands = Generator[StringCommand, None, None]


@operation()
def installed(python: str, http: bool = True) -> Commands:
    """
    Have this machine's accounts, sshd and systemd be those of a gateway.

    + python: of the machine, with scitex-ssh[gateway] in it, readable for all
    + http: keep the HTTP server and its page running, too

    **Example:**

    .. code:: python

        gateway.installed(name="The gateway runs", python="/opt/scitex-ssh/bin/python", _sudo=True)
    """
    drift = host.get_fact(GatewayDrift, python=python, http=http)
    if drift == ["ok            nothing to do"]:
        host.noop("the gateway is as it was left")
        return
    if not drift and state.is_executing:
        raise OperationError(f"{python} has no scitex-ssh[gateway]")
    if not state.is_executing:
        for line in drift or ["would-change  all of it: the package is not there yet"]:
            logger.info(f"{host.print_prefix}{line}")
    yield install_command(python, http)
