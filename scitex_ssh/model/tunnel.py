"""The description of one tunnel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scitex_ssh.errors import InputError
from scitex_ssh.model.destination import Destination, read_bastions
from scitex_ssh.model.forward import Forward, read_target, remote, remote_socket
from scitex_ssh.model.keepalive import PROFILES, Keepalive
from scitex_ssh.model.port import PRIVILEGED, Port
from scitex_ssh.model.text import control_character, shown
from scitex_ssh.model.way import Proxy, read_jumps

ENGINES = ("ssh", "autossh")
KEEPERS = ("auto", "systemd", "systemd-user", "cron", "profile", "nohup", "screen", "tmux")
_LOCAL_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
LONGEST_HOOK = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class TunnelName(str):
    """What a tunnel is called: the name of its folder and of its unit; the port unless said."""

    __slots__ = ()

    def __new__(cls, value: object) -> TunnelName:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise InputError("bad-name", value=shown(value), why="it would not do as a file name")
        return super().__new__(cls, value)


class KeyPath(str):
    """Path of a private key: absolute, or beginning with ``~/`` (the tunnel's user's home)."""

    __slots__ = ()

    def __new__(cls, value: object) -> KeyPath:
        if not isinstance(value, str):
            raise InputError("bad-key-path", value=shown(value), why="it is not text")
        reason = control_character(value) or _path_reason(value)
        if reason:
            raise InputError("bad-key-path", value=shown(value), why=reason)
        return super().__new__(cls, value)


class LocalUser(str):
    """An account of the machine that keeps the tunnel."""

    __slots__ = ()

    def __new__(cls, value: object) -> LocalUser:
        if not isinstance(value, str) or not _LOCAL_USER.fullmatch(value):
            raise InputError("bad-user", value=shown(value), why="that is not how accounts are named")
        return super().__new__(cls, value)


class Hook(str):
    """A command of one line, which the tunnel's user runs when the tunnel comes or goes."""

    __slots__ = ()

    def __new__(cls, value: object) -> Hook:
        if not isinstance(value, str):
            raise InputError("bad-hook", value=shown(value), why="it is not text")
        reason = control_character(value)
        if not value.strip(" "):
            reason = "it is empty"
        elif len(value.encode("utf-8", "replace")) > LONGEST_HOOK:
            reason = f"it is longer than {LONGEST_HOOK} bytes"
        if reason:
            raise InputError("bad-hook", value=shown(value), why=reason)
        return super().__new__(cls, value)


