"""Keep reverse SSH tunnels on hosts, or remove them.

One operation does all tunnels of a host: one remote command looks, and one more acts when something
is due. A tunnel that cannot be proven is undone, and its host fails with the cause.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping

from pyinfra import host, logger, state
from pyinfra.api import OperationValueError, StringCommand, operation

from scitex_ssh.errors import InputError
from scitex_ssh.facts.tunnels import Drift, Program, too_long
from scitex_ssh.model import Port, Tunnel, TunnelName
from scitex_ssh.operations.lasting import Lasting
from scitex_ssh.plan.program import bind, which
from scitex_ssh.plan.report import Report

Commands = Generator[StringCommand, None, None]


@operation()
def present(
    port: int | None = None,
    bastion: str | list[str] | None = None,
    key: str | None = None,
    target: str | None = None,
    user: str | None = None,
    engine: str | None = None,
    keeper: str | None = None,
    keepalive: str | None = None,
    tunnel_name: str | None = None,
    remote: str | list[str] | None = None,
    local: str | list[str] | None = None,
    dynamic: str | list[str] | None = None,
    remote_socket: str | None = None,
    jump: str | list[str] | None = None,
    jump_key: str | list[str] | None = None,
    proxy: str | None = None,
    on_up: str | None = None,
    on_down: str | None = None,
    tunnels: Iterable[Mapping[str, object]] | None = None,
    accept_new_host_key: bool = False,
    host_key_fingerprint: str | list[str] | None = None,
    accept_listening: bool = False,
) -> Commands:
    """
    Keep one reverse tunnel, or a list of them, each proven end to end.

    + port: port on the bastion
    + bastion: ``[user@]host[:port]`` of the bastion; a list of them makes one tunnel for each, called
      ``2222``, ``2222-2`` and so on
    + key: private key on the host, without a passphrase; ``~/`` is the tunnel user's home
    + target: what the port leads to, ``localhost:22`` by default
    + user: account that keeps the tunnel; by default the one that connects
    + engine: ``ssh`` (the default) or ``autossh``
    + keeper: ``auto`` (the default), ``systemd``, ``systemd-user``, ``cron``, ``profile``, ``nohup``,
      ``screen`` or ``tmux``; all but ``systemd`` are for the account that connects, without ``_sudo``
    + keepalive: ``fast``, ``default``, ``patient`` or ``INTERVALxCOUNT``
    + tunnel_name: what the tunnel is called, its port by default
    + remote: more forwards, as ssh's -R takes them (``[BIND:]PORT:HOST:PORT``), one or a list
    + local: the same for -L
    + dynamic: the same for -D
    + remote_socket: instead of a port, a Unix socket of the bastion, by its path or a name in its /tmp
    + jump: hosts to jump over on the way to the bastion, the nearest first: ``a,b`` or a list of them
    + jump_key: the key for the first of them, or a list of keys in their order; by default ``key``
    + proxy: for the first connection of the way, ``http://proxy.example.com:3128`` or
      ``socks5://proxy.example.com:1080``
    + on_up: a command that is run once whenever the tunnel has come up, as its user
    + on_down: the same when it is lost
    + tunnels: instead of all these, a list of mappings with them
    + accept_new_host_key: trust a bastion's host key, and those of jump hosts, where the host knows none
    + host_key_fingerprint: trust it only if this is its fingerprint, one or a list
    + accept_listening: be content where a bastion does not let the key dial the port back

    **Example:**

    .. code:: python

        tunnel.present(
            name="Reach this host through the bastion",
            port=2222,
            bastion="tunnel@gw.example.com",
            key="~/.ssh/id_ed25519",
            _sudo=True,
        )
    """
    one = {
        "port": port,
        "bastion": bastion,
        "key": key,
        "target": target,
        "user": user,
        "engine": engine,
        "keeper": keeper,
        "keepalive": keepalive,
        "name": tunnel_name,
        "remote": remote,
        "local": local,
        "dynamic": dynamic,
        "remote_socket": remote_socket,
        "jump": jump,
        "jump_key": jump_key,
        "proxy": proxy,
        "on_up": on_up,
        "on_down": on_down,
    }
    given = {name: value for name, value in one.items() if value is not None}
    wanted = read([given] if tunnels is None else tunnels, str(host.name))
    prints = [host_key_fingerprint] if isinstance(host_key_fingerprint, str) else host_key_fingerprint or []
    # Whoever runs pyinfra says yes; what the host's own configuration denies stays denied.
    flags = [
        "--yes",
        *(["--accept-new-host-key"] if accept_new_host_key else []),
        *(f"--host-key-fingerprint={each}" for each in prints),
        *(["--accept-listening"] if accept_listening else []),
    ]
    yield from converge(Program("setup", tuple(bind(each) for each in wanted), tuple(flags)))


@operation()
def absent(
    port: int | None = None,
    ports: Iterable[int] | None = None,
    names: Iterable[str] = (),
) -> Commands:
    """
    Remove one tunnel, or a list of them, without a trace.

    + port: port of the tunnel on its bastion
    + ports: instead of that, a list
    + names: tunnels by their names, besides or instead

    **Example:**

    .. code:: python

        tunnel.absent(name="Remove the old tunnel", port=2222, _sudo=True)
    """
    try:
        listed: Iterable[object] = ports if ports is not None else () if port is None and names else [port]
        gone: list[Port | TunnelName] = [Port(each) for each in listed]
        gone += [TunnelName(each) for each in names]
    except InputError as problem:
        raise OperationValueError(str(problem)) from problem
    yield from converge(Program("remove", tuple(which(each) for each in gone)))


def read(tunnels: Iterable[object], name: str) -> list[Tunnel]:
    """The tunnels of one host's data; `OperationValueError` with every error in it."""
    wanted, errors = read_all({name: tunnels})
    if errors:
        raise OperationValueError(summary(errors))
    return wanted[name]


