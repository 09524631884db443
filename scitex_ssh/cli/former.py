"""The commands as versions 1.0 and 1.2 called them: they answer, or say what they are now."""

from __future__ import annotations

from collections.abc import Mapping

import click

from scitex_ssh.errors import error

# What version 1.2 rendered or ran from a JSON file has other flags now.
GONE = {
    "render-argv": "scitex-ssh render --as argv, with the flags of setup",
    "forward": "scitex-ssh forward --discovery FILE -b BASTION -s KEY",
}
RENAMED = {"setup-tunnel": "setup", "remove-tunnel": "remove", "show-status": "status"}


def keep(top: click.Group, tunnel: click.Group) -> None:
    """Let the groups answer to the former names, which no help lists."""
    for former, now in RENAMED.items():
        top.add_command(_hidden(top.commands, former, now), former)
    tunnel.add_command(_hidden(top.commands, "check-status", "status"), "check-status")
    for former, now in GONE.items():
        if former not in tunnel.commands:
            tunnel.add_command(_gone(former, now))


def _hidden(commands: Mapping[str, click.Command], former: str, now: str) -> click.Command:
    command = commands[now]
    return click.Command(
        former,
        context_settings=command.context_settings,
        callback=command.callback,
        params=command.params,
        help=f"{command.help}\n\nFormer name of scitex-ssh {now}.",
        hidden=True,
    )


def _gone(former: str, now: str) -> click.Command:
    def refuse() -> None:
        raise error("gone", former=f"tunnel {former}", now=now)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        former, context_settings=settings, callback=refuse, hidden=True, add_help_option=False
    )