@dataclass(frozen=True)
class Tunnel:
    """One tunnel, as wanted. A value: it knows nothing of what stands.

    ``user`` None means the account that set-up is run for (through sudo, the caller). ``name`` is what
    the tunnel is called; by default it follows from what is forwarded (`default_name`). ``jumps`` are
    the hosts on the way to the bastion, the nearest first, and ``jump_keys`` the keys for the first of
    them; the others take ``key``. ``series`` is what the first is called of those that are described
    together, to a bastion each. Through ``proxy`` goes the first connection of the way. ``on_up`` and
    ``on_down`` are run once whenever the tunnel comes and goes.
    """

    forwards: tuple[Forward, ...]
    bastion: Destination
    key: KeyPath
    user: LocalUser | None = None
    engine: str = "ssh"
    keeper: str = "auto"
    keepalive: Keepalive = field(default=PROFILES["default"])
    name: TunnelName = field(default=TunnelName("default"))
    jumps: tuple[Destination, ...] = ()
    jump_keys: tuple[KeyPath, ...] = ()
    proxy: Proxy | None = None
    on_up: Hook | None = None
    on_down: Hook | None = None
    series: TunnelName | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InputError("bad-engine", value=shown(self.engine))
        if self.keeper not in KEEPERS:
            raise InputError("bad-keeper", value=shown(self.keeper))
        if not self.forwards:
            raise InputError("missing-field", what="port", how="-p")
        if len(self.jump_keys) > len(self.jumps):
            raise InputError("bad-jump", value=shown(self.jump_keys[-1]), why="it is a key without a host")
        self._check_ports()
        if self.name == "default":
            object.__setattr__(self, "name", default_name(self.forwards))
        elif self.name.isdigit() and int(self.name) not in {each.port for each in self.forwards}:
            raise InputError("bad-name", value=shown(self.name), why="a number is the name of a port")

    def _check_ports(self) -> None:
        # Without any user the one who runs set-up is meant, whom only the machine knows (`derive`).
        user = self.bastion.user or self.user or "root"
        taken: set[tuple[bool, object]] = set()
        for each in self.forwards:
            # Two that the bastion picks a port for are one to ssh if they are the same in all else.
            where = str(each) if each.port == 0 else each.listen if each.port is None else each.port
            if (each.on_bastion, where) in taken:
                raise InputError("bad-forward", flag="-R", value=shown(str(each.listen)), why=TWICE)
            taken.add((each.on_bastion, where))
            if each.port is None or not 0 < each.port < PRIVILEGED:
                continue
            if not each.on_bastion:
                raise InputError("local-port-privileged", port=each.port)
            if user != "root":
                raise InputError("port-privileged", port=each.port, user=user)

    @classmethod
    def of(
        cls,
        port: object,
        bastion: object,
        key: object,
        *,
        target: object = None,
        user: object = None,
        engine: object = "ssh",
        keeper: object = "auto",
        keepalive: object = "default",
        name: object = None,
        remote: object = None,
        local: object = None,
        dynamic: object = None,
        remote_socket: object = None,
        jump: object = None,
        jump_key: object = None,
        proxy: object = None,
        on_up: object = None,
        on_down: object = None,
    ) -> Tunnel:
        """A tunnel of plain values, as flags and data files give them; raises `InputError`.

        ``port`` (or ``remote_socket``) and ``target`` describe one remote forward; ``remote``, ``local``
        and ``dynamic`` are what OpenSSH's -R, -L and -D take, one or a list; ``jump`` is what its -J
        takes, ``jump_key`` the path of a key or a list of them.
        """
        forwards = read_forwards(port, target, remote_socket, remote, local, dynamic)
        given = {} if name is None else {"name": read_name(name)}
        return cls(
            forwards,
            Destination.parse(bastion),
            KeyPath(key),
            None if user is None else LocalUser(user),
            str(engine),
            str(keeper),
            Keepalive.parse(keepalive),
            jumps=read_jumps(jump),
            jump_keys=_keys(jump_key),
            proxy=None if proxy is None else Proxy.parse(proxy),
            on_up=None if on_up is None else Hook(on_up),
            on_down=None if on_down is None else Hook(on_down),
            **given,
        )

    @classmethod
    def one_a_bastion(cls, port: object, bastions: object, key: object, **more: Any) -> tuple[Tunnel, ...]:
        """What is described, once for each bastion (``a,b`` or a list), as `of` for one.

        The first is called as it would be alone, the others by that name with a number behind it: two
        tunnels, each kept for itself, of which one holds when a bastion is lost. Where they stand, each keeps
        the name that it has, whatever their order is now.
        """
        first, *others = read_bastions(bastions)
        tunnel = cls.of(port, str(first), key, **more)
        here = next((each for each in tunnel.forwards if not each.on_bastion), None)
        if others and here is not None:
            flag = "-L" if here.kind == "local" else "-D"
            raise InputError("bad-forward", flag=flag, value=shown(str(here.listen)), why=ONE_HERE)
        if not others:
            return (tunnel,)
        names = [TunnelName(f"{tunnel.name}-{number}") for number, _ in enumerate(others, 2)]
        return tuple(
            replace(tunnel, bastion=bastion, name=name, series=tunnel.name)
            for bastion, name in zip([first, *others], [tunnel.name, *names])
        )

    @classmethod
    def from_mapping(cls, data: object, where: str) -> tuple[tuple[Tunnel, ...], list[InputError]]:
        """The tunnels of one mapping of a data file (one a bastion), or every error in it.

        Keys: ``port`` (or another of `FORWARD_FIELDS`), ``bastion``, ``key`` (obligatory), and the
        others of `FIELDS`. ``where`` names the mapping in messages (``h1: tunnels[0]``).
        """
        if not isinstance(data, Mapping):
            return (), [InputError("bad-field", where=where, value=shown(data), known=_known())]
        errors = [
            InputError("bad-field", where=f"{where}.{key}", value=shown(key), known=_known())
            for key in data
            if key not in FIELDS
        ]
        errors += [
            InputError("missing-field", where=where, what=key, how=f"the field {key}")
            for key in REQUIRED
            if key not in data and not (key == "port" and any(data.get(each) for each in FORWARD_FIELDS))
        ]
        errors += _field_errors(data, where)
        if errors:
            return (), errors
        try:
            given = {key: value for key, value in data.items() if value is not None}
            port, bastions, path = given.pop("port", None), given.pop("bastion"), given.pop("key")
            return cls.one_a_bastion(port, bastions, path, **given), []
        except InputError as problem:
            return (), [InputError(problem.slug, where=where, **problem.facts)]


