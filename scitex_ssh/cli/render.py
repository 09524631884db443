"""A tunnel in another form: printed, and nothing touched."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from scitex_ssh import api
from scitex_ssh.backends import local as this_machine
from scitex_ssh.cli import present
from scitex_ssh.cli.app import describing
from scitex_ssh.errors import Exit, SSHError, error
from scitex_ssh.health import standing
from scitex_ssh.model import Tunnel
from scitex_ssh.plan.program import bind
from scitex_ssh.render.argv import argv

# The files that set-up writes: the text of the program, and the keepers that have one (the first by default).
FILES = {
    "unit": ("unit", ("systemd", "systemd-user")),
    "crontab": ("crontab", ("cron",)),
    "ssh-config": ("ssh_config", ("systemd",)),
    "json": ("description", ("systemd",)),
}
FORMATS = ("argv", "shell", *FILES)


@click.command("render")
@click.option(
    "--as",
    "form",
    type=click.Choice(FORMATS),
    default="shell",
    show_default=True,
    help="argv (a word a line) and shell are one ssh command that needs no file of ours; unit, crontab, "
    "ssh-config and json are the files as setup would write them.",
)
@describing
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
@click.pass_context
def render(context: click.Context, /, form: str, as_json: bool, **flags: Any) -> int:
    """Print a tunnel in another form: one that the flags describe, or with -p or -n alone one that stands.

    Nothing is touched and no bastion is asked. A unit is systemd's unless --keeper says systemd-user, a
    crontab is cron's; without --keeper, all else is as with systemd.
    """
    tunnel = _tunnel(context, flags)
    words = argv(tunnel) if form in ("argv", "shell") else None
    text = shlex.join(words) + "\n" if words is not None else _file(tunnel, form)
    if as_json:
        body = {"text": text} if words is None else {"argv": words, "text": text}
        present.envelope("render", {"success": True, "form": form, **body})
    else:
        print("\n".join(words or []) + "\n" if form == "argv" else text, end="")
    return Exit.DONE


def _tunnel(context: click.Context, flags: dict[str, Any]) -> Tunnel:
    """The one that is meant: by its port or name alone it is one that stands."""
    source = context.get_parameter_source
    given = {name for name in flags if source(name) is ParameterSource.COMMANDLINE}
    if given and given <= {"port", "name"}:
        wanted = str(api.named(flags["port"], flags["name"]))
        for each in standing.tunnels():
            if each.description and (each.name == wanted or (flags["name"] is None and wanted in each.ports)):
                return _recalled(each)
        if not flags["bastion"] or flags["secret_key"] is None:
            raise error("no-such-tunnel", name=wanted)
    return api.described(flags.pop("port"), flags.pop("bastion") or None, flags.pop("secret_key"), **flags)


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
    text, keepers = FILES[form]
    if form in ("unit", "crontab"):
        keeper = tunnel.keeper if tunnel.keeper in keepers else keepers[0]
    else:
        keeper = keepers[0] if tunnel.keeper == "auto" else tunnel.keeper
    if keeper == "systemd-user" and form == "unit":
        text = "user_unit"
    report = this_machine.run("render", [bind(replace(tunnel, keeper=keeper))], [f"--text={text}"])
    problem: SSHError | None = next(iter(report.errors), None)
    if problem is not None:
        raise problem
    return "".join(f"{each.line}\n" for each in report.diff)
