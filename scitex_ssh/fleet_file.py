"""A fleet in one YAML file: what pyinfra's inventory would say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scitex_ssh import yaml_text
from scitex_ssh.errors import InputError
from scitex_ssh.model import KeyPath, LocalUser
from scitex_ssh.model.host import HostName
from scitex_ssh.model.ssh_host import Host
from scitex_ssh.model.text import control_character, shown

# How YAML writes that nothing is said.
NOTHING = ("", "null", "~", "Null", "NULL")
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Machine:
    """A machine of the file, with the data that an inventory of pyinfra would have for it.

    Attributes:
        name: what it is called.
        data: its data, ``ssh_user`` and so on.
        groups: ``bastions`` or ``hosts``.
        connected: nothing is, as long as nobody has connected.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    connected: bool = False


def load(path: Path) -> tuple[list[Machine], list[InputError]]:
    """The machines of a file, bastions first, or every error in it; `InputError` where there is none."""
    try:
        content = path.read_bytes()[: _MOST_BYTES + 1]
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
        return read(content.decode("utf-8-sig"), path.parent)
    except OSError as problem:
        why = (problem.strerror or str(problem)).lower()
        raise InputError("fleet-file", path=path, why=why) from problem
    except UnicodeDecodeError as problem:
        raise InputError("fleet-file", path=path, why="it is not UTF-8") from problem
    except ImportError as problem:
        raise InputError("fleet-file", path=path, why="this Python has no PyYAML") from problem
    except ValueError as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError("fleet-file", path=path, why=str(problem)) from problem


def read(text: str, folder: Path = Path()) -> tuple[list[Machine], list[InputError]]:
    """The same of a text; ``folder`` is where its relative paths begin."""
    data = yaml_text.parse(text)
    if not isinstance(data, dict):
        raise yaml_text.BadYAML("a mapping is needed (bastions, hosts)")
    errors = [_unknown(key, key, TOP) for key in data if key not in TOP]
    defaults = data.get("defaults") or {}
    if not isinstance(defaults, dict):
        errors.append(_bad("defaults", defaults, "a mapping of fields is needed"))
        defaults = {}
    wrong = _machine("defaults", "defaults", defaults, COMMON, folder)[1]
    errors += wrong
    shared = {} if wrong else defaults
    machines: list[Machine] = []
    for group, fields in (("bastions", BASTION), ("hosts", HOST)):
        for name, given in _machines(group, data.get(group), errors):
            found = {**shared, **given}
            machine, wrong = _machine(group, name, found, fields, folder)
            errors += wrong
            machines.append(machine)
    names = [machine.name for machine in machines]
    errors += [
        _bad(name, name, "it is there twice, as a bastion and as a host")
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    return machines, errors


def _machines(
    group: str, given: object, errors: list[InputError]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    if not given or given in NOTHING:
        how = f"its name below {group}"
        errors.append(InputError("missing-field", where=group, what=group[:-1], how=how))
        return
    # A list of names is a mapping of names without anything to say of them.
    if isinstance(given, list):
        given = {name: {} for name in given if isinstance(name, str)}
    if not isinstance(given, dict):
        errors.append(_bad(group, given, "a mapping of names is needed"))
        return
    for name, fields in given.items():
        if isinstance(fields, dict) or fields in NOTHING:
            yield name, fields if isinstance(fields, dict) else {}
        else:
            errors.append(_bad(f"{group}.{name}", fields, "a mapping of fields is needed"))


def _machine(
    group: str, name: str, given: Mapping[str, object], fields: Mapping[str, Field], folder: Path
) -> tuple[Machine, list[InputError]]:
    data: dict[str, Any] = {}
    errors: list[InputError] = []
    if group == "hosts":
        given = {"name": name, **given} if _is_name(name) else given
    for key, value in given.items():
        where = f"{name}: {key}"
        if key not in fields:
            errors.append(_unknown(where, key, fields))
            continue
        try:
            data.update(fields[key](value, folder))
        except InputError as problem:
            errors.append(InputError(problem.slug, where=where, **problem.facts))
    data.setdefault("ssh_hostname", name)
    return Machine(name, data, (group,)), errors


def _is_name(name: str) -> bool:
    try:
        HostName(name)
    except InputError:
        return False
    return True


def _unknown(where: str, key: str, known: Mapping[str, object] | tuple[str, ...]) -> InputError:
    return InputError("bad-fleet-field", where=where, value=shown(key), why=f"there are {', '.join(known)}")


def _bad(where: str, value: object, why: str) -> InputError:
    return InputError("bad-fleet-field", where=where, value=shown(value), why=why)


Field = Callable[[object, Path], Mapping[str, Any]]


def _ssh(value: object, _: Path) -> Mapping[str, Any]:
    way = Host.parse(value)
    port = None if way.port is None else int(way.port)
    given = {"ssh_hostname": way.name, "ssh_user": way.user, "ssh_port": port}
    return {key: each for key, each in given.items() if each is not None}


def _text(name: str) -> Field:
    def text(value: object, _: Path) -> Mapping[str, Any]:
        if not isinstance(value, str) or not value or control_character(value):
            raise InputError("bad-fleet-field", value=shown(value), why="a word is needed")
        return {name: value}

    return text


def _file(name: str) -> Field:
    def file(value: object, folder: Path) -> Mapping[str, Any]:
        path = str(_text(name)(value, folder)[name])
        return {name: str(folder.absolute() / Path(path).expanduser())}

    return file


def _flag(name: str) -> Field:
    def flag(value: object, _: Path) -> Mapping[str, Any]:
        if value not in ("true", "false"):
            raise InputError("bad-fleet-field", value=shown(value), why="it is neither true nor false")
        return {name: value == "true"}

    return flag


def _count(value: object, _: Path) -> Mapping[str, Any]:
    if not isinstance(value, str) or not value.isdecimal() or not 1 <= int(value[:6]) <= 9999:
        raise InputError("bad-fleet-field", value=shown(value), why="a number from 1 to 9999 is needed")
    return {"bastion_hosts": int(value)}


def _tunnels(value: object, _: Path) -> Mapping[str, Any]:
    # Looked at with all else that is said of a tunnel (`scitex_ssh.fleet`); an empty one is the usual one.
    listed = value if isinstance(value, list) else [value]
    return {"tunnels": [{} if each in NOTHING else each for each in listed]}


COMMON: Mapping[str, Field] = {
    "ssh": _ssh,
    "ssh_user": lambda value, _: {"ssh_user": LocalUser(value)},
    "ssh_key": _file("ssh_key"),
    "known_hosts": _file("ssh_known_hosts_file"),
    "sudo": _flag("_sudo"),
}
BASTION: Mapping[str, Field] = {
    **COMMON,
    "address": _text("bastion_address"),
    "expected": _count,
    "plain": _flag("bastion_plain"),
}
HOST: Mapping[str, Field] = {
    **COMMON,
    "name": lambda value, _: {"host_name": HostName(value)},
    "bastion": _text("bastion"),
    "key": lambda value, _: {"key": KeyPath(value)},
    "tunnels": _tunnels,
}
TOP = ("bastions", "hosts", "defaults")
