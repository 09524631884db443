"""Make a machine a bastion, and let hosts hold ports of it.

Each operation looks by one remote command, and acts by one more when something is due.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping

from pyinfra import host, logger, state
from pyinfra.api import OperationValueError, StringCommand, operation

from scitex_ssh.errors import InputError
from scitex_ssh.facts.bastion import BastionDrift, Gate
from scitex_ssh.model import Port
from scitex_ssh.model.host import HostName
from scitex_ssh.plan.report import Report
from scitex_ssh.render.authorized_keys import PublicKey

Commands = Generator[StringCommand, None, None]


@operation()
def ready(hosts: int = 100, plain: bool = False) -> Commands:
    """
    Make a machine a bastion: sshd's part, proven by a fresh login and taken back if that fails.

    + hosts: how many hosts there will be
    + plain: the login is a plain account without root, where there is nothing to set up

    **Example:**

    .. code:: python

        bastion.ready(name="The bastion is set up", hosts=200, _sudo=True)
    """
    yield from converge(Gate("setup", (f"--hosts={hosts}", *_plain(plain))), "set up, and as it was left")


@operation()
def authorized(
    host_name: str | None = None,
    ports: Iterable[int] = (),
    key: str | None = None,
    hosts: Iterable[Mapping[str, object]] | None = None,
    keep: bool = False,
    plain: bool = False,
) -> Commands:
    """
    Let one host, or a list of them, hold ports of this bastion and do nothing else.

    + host_name: name of the host on the bastion
    + ports: ports that it may hold; by default those that it has, or a free one
    + key: public half of its key, one line ``ssh-ed25519 AAAA...``
    + hosts: instead of all these, a list of mappings with ``name``, ``ports`` and ``key``
    + keep: a host's present keys and ports stay as well
    + plain: in the authorized_keys of the very account that logs in, without root

    **Example:**

    .. code:: python

        bastion.authorized(name="lab1 is let in", host_name="lab1", key="ssh-ed25519 AAAA...", _sudo=True)
    """
    one = {"name": host_name, "ports": ports, "key": key}
    flags = [*host_flags([one] if hosts is None else hosts), *(["--keep"] if keep else []), *_plain(plain)]
    yield from converge(Gate("authorize", tuple(flags)), "every host has its line")


@operation()
def revoked(host_names: Iterable[str], plain: bool = False) -> Commands:
    """
    Take the keys of hosts away, end their sessions, and see their ports free.

    + host_names: their names on the bastion
    + plain: in the authorized_keys of the very account that logs in, without root

    **Example:**

    .. code:: python

        bastion.revoked(name="lab1 is gone", host_names=["lab1"], _sudo=True)
    """
    flags = [f"--name={name}" for name in _checked(HostName(each) for each in host_names)]
    yield from converge(Gate("revoke", (*flags, *_plain(plain))), "none of them is known", gone=True)


def host_flags(hosts: Iterable[Mapping[str, object]]) -> list[str]:
    """The flags for these hosts; `OperationValueError` for what cannot be right."""
    flags = []
    try:
        for each in hosts:
            ports = each.get("ports") or ()
            assert isinstance(ports, (list, tuple)), "ports are a list"
            key = each.get("key")
            flags += [f"--name={HostName(each.get('name'))}"]
            flags += [f"--port={Port(port, 'a host of a bastion')}" for port in ports]
            flags += [] if key is None else [f"--key={PublicKey.parse(key)}"]
    except InputError as problem:
        raise OperationValueError(str(problem)) from problem
    return flags


def _checked(names: Iterable[HostName]) -> list[HostName]:
    try:
        return list(names)
    except InputError as problem:
        raise OperationValueError(str(problem)) from problem


def _plain(plain: bool) -> tuple[str, ...]:
    return ("--plain",) if plain else ()


def converge(gate: Gate, nothing: str, gone: bool = False) -> Commands:
    """Look by one remote command, and act by one more when something is due."""
    drift = host.get_fact(BastionDrift, gate=gate)
    errors = [each for each in drift.errors if not (gone and each.slug == "no-such-host")]
    if not errors and not drift.changed:
        host.noop(nothing)
        return
    if not state.is_executing:
        show(drift)
    yield gate.command()


def show(drift: Report) -> None:
    """What would be done, and with --diff the lines."""
    for event in drift.events:
        logger.info(f"{host.print_prefix}{event.kind}: {event.title}")
    if state.config.DIFF:
        for line in drift.diff:
            logger.info(f"{host.print_prefix}  {line.line}")
