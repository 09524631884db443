"""The keeper systemd, system scope: a folder in /etc and a unit, owned by root, run as the user."""

from __future__ import annotations

from importlib.resources import files

from scitex_ssh.keepers.ability import Ability
from scitex_ssh.plan.step import (
    Plan,
    Step,
    absent,
    directory,
    jump_keys,
    no_empty_folder,
    sole_keeper,
    symlink,
    unit_absent,
    unit_current,
    unit_enabled,
    units_loaded,
    verified,
    write_file,
)
from scitex_ssh.render.description import DESCRIPTION
from scitex_ssh.render.ssh_config import SSH_CONFIG
from scitex_ssh.render.systemd_unit import CREDENTIAL, READABLE_HOME, UNIT
from scitex_ssh.render.template import Template

ROOT = "root:root"

ABILITY = Ability(
    root=True,
    logout="yes",
    crash="yes, within seconds",
    reboot="yes",
    unattended="yes",
    needs="systemd",
)

# The unit's lines for the key; which one fits is seen on the host (check_key in plan/shell/tunnel.sh).
FRAGMENTS = {"credential": CREDENTIAL, "readable_home": READABLE_HOME}


def setup() -> Plan:
    """What must be true for a tunnel to stand; the values of the tunnel are gaps."""
    texts = {
        "ssh_config": SSH_CONFIG,
        "known_hosts": Template("@known_hosts@@jump_hosts@\n"),
        "description": DESCRIPTION,
        "run": Template(supervisor()),
        "unit": UNIT,
    }
    return Plan(
        (
            directory("@folder@", mode="755", owner=ROOT),
            _file("@folder@/ssh_config", "ssh_config", texts),
            _file("@folder@/known_hosts", "known_hosts", texts),
            _file("@folder@/tunnel.json", "description", texts),
            _file("@folder@/run", "run", texts, mode="755"),
            symlink("@folder@/key", "@key@"),
            jump_keys(),
            _file("@unit_file@", "unit", texts),
            units_loaded(),
            sole_keeper(),
            unit_enabled(),
            unit_current(),
            verified(),
        ),
        texts,
    )


def remove() -> Plan:
    """What must be true for a tunnel to be gone without a trace."""
    return Plan(
        (
            unit_absent(),
            absent("@unit_file@"),
            absent("@folder@"),
            no_empty_folder("/etc/scitex-ssh/tunnels"),
            no_empty_folder("/etc/scitex-ssh"),
            no_empty_folder("/run/scitex-ssh"),
            units_loaded(),
        ),
        {},
    )


def supervisor() -> str:
    """The shell program that keeps one ssh after another going."""
    return files("scitex_ssh.keepers").joinpath("run.sh").read_text(encoding="utf-8")


def _file(path: str, text: str, texts: dict[str, Template], mode: str = "644") -> Step:
    return write_file(path, text, texts[text], mode=mode, owner=ROOT)
