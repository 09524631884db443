"""The commands of a fleet that is described in one file."""

from __future__ import annotations

import platform
import sys
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scitex_ssh.api import Result
from scitex_ssh.cli import present
from scitex_ssh.errors import Exit, SSHError, error
from scitex_ssh.plan.report import Report

if TYPE_CHECKING:
    from scitex_ssh.fleet_file import Machine
    from scitex_ssh.fleet_run import Outcome

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=True))
_password = click.option(
    "--sudo-password-file",
    metavar="FILE",
    type=click.File(),
    help="The password of sudo on the machines; - is standard input.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")


@click.group("fleet", context_settings=SETTINGS)
def fleet() -> None:
    """Bastions, hosts, keys and tunnels of one file: plan, apply, and what is so.

    Needs pyinfra, on this machine only.
    """


@fleet.command("plan", context_settings=SETTINGS)
@_file
@_password
@_json
def plan(file: Path, sudo_password_file: Any, as_json: bool) -> int:
    """Show what apply would change, on every machine of FILE; nothing is changed."""
    return _run("plan", file, sudo_password_file, as_json)


@fleet.command("apply", context_settings=SETTINGS)
@_file
@_password
@_json
def apply(file: Path, sudo_password_file: Any, as_json: bool) -> int:
    """Make the fleet of FILE so: bastions, keys, tunnels, each proven; then ssh reaches each by its name.

    A machine that is down, or where something fails, stops no other. What is as it must be is left alone.
    """
    return _run("apply", file, sudo_password_file, as_json)


@fleet.command("status", context_settings=SETTINGS)
@_file
@_password
@_json
def status(file: Path, sudo_password_file: Any, as_json: bool) -> int:
    """Show every tunnel of the hosts of FILE, each proven anew.

    Exit status 50 when one is not verified, or a host is not reached.
    """
    return _run("status", file, sudo_password_file, as_json)


def _run(word: str, file: Path, password: Any, as_json: bool) -> int:
    _need_pyinfra()
    from scitex_ssh import fleet_file

    machines, errors = fleet_file.load(file)
    with warnings.catch_warnings():
        # What is there already was imported by click and us, and is used by no other thread.
        warnings.simplefilter("ignore")
        from gevent import monkey

        monkey.patch_all()
    from scitex_ssh import fleet_run
    from scitex_ssh.operations import summary

    # Each says what it knows: first the file alone, then what its parts are to each other.
    errors += fleet_run.errors(machines) if machines else []
    if errors:
        return _refused(word, errors, as_json)
    secret = "" if password is None else password.read().rstrip("\n")
    data = {"_sudo_password": secret} if secret else {}
    outcome = fleet_run.run(word, machines, data, _quiet if as_json else _tell)
    problem = _problem(word, outcome, machines)
    status = Exit.DONE if problem is None else problem.status
    if word == "status" and not _is_well(outcome, machines):
        status = Exit.UNHEALTHY
    if as_json:
        _envelope(word, outcome, problem, status)
    elif word == "status":
        unreached = [name for name in outcome.unreached if name in _hosts(machines)]
        print("\n".join(summary.table(outcome.tunnels, unreached)))
    elif word == "plan" and not outcome.changes and problem is None:
        print("Nothing would change.")
    if problem is not None and not as_json:
        sys.stdout.flush()
        present.error(problem)
    return status


def _need_pyinfra() -> None:
    version = platform.python_version()
    if sys.version_info < (3, 10):
        raise error("pyinfra-missing", version=version, why=", being older than 3.10")
    if find_spec("pyinfra") is None:
        # The .pyz is one file for every Python and CPU, and pyinfra has parts made for one of each.
        raise error("pyinfra-missing", version=version, why="; a .pyz cannot hold it")


def _refused(word: str, errors: list[Any], as_json: bool) -> int:
    if as_json:
        status = int(errors[0].status)
        present.envelope(f"fleet {word}", Result(status, Report(errors, status)).as_dict())
    else:
        for each in errors:
            present.error(each)
    return int(errors[0].status)


def _problem(word: str, outcome: Outcome, machines: list[Machine]) -> SSHError | None:
    left = [(f"not reached: {', '.join(outcome.unreached)}")] if outcome.unreached else []
    left += [f"failed: {', '.join(outcome.failed)}"] if outcome.failed else []
    well = len(machines) - len(outcome.unreached) - len(outcome.failed)
    return error("fleet-incomplete", well=well, all=len(machines), rest="; ".join(left)) if left else None


def _hosts(machines: list[Machine]) -> set[str]:
    return {machine.name for machine in machines if "hosts" in machine.groups}


def _is_well(outcome: Outcome, machines: list[Machine]) -> bool:
    tunnels = [outcome.tunnels.get(name) or [{"level": "down"}] for name in _hosts(machines)]
    return all(each["level"] == "verified" for listed in tunnels for each in listed)


def _tell(name: str, kind: str, words: str) -> None:
    """One line of a machine, as soon as it is known."""
    if kind == "diff":
        print(f"  {present.paint(words, {'+': 'green', '-': 'red'}.get(words[:1], ''))}", flush=True)
    elif kind == "error":
        print(f"{name}: {words}", file=sys.stderr, flush=True)
    else:
        print(f"{present.paint(kind.ljust(13), kind)} {name}: {words}", flush=True)


def _quiet(*_: str) -> None:
    """For JSON: everything is said at the end."""


def _envelope(word: str, outcome: Outcome, problem: SSHError | None, status: int) -> None:
    names = sorted({*outcome.said, *outcome.unreached, *outcome.failed, *outcome.tunnels})
    body: dict[str, object] = {
        "success": status == Exit.DONE,
        "status": int(status),
        "changed": outcome.changes,
        "machines": [_machine(name, outcome) for name in names],
        "errors": Report([] if problem is None else [problem]).as_dict()["errors"],
    }
    present.envelope(f"fleet {word}", body)


def _machine(name: str, outcome: Outcome) -> Mapping[str, object]:
    said = outcome.said.get(name, [])
    return {
        "name": name,
        "reached": name not in outcome.unreached,
        "failed": name in outcome.failed,
        "steps": [{"event": kind, "step": words} for kind, words in said if kind not in ("error", "diff")],
        "diff": [words for kind, words in said if kind == "diff"],
        "errors": [words for kind, words in said if kind == "error"],
        "tunnels": outcome.tunnels.get(name, []),
    }