def read_forwards(
    port: object, target: object, socket: object, remote_: object, local: object, dynamic: object
) -> tuple[Forward, ...]:
    """The forwards that plain values describe, in the order of the flags' names."""
    if target is not None and port is None and socket is None:
        raise InputError("missing-field", what="port", how="-p (--target goes with it)")
    return (
        *([] if port is None else [remote(port, target)]),
        *([] if socket is None else [remote_socket(socket, target)]),
        *(Forward.parse(each, "-R") for each in _several(remote_)),
        *(Forward.parse(each, "-L") for each in _several(local)),
        *(Forward.parse(each, "-D") for each in _several(dynamic)),
    )


def default_name(forwards: tuple[Forward, ...]) -> TunnelName:
    """What a tunnel is called of itself: by what it opens, that on the bastion first."""
    for each in forwards:
        if each.on_bastion and each.port:
            return TunnelName(str(each.port))
    for each in forwards:
        if each.port is None:
            return TunnelName(str(each.listen).rpartition("/")[2].replace("scitex-ssh-", "", 1))
    first = forwards[0]
    if first.port == 0:
        raise InputError("missing-field", what="name", how="--name (the bastion picks the port)")
    return TunnelName(("local-" if first.kind == "local" else "socks-") + str(first.port))


def _several(value: object) -> tuple[object, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def read_name(value: object) -> TunnelName:
    """The name that a tunnel is given; a number of a data file is one."""
    # The word that stands for "none given".
    if value == "default":
        raise InputError("bad-name", value=shown(value), why="it is the word for no name at all")
    return TunnelName(str(value) if isinstance(value, int) else value)


def _engine(value: object) -> str:
    if value not in ENGINES:
        raise InputError("bad-engine", value=shown(value))
    return str(value)


def _forwards(flag: str) -> Callable[[object], object]:
    return lambda value: [Forward.parse(each, flag) for each in _several(value)]


def _keys(value: object) -> tuple[KeyPath, ...]:
    return tuple(KeyPath(each) for each in _several(value))


def _keeper(value: object) -> str:
    if value not in KEEPERS:
        raise InputError("bad-keeper", value=shown(value))
    return str(value)


FIELDS: Mapping[str, Callable[[object], object]] = {
    "port": Port,
    "bastion": read_bastions,
    "key": KeyPath,
    "target": read_target,
    "user": LocalUser,
    "engine": _engine,
    "keeper": _keeper,
    "keepalive": Keepalive.parse,
    "name": read_name,
    "remote": _forwards("-R"),
    "local": _forwards("-L"),
    "dynamic": _forwards("-D"),
    "remote_socket": remote_socket,
    "jump": read_jumps,
    "jump_key": _keys,
    "proxy": Proxy.parse,
    "on_up": Hook,
    "on_down": Hook,
}
REQUIRED = ("port", "bastion", "key")
# Instead of a port.
FORWARD_FIELDS = ("remote", "local", "dynamic", "remote_socket")
TWICE = "it is wanted twice in one tunnel"
ONE_HERE = "of two bastions each has a tunnel, and only one can listen on a port of this machine"


def _field_errors(data: Mapping[object, object], where: str) -> list[InputError]:
    errors = []
    for key, read in FIELDS.items():
        if key not in data or (data[key] is None and key not in REQUIRED):
            continue
        try:
            read(data[key])
        except InputError as problem:
            errors.append(InputError(problem.slug, where=f"{where}.{key}", **problem.facts))
    return errors


def _known() -> str:
    return ", ".join(FIELDS)


def _path_reason(value: str) -> str:
    if not value:
        return "it is empty"
    if value.startswith("~") and not value.startswith("~/"):
        return "only ~/ stands for a home folder"
    if not value.startswith(("/", "~/")):
        return "it must be absolute, or begin with ~/"
    if value.endswith("/"):
        return "it names a folder"
    if len(value.encode("utf-8", "replace")) > 4095:
        return "it is longer than 4095 bytes"
    return ""
