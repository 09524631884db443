"""The tunnels of this machine as their folders describe them: the whole machine's, and the caller's own."""

from __future__ import annotations

import json
import os
import platform
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM = Path("/etc/scitex-ssh/tunnels")


@dataclass(frozen=True)
class Standing:
    """One tunnel that was set up here.

    Attributes:
        folder: where its files are; its name is the tunnel's.
        description: its tunnel.json; empty where that cannot be read.
        keeper: what keeps it alive.
        state: the folder of what its supervisor writes.
    """

    folder: Path
    description: Mapping[str, Any]
    keeper: str
    state: Path

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name

    @property
    def unit(self) -> str | None:
        """The unit that keeps it, if one does."""
        return f"autossh-tunnel-{self.name}.service" if self.keeper.startswith("systemd") else None

    @property
    def ports(self) -> set[str]:
        """The ports of the bastion that lead here."""
        listens = (
            each for each in self.description.get("forwards", ()) if each["kind"] in ("remote", "socks")
        )
        return {str(each["listen"]).rpartition(":")[2] for each in listens}


def tunnels(system: Path | None = None) -> Iterator[Standing]:
    """All of them."""
    for folder in sorted((system or SYSTEM).glob("*")):
        yield Standing(folder, _description(folder), "systemd", Path("/run/scitex-ssh") / folder.name)
    host = platform.node()
    for home, config, states in _homes():
        for folder in sorted((config / "scitex-ssh/tunnels").glob("*")):
            # A home may be shared among hosts, and the tunnel is one host's.
            keeper, _, kept_on = _kept(folder).partition(" on ")
            if kept_on == host:
                run = Path(f"/run/user/{home.pw_uid}/scitex-ssh")
                state = run if keeper == "systemd-user" else states / "scitex-ssh" / host
                yield Standing(folder, _description(folder), keeper, state / folder.name)


def expanded(key: str, user: str | None) -> Path:
    """The path of a key; ``~/`` is the home of the tunnel's user, through sudo of its caller."""
    if not key.startswith("~/"):
        return Path(key)
    caller = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    name = user or caller
    try:
        there = pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())
    except KeyError:
        return Path(key)
    return Path(there.pw_dir) / key[2:]


def _description(folder: Path) -> Mapping[str, Any]:
    try:
        said = json.loads((folder / "tunnel.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _kept(folder: Path) -> str:
    try:
        lines = (folder / "ssh_config").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line[10:] for line in lines if line.startswith("# keeper: ")), "")


def _homes() -> Iterator[tuple[pwd.struct_passwd, Path, Path]]:
    """The caller, and through sudo who called it: as `own_places` in plan/shell/keepers.sh."""
    try:
        me = pwd.getpwuid(os.getuid())
    except KeyError:
        return
    config, state = (os.environ.get(name, "") for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"))
    home = _home(me)
    yield (
        me,
        Path(config) if config.startswith("/") else home / ".config",
        Path(state) if state.startswith("/") else home / ".local/state",
    )
    caller = os.environ.get("SUDO_USER", "")
    if me.pw_uid == 0 and caller not in ("", me.pw_name):
        try:
            there = pwd.getpwnam(caller)
        except KeyError:
            return
        yield there, Path(there.pw_dir) / ".config", Path(there.pw_dir) / ".local/state"


def _home(me: pwd.struct_passwd) -> Path:
    """Its home folder; through sudo, HOME may be another's."""
    given = os.environ.get("HOME", "")
    try:
        if given.startswith("/") and Path(given).stat().st_uid == me.pw_uid:
            return Path(given)
    except OSError:
        pass
    return Path(me.pw_dir)
