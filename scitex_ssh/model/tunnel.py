"""The description of one tunnel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scitex_ssh.errors import InputError
from scitex_ssh.model.destination import Address, Destination
from scitex_ssh.model.forward import SSH_TARGET, Forward
from scitex_ssh.model.keepalive import PROFILES, Keepalive
from scitex_ssh.model.port import Port
from scitex_ssh.model.text import control_character, shown

ENGINES = ("ssh", "autossh")
_LOCAL_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
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


@dataclass(frozen=True)
class Tunnel:
    """One tunnel, as wanted. A value: it knows nothing of what stands.

    ``user`` None means the account that set-up is run for (through sudo, the caller).
    """

    forward: Forward
    bastion: Destination
    key: KeyPath
    user: LocalUser | None = None
    engine: str = "ssh"
    keepalive: Keepalive = field(default=PROFILES["default"])

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InputError("bad-engine", value=shown(self.engine))
        # Without any user the one who runs set-up is meant, whom only the machine knows (`derive`).
        user = self.bastion.user or self.user or "root"
        if self.forward.listen.is_privileged and user != "root":
            raise InputError("port-privileged", port=self.forward.listen, user=user)

    @property
    def name(self) -> TunnelName:
        """The tunnel's name: its port on the bastion."""
        return TunnelName(str(self.forward.listen))

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
        keepalive: object = "default",
    ) -> Tunnel:
        """A tunnel of plain values, as flags and data files give them; raises `InputError`."""
        address = (
            SSH_TARGET if target is None else Address.parse(target, slug="bad-target", default_port=None)
        )
        return cls(
            Forward(Port(port), address),
            Destination.parse(bastion),
            KeyPath(key),
            None if user is None else LocalUser(user),
            str(engine),
            Keepalive.parse(keepalive),
        )

    @classmethod
    def from_mapping(cls, data: object, where: str) -> tuple[Tunnel | None, list[InputError]]:
        """A tunnel of one mapping of a data file, or every error in it.

        Keys: ``port``, ``bastion``, ``key`` (obligatory), ``target``, ``user``, ``engine``,
        ``keepalive``. ``where`` names the mapping in messages (``h1: tunnels[0]``).
        """
        if not isinstance(data, Mapping):
            return None, [InputError("bad-field", where=where, value=shown(data), known=_known())]
        errors = [
            InputError("bad-field", where=f"{where}.{key}", value=shown(key), known=_known())
            for key in data
            if key not in FIELDS
        ]
        errors += [
            InputError("missing-field", where=where, what=key, how=f"the field {key}")
            for key in ("port", "bastion", "key")
            if key not in data
        ]
        errors += _field_errors(data, where)
        if errors:
            return None, errors
        try:
            given = {key: value for key, value in data.items() if value is not None}
            return cls.of(given.pop("port"), given.pop("bastion"), given.pop("key"), **given), []
        except InputError as problem:
            return None, [InputError(problem.slug, where=where, **problem.facts)]


def _engine(value: object) -> str:
    if value not in ENGINES:
        raise InputError("bad-engine", value=shown(value))
    return str(value)


def _target(value: object) -> Address:
    return Address.parse(value, slug="bad-target", default_port=None)


FIELDS: Mapping[str, Callable[[object], object]] = {
    "port": Port,
    "bastion": Destination.parse,
    "key": KeyPath,
    "target": _target,
    "user": LocalUser,
    "engine": _engine,
    "keepalive": Keepalive.parse,
}


def _field_errors(data: Mapping[object, object], where: str) -> list[InputError]:
    errors = []
    for key, read in FIELDS.items():
        if key not in data or (data[key] is None and key not in ("port", "bastion", "key")):
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
