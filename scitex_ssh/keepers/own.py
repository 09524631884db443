"""What all keepers of a user's own tunnels share: the files of the tunnel, below the user's home."""

from __future__ import annotations

from importlib.resources import files

from scitex_ssh.keepers.systemd import supervisor
from scitex_ssh.plan.step import (
    Plan,
    Step,
    absent,
    directory,
    jump_keys,
    no_empty_folder,
    process_absent,
    process_held,
    sole_keeper,
    symlink,
    verified,
    write_file,
)
from scitex_ssh.render.description import DESCRIPTION
from scitex_ssh.render.ssh_config import SSH_CONFIG
from scitex_ssh.render.template import Template

OWNER = "@owner@"


def starter() -> str:
    """The shell program that starts a tunnel which no service manager starts."""
    return files("scitex_ssh.keepers").joinpath("start.sh").read_text(encoding="utf-8")


TEXTS = {
    "ssh_config": SSH_CONFIG,
    "known_hosts": Template("@known_hosts@@jump_hosts@\n"),
    "description": DESCRIPTION,
    "run": Template(supervisor()),
}
START = {"start": Template(starter())}


def folder() -> tuple[Step, ...]:
    """The tunnel's folder, as in system scope but the user's."""
    return (
        directory("@folder@", mode="700", owner=OWNER),
        own_file("@folder@/ssh_config", "ssh_config", SSH_CONFIG),
        own_file("@folder@/known_hosts", "known_hosts", TEXTS["known_hosts"]),
        own_file("@folder@/tunnel.json", "description", DESCRIPTION),
        own_file("@folder@/run", "run", TEXTS["run"], mode="755"),
        symlink("@folder@/key", "@key@"),
        jump_keys(),
    )


def own_file(path: str, text: str, content: Template, mode: str = "644") -> Step:
    """A file of the user's."""
    return write_file(path, text, content, mode=mode, owner=OWNER)


def no_folder() -> tuple[Step, ...]:
    """Nothing of it, nor of the folders that were made on the way."""
    return (
        absent("@folder@"),
        absent("@state@"),
        *(
            no_empty_folder(path)
            for path in (
                "@config@/scitex-ssh/tunnels",
                "@config@/scitex-ssh",
                "@states@",
                "@states_of_all@",
                "@state_home@",
                "@local@",
            )
        ),
    )


def held(*kept: Step, texts: dict[str, Template] | None = None) -> Plan:
    """The plan of a keeper that has our own starter run the supervisor; ``kept`` is what calls it again."""
    start = own_file("@folder@/start", "start", START["start"], mode="755")
    steps = (*folder(), start, sole_keeper(), *kept, process_held(), verified())
    return Plan(steps, {**TEXTS, **START, **(texts or {})})


def not_held(*gone: Step) -> Plan:
    """The plan that undoes it: what would start it again goes first."""
    return Plan((*gone, process_absent(), *no_folder(), no_empty_folder("@config@")), {})
