"""A tunnel in another form: text that is made of it, with nothing touched."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scitex_ssh import api, defaults
from scitex_ssh.backends import local as this_machine
from scitex_ssh.backends import shell
from scitex_ssh.errors import InputError, error
from scitex_ssh.health import standing
from scitex_ssh.model import Port, Tunnel, TunnelName
from scitex_ssh.model.text import shown
from scitex_ssh.plan.program import bind
from scitex_ssh.render.argv import argv

# The files that set-up writes: the text of the program, and the keepers that have one (the first by default).
FILES = {
    "unit": ("unit", ("systemd", "systemd-user")),
    "crontab": ("crontab", ("cron",)),
    "ssh-config": ("ssh_config", ("systemd",)),
    "json": ("description", ("systemd",)),
}
FORMS = ("argv", "shell", *FILES)
ACTIONS = ("setup", "status", "remove", "bastion")


def render_tunnel(
    port: object = None,
    bastion_server: object = None,
    secret_key_path: object = None,
    *,
    form: str = "shell",
    name: object = None,
    **more: object,
) -> str:
    """A tunnel in another form, as text; no bastion is asked and nothing is touched.

    With a port or a name alone it is one that stands here; else the one that is described. Of several, to a
    bastion each, the text is one after the other. ``more`` are the other fields of a description, as `setup`
    takes them.

    Args:
        form: ``argv`` (a word a line) and ``shell`` (one line) are one ssh command that needs no file of
            ours; ``unit``, ``crontab``, ``ssh-config`` and ``json`` the files as `setup` would write them.

    Raises:
        InputError: for input that cannot be right.
        SSHError: ``no-such-tunnel`` for a name that nothing here is called by.
    """
    if form not in FORMS:
        why = f"{shown(form)} is no form of a tunnel: {', '.join(FORMS)} are"
        raise InputError("usage", why=why, command="scitex-ssh render")
    return text(meant(port, bastion_server, secret_key_path, name=name, **more), form)


def script(
    action: str,
    port: object = None,
    bastion_server: object = None,
    secret_key_path: object = None,
    *,
    name: object = None,
    **more: object,
) -> str:
    """The POSIX script that does it on a machine without Python; nothing is run here.

    Args:
        action: ``setup``, ``status``, ``remove`` or ``bastion``. The first takes what `setup` takes; the
            next two a port or a name, and ``status`` without one shows all; the last nothing: its script is
            told the word of ``scitex-ssh bastion`` when it is run.

    Raises:
        InputError: for input that cannot be right.
    """
    if action not in ACTIONS:
        why = f"{shown(action)} is not what a script does: {', '.join(ACTIONS)} are"
        raise InputError("usage", why=why, command="scitex-ssh script")
    if action == "bastion":
        if any(each is not None for each in (port, bastion_server, secret_key_path, name, *more.values())):
            why = "the script of a bastion is told its hosts when it is run"
            raise InputError("usage", why=why, command="scitex-ssh script")
        return shell.bastion()
    wanted: Sequence[Tunnel | TunnelName | Port]
    if action == "setup":
        wanted = api.each_described(port, bastion_server, secret_key_path, name=name, **more)
    elif action == "status" and port is None and name is None:
        wanted = []
    else:
        wanted = [api.named(port, name)]
    return shell.baked(action, wanted)


def scripts(folder: str | os.PathLike[str]) -> list[Path]:
    """Write the generic scripts, which are told their tunnel by flags, to a folder; their paths.

    Raises:
        OSError: where one cannot be written.
    """
    into = Path(folder)
    into.mkdir(parents=True, exist_ok=True)
    for name, program in shell.generic_scripts().items():
        (into / name).write_text(program, encoding="utf-8")
        (into / name).chmod(0o755)
    return [into / name for name in shell.generic_scripts()]


def text(tunnels: Sequence[Tunnel], form: str) -> str:
    """The tunnels in one of `FORMS`, an empty line between two; a shell line is one by itself."""
    if form == "shell":
        return "".join(shlex.join(argv(each)) + "\n" for each in tunnels)
    if form == "argv":
        return "\n".join("\n".join(argv(each)) + "\n" for each in tunnels)
    return "\n".join(_file(each, form) for each in tunnels)


def meant(
    port: object, bastion_server: object, secret_key_path: object, *, name: object, **more: object
) -> Sequence[Tunnel]:
    """What is described; with a port or a name alone what stands here, if something does."""
    alone = bastion_server is None and secret_key_path is None and not more
    if alone and (port is not None or name is not None):
        wanted = str(api.named(port, name))
        found = [
            _recalled(each)
            for each in standing.tunnels()
            if each.description and (each.name == wanted or (name is None and wanted in each.ports))
        ]
        if found:
            return found
        if defaults.of("bastion").value is None or defaults.of("key").value is None:
            raise error("no-such-tunnel", name=wanted)
    return api.each_described(port, bastion_server, secret_key_path, name=name, **more)


def _recalled(stands: standing.Standing) -> Tunnel:
    """The tunnel that a folder describes."""
    said = stands.description
    flags: dict[str, list[str]] = {"remote": [], "local": [], "dynamic": []}
    for each in said["forwards"]:
        flag = "remote" if each["kind"] == "socks" else each["kind"]
        flags[flag].append(":".join(filter(None, (each["listen"], each["target"]))))
    rest = {key: said[key] for key in ("user", "engine", "keeper", "keepalive")}
    hops = said.get("jumps") or []
    if hops:
        rest["jump"] = [_login(each) for each in hops]
        rest["jump_key"] = [each["key"] for each in hops]
    for name in ("proxy", "on_up", "on_down"):
        rest[name] = said.get(name) or None
    return Tunnel.of(None, said["bastion"], said["key"], name=stands.name, **flags, **rest)


def _login(hop: dict[str, Any]) -> str:
    host = f"[{hop['host']}]" if ":" in hop["host"] else hop["host"]
    return f"{hop['user']}@{host}:{hop['port']}"


def _file(tunnel: Tunnel, form: str) -> str:
    """The text that the program has for it."""
    called, keepers = FILES[form]
    if form in ("unit", "crontab"):
        keeper = tunnel.keeper if tunnel.keeper in keepers else keepers[0]
    else:
        keeper = keepers[0] if tunnel.keeper == "auto" else tunnel.keeper
    if keeper == "systemd-user" and form == "unit":
        called = "user_unit"
    report = this_machine.run("render", [bind(replace(tunnel, keeper=keeper))], [f"--text={called}"])
    for problem in report.errors:
        raise problem
    return "".join(f"{each.line}\n" for each in report.diff)