def read_all(
    tunnels: Mapping[str, Iterable[object]],
) -> tuple[dict[str, list[Tunnel]], list[InputError]]:
    """The tunnels of every host's data, and every error in all of it."""
    wanted: dict[str, list[Tunnel]] = {}
    errors: list[InputError] = []
    for name, mappings in tunnels.items():
        wanted[name] = []
        taken: dict[str, int] = {}
        for index, data in enumerate(mappings):
            where = f"{name}: tunnels[{index}]"
            described, wrong = Tunnel.from_mapping(data, where)
            errors += wrong
            for each in described:
                if each.name in taken:
                    first = f"tunnels[{taken[each.name]}]"
                    errors.append(InputError("name-twice", where=where, name=each.name, other=first))
                taken.setdefault(each.name, index)
                wanted[name].append(each)
        long = too_long(f"{name}: tunnels", wanted[name])
        errors += [] if long is None else [long]
    return wanted, errors


def summary(errors: Iterable[InputError]) -> str:
    """All errors in one text, a block each."""
    return "the tunnels are not as they must be:\n" + "\n".join(str(each) for each in errors)


def converge(program: Program) -> Commands:
    """Look by one remote command, and act by one more when something is due."""
    drift = host.get_fact(Drift, program=program)
    if not drift.errors and not drift.changed:
        host.noop("every tunnel is as wanted, and proven" if program.word == "setup" else "gone")
        return
    if not state.is_executing:
        show_drift(drift)
    # Also where the look found an error: the program says it in full, and only this host fails.
    command = Lasting(program.command())
    yield command.parting() if program.word == "remove" and host.data.get("last_way") else command


def show_drift(drift: Report) -> None:
    """What would be done, and with --diff the lines."""
    for problem in drift.errors:
        logger.error(f"{host.print_prefix}{problem}")
    for event in drift.events:
        logger.info(f"{host.print_prefix}{event.kind}: {event.title}")
        if state.config.DIFF:
            # The program prints a file's diff after its step; titles and lines share the path.
            path = event.title.partition(" ")[2]
            _show_diff(drift, path)


def _show_diff(drift: Report, path: str) -> None:
    lines = [each.line for each in drift.diff]
    # A file's lines begin one before its name.
    begins = [number - 1 for number, line in enumerate(lines) if line.startswith("+++ ")]
    for begin, end in zip(begins, [*begins[1:], len(lines)]):
        if lines[begin + 1].startswith(f"+++ {path} "):
            for line in lines[begin:end]:
                logger.info(f"{host.print_prefix}  {line}")
