"""Make a machine a gateway. It looks by one remote command, and acts by one more when something is due."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from pyinfra import host, logger, state
from pyinfra.api import OperationError, QuoteString, StringCommand, operation
from pyinfra.operations import files

from scitex_ssh.errors import error
from scitex_ssh.facts.gateway import GatewayDrift, GatewayPackage, install_command

LINK = "/usr/local/bin/scitex-ssh"
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


@operation()
def packaged(package: str, wheels: str | None = None, home: str = "/opt/scitex-ssh") -> Commands:
    """
    Have the gateway in an environment of its own, and its command where root finds it.

    + package: what pip is asked for, with the extra: scitex-ssh[gateway]
    + wheels: a folder of this machine with all that pip needs, pip too, where the bastion reaches no registry
    + home: of the environment

    **Example:**

    .. code:: python

        gateway.packaged(name="The gateway is there", package="scitex-ssh[gateway]", _sudo=True)
    """
    # Not pip.packages of pyinfra: it asks for the package without its extras.
    names = wheels_in(wheels) if wheels is not None else []
    wanted = "\n".join([package, *names])
    if host.get_fact(GatewayPackage, home=home) == wanted:
        host.noop("the gateway's package is there")
        return
    python, beside = f"{home}/bin/python", f"{home}/wheels"
    bare = ["--without-pip"] if wheels is not None else []
    made = ["python3", "-m", "venv", *bare, QuoteString(home)]
    # Readable for the account that sshd asks with, whatever root's umask.
    yield StringCommand("test", "-x", QuoteString(python), "||", "(", "umask 022", "&&", *made, ")")
    pip = [QuoteString(python), "-m", "pip", "install", "--quiet", "--upgrade", "--disable-pip-version-check"]
    if wheels is None:
        yield StringCommand("umask 022", "&&", *pip, QuoteString(package))
    else:
        yield from files.sync._inner(src=wheels, dest=beside, delete=True, add_deploy_dir=False)
        own = next(name for name in names if name.startswith("pip-"))
        where = ["--no-index", "--find-links", QuoteString(beside)]
        loaded = StringCommand("PYTHONPATH=", QuoteString(f"{beside}/{own}"), _separator="")
        yield StringCommand("umask 022", "&&", loaded, *pip, *where, QuoteString(package))
    # A command of that name which is there already is somebody else's.
    yield StringCommand("test", "-e", LINK, "||", "ln", "-sfn", QuoteString(f"{home}/bin/scitex-ssh"), LINK)
    yield StringCommand("printf", "%s", QuoteString(wanted), ">", QuoteString(f"{home}/asked-for"))


def wheels_in(folder: str) -> list[str]:
    """The names of the wheels in a folder; ``gateway-wheels`` without those that have to be there."""
    names = sorted(path.name for path in Path(folder).glob("*.whl"))
    for needed in ("pip-", "scitex_ssh-"):
        if not any(name.startswith(needed) for name in names):
            raise error("gateway-wheels", folder=folder, needed=needed.strip("-"))
    return names
