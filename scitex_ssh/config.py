"""The two configuration files: who may do what from this machine, and defaults for flags."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scitex_ssh import yaml_text
from scitex_ssh.errors import PolicyError
from scitex_ssh.model.text import control_character, shown

ACTIONS = ("tunnels", "exec", "copy", "attach", "forward")
VERDICTS = ("allow", "deny")
DEFAULTS = ("bastion", "key", "keeper", "keepalive", "on_up", "on_down")

# The administrator's. A constant, and no variable of the caller's: nobody may point it elsewhere.
SYSTEM = Path("/etc/scitex-ssh/config.yaml")
VARIABLE = "SCITEX_SSH_CONFIG"

_MOST_BYTES = 256 * 1024
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,255}", re.ASCII)

Rules = Mapping[str, str]


@dataclass(frozen=True)
class Config:
    """What one file says; nothing where there is no file.

    Attributes:
        path: the file.
        system: it is the administrator's.
        there: the file exists.
        default: verdicts by action, for every host that has none of its own.
        hosts: verdicts by action, by the name of a host as it is written.
        defaults: values for flags that are not given.
    """

    path: Path
    system: bool
    there: bool = False
    default: Rules = field(default_factory=dict)
    hosts: Mapping[str, Rules] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    def entries(self, action: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """The verdicts of this file that apply, each with its place; those of a host before the default's."""
        for name, rules in self.hosts.items():
            if name.lower() in names and action in rules:
                yield rules[action], f"hosts.{name}.{action}"
        if action in self.default:
            yield self.default[action], f"default.{action}"


def is_host(name: str) -> bool:
    """Whether a file may name a host so."""
    return _HOST.fullmatch(name) is not None


def user_path() -> Path:
    """The caller's file: ``$SCITEX_SSH_CONFIG``, or the one below the home folder."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path("~/.scitex/ssh/config.yaml").expanduser()


def system() -> Config:
    """The administrator's file; `PolicyError` where it is not as it must be."""
    return load(SYSTEM, system=True)


def user() -> Config:
    """The caller's file; `PolicyError` where it is not as it must be."""
    return load(user_path(), system=False)


def load(path: Path, *, system: bool) -> Config:
    """Read one file.

    Raises:
        PolicyError: ``policy-unreadable``, ``policy-broken``; a file that cannot be understood may hold a
            deny, so nothing is allowed where one is.
    """
    text = _read(path)
    if text is None:
        return Config(path, system)
    return read(text, path, system=system)


def read(text: str, path: Path, *, system: bool) -> Config:
    """What a file of this text says; `PolicyError` ``policy-broken``."""
    data = _parse(text, path)
    for where, why in faults(data):
        raise PolicyError("policy-broken", where=where, path=path, why=why)
    data = data or {}
    hosts = {name: rules or {} for name, rules in (data.get("hosts") or {}).items()}
    defaults = {name: data[name] for name in DEFAULTS if name in data}
    return Config(path, system, True, data.get("default") or {}, hosts, defaults)


def _read(path: Path) -> str | None:
    try:
        # Not blocking, so that a pipe in its place keeps nobody waiting.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PolicyError("policy-unreadable", path=path, why="it is no plain file")
            content = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PolicyError:
        # Which is an OSError, too.
        raise
    except OSError as problem:
        why = (problem.strerror or str(problem)).lower()
        raise PolicyError("policy-unreadable", path=path, why=why) from problem
    except ValueError as problem:
        raise PolicyError("policy-unreadable", path=shown(str(path)), why=str(problem)) from problem
    if len(content) > _MOST_BYTES:
        raise PolicyError("policy-broken", path=path, why=f"it is larger than {_MOST_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise PolicyError("policy-broken", path=path, why="it is not UTF-8") from problem


def _parse(text: str, path: Path) -> Any:
    """The text as mappings, lists and text; every scalar is text, as it is written."""
    try:
        return yaml_text.parse(text)
    except ImportError as problem:
        raise PolicyError(
            "policy-unreadable", path=path, why="this Python has no PyYAML to read it with"
        ) from problem
    except yaml_text.BadYAML as problem:
        raise PolicyError("policy-broken", path=path, why=str(problem)) from problem


def faults(data: object) -> Iterator[tuple[str, str]]:
    """Each fault of a file's data: its place and what is wrong; `config_schema` has the same rules."""
    if not _mapping(data):
        yield "", "a mapping is needed (default, hosts...)"
        return
    for name, value in _items(data):
        if name == "default":
            yield from _rule_faults(name, value)
        elif name == "hosts" and not _mapping(value):
            yield name, "a mapping of host names is needed"
        elif name == "hosts":
            for host, rules in _items(value):
                if is_host(host):
                    yield from _rule_faults(f"hosts.{host}", rules)
                else:
                    yield name, f"{shown(host)} is not the name of a host"
        elif name not in DEFAULTS:
            yield _place("", name), f"there is no such key: default, hosts, {', '.join(DEFAULTS)} are"
        elif not isinstance(value, str) or not value or control_character(value):
            yield name, "a word is needed"
        elif name == "key" and not value.startswith(("/", "~/")):
            yield name, "an absolute path is needed, or one below ~/"


def _rule_faults(where: str, rules: object) -> Iterator[tuple[str, str]]:
    if not _mapping(rules):
        yield where, "a mapping of actions is needed, such as tunnels: allow"
        return
    for action, verdict in _items(rules):
        if action not in ACTIONS:
            yield _place(where, action), f"there is no such action: {', '.join(ACTIONS)} are"
        elif verdict not in VERDICTS:
            yield _place(where, action), f"{shown(verdict)} is neither allow nor deny"


def _mapping(data: object) -> bool:
    # Nothing after a colon is read as empty text.
    return isinstance(data, dict) or data is None or data == ""


def _items(data: object) -> Iterator[tuple[str, object]]:
    for name, value in (data if isinstance(data, dict) else {}).items():
        yield str(name), value


def _place(where: str, name: str) -> str:
    name = shown(name)[1:-1]
    return f"{where}.{name}" if where else name
