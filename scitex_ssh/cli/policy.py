"""The commands that show and change what is allowed, and show the defaults of flags."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from scitex_ssh import config, defaults, policy
from scitex_ssh.cli import present
from scitex_ssh.cli.app import SETTINGS
from scitex_ssh.errors import Exit
from scitex_ssh.policy import Answer

_ACTION = click.Choice(config.ACTIONS)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
_system = click.option(
    "--system", is_flag=True, help=f"In the administrator's file, {config.SYSTEM}, which wins."
)


@click.group("policy", context_settings=SETTINGS)
def policy_group() -> None:
    """Show or change what may be done from this machine."""


@policy_group.command("show")
@click.argument("host", required=False)
@_json
def show(host: str | None, as_json: bool) -> int:
    """Show what is allowed, and which file says so: for HOST, or for every host that a file names."""
    if host is not None:
        policy.check_host(host)
    answers = list(_answers([host] if host is not None else _names()))
    if as_json:
        present.envelope("policy show", {"success": True, "answers": [asdict(each) for each in answers]})
        return Exit.DONE
    rows = [["ACTION", "HOST", "ANSWER", "ORIGIN"]]
    rows += [[each.action, each.host, each.verdict, _origin(each.path, each.where)] for each in answers]
    _print(rows)
    return Exit.DONE


@policy_group.command("allow")
@click.argument("action", type=_ACTION)
@click.argument("host", required=False)
@_system
def allow(action: str, host: str | None, system: bool) -> int:
    """Allow ACTION on HOST, or on every host that has no answer of its own."""
    return _put(action, "allow", host, system)


@policy_group.command("deny")
@click.argument("action", type=_ACTION)
@click.argument("host", required=False)
@_system
def deny(action: str, host: str | None, system: bool) -> int:
    """Deny ACTION on HOST, or on every host that has no answer of its own."""
    return _put(action, "deny", host, system)


@click.group("config", context_settings=SETTINGS)
def config_group() -> None:
    """Show the configuration."""


@config_group.command("show")
@click.option("--origin", is_flag=True, help="Show where each value comes from, too.")
@_json
def config_show(origin: bool, as_json: bool) -> int:
    """Show the values of flags that are not given: of the environment, your file, the administrator's."""
    found = defaults.every()
    if as_json:
        present.envelope("config show", {"success": True, "values": [asdict(each) for each in found]})
        return Exit.DONE
    rows = [["NAME", "VALUE", "ORIGIN"], *([each.name, each.value or "-", each.origin] for each in found)]
    _print(rows if origin else [row[:2] for row in rows])
    return Exit.DONE


def _put(action: str, verdict: str, host: str | None, system: bool) -> int:
    path, changed = policy.put(action, verdict, host, system=system)
    where = f"hosts.{host}.{action}" if host else f"default.{action}"
    print(f"{'changed' if changed else 'ok':13} {where}: {verdict} in {path}")
    # What was written may not be what counts.
    found = policy.answer(action, host or "?")
    if found.verdict != verdict:
        print(f"{'warning':13} the answer is still {found.verdict}: {_origin(found.path, found.where)}")
    return Exit.DONE


def _names() -> list[str]:
    """This machine, and every host that one of the files names; "*" is any other."""
    named = {name.lower() for file in (config.system(), config.user()) for name in file.hosts}
    return ["*", *sorted(named - {"*"})]


def _answers(names: list[str]) -> list[Answer]:
    found = []
    for action in config.ACTIONS:
        anywhere = policy.answer(action, "*")
        for name in names:
            each = policy.answer(action, name)
            if name == "*" or len(names) == 1 or each.where != anywhere.where or each.path != anywhere.path:
                found.append(each)
    return found


def _origin(path: str, where: str) -> str:
    return f"{Path(path)}: {where}" if path else "no file says anything"


def _print(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0])).rstrip())
