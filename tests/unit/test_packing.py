"""What pyinfra sends is one argument of a shell, of which Linux takes 128 KiB: it fits, or is told before."""

from __future__ import annotations

import subprocess
from hashlib import sha512
from itertools import chain
from typing import Any

import pytest

pytest.importorskip("pyinfra")

from pyinfra.api import DeployError, OperationValueError
from pyinfra.connectors.util import make_unix_command

from scitex_ssh import fleet
from scitex_ssh.facts.bastion import Gate, in_turn
from scitex_ssh.facts.tunnels import LONGEST, Program, unpacking
from scitex_ssh.fleet_file import Machine
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Tunnel
from scitex_ssh.operations import tunnel
from scitex_ssh.operations.bastion import host_flags
from scitex_ssh.plan.program import bind, body
from tests.shell.shells import Shell

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGu0Ug8w5LhEYbPS9nLd8TVWhoQ2GCTQoLlNvAbfQVoB"
# linux/include/uapi/linux/binfmts.h, with the NUL at its end.
MAX_ARG_STRLEN = 32 * 4096
# Longer than any that a host has: with all of it, nothing is left to be added on the way.
SUDO = {
    "_sudo": True,
    "_sudo_user": "u" * 32,
    "_sudo_password": "it's",
    "_sudo_askpass_path": "/tmp/" + "a" * 64,
    "_env": {"PATH": "/usr/bin:" * 20},
}


def noise(number: int, length: int) -> str:
    """Letters that no packing makes shorter than half, and quotes among them."""
    blocks = (sha512(f"{number} {each}".encode()).hexdigest() for each in range(length // 128 + 1))
    return "'".join(blocks)[:length]


def many(count: int, length: int) -> list[dict[str, Any]]:
    """The tunnels of one host, as its data have them."""
    return [{"port": 2000 + each, "on_up": f"echo {noise(each, length)}"} for each in range(count)]


def described(tunnels: list[dict[str, Any]]) -> list[Tunnel]:
    """The same as the model has them."""
    found = [Tunnel.from_mapping({**each, "bastion": "t@gw", "key": "/k"}, "h") for each in tunnels]
    assert not [error for _, errors in found for error in errors]
    return [each for made, _ in found for each in made]


def sent(program: Program) -> str:
    """The argument that sshd on the host hands to the login's shell."""
    command = program.command("--machine", "--dry-run")
    return str(make_unix_command(command, **SUDO).get_raw_value())


def test_comments_stay_at_home_and_nothing_else() -> None:
    """What bash understands of the prelude is the same, with them and without."""
    understood = [
        subprocess.run(
            ["bash"],
            input=body(PLANS, FRAGMENTS, extra=("main",), version="1", bare=bare) + "declare -f\n",
            capture_output=True,
            text=True,
            check=True,
        )
        for bare in (False, True)
    ]
    assert "setup" in understood[0].stdout
    assert understood[0].stdout == understood[1].stdout


@pytest.mark.parametrize("extra", range(4))
def test_both_parts_arrive_whatever_their_lengths(shell: Shell, extra: int) -> None:
    """The program, and what it is told, quotes and line ends included."""
    text = f"said() {{ printf %s 'it'\\''s said{' ' * extra}'; }}\n#{noise(extra, 40 * extra)}\n"
    own = "said\nprintf '%s' '\\$x' \"$1\"\n"
    answer = shell.run(f"set -- 'an argument'\n{unpacking(text, own)}")
    assert (answer.stdout, answer.stderr) == (f"it's said{' ' * extra}\\$xan argument", "")


def test_a_hundred_tunnels_of_a_host_fit() -> None:
    """Each with a hook, and as much as the same host's sudo wraps around it."""
    wanted = described(many(100, 100))
    argument = sent(Program("setup", tuple({**bind(each), "host_keys": KEY * 20} for each in wanted)))
    assert len(argument) < MAX_ARG_STRLEN
    assert subprocess.run(["true", argument], check=False).returncode == 0


def test_the_most_that_is_taken_fits_and_what_is_more_is_told_first() -> None:
    """The last size that is no error is one that a command carries; the first that is one names it."""
    inventory = [Machine("gw", {}, ("bastions",)), Machine("lab1", {"tunnels": []}, ("hosts",))]

    def refused(length: int) -> bool:
        inventory[1] = Machine("lab1", {"tunnels": many(100, length)}, ("hosts",))
        slugs = {each.slug for each in fleet.examine(inventory)[1]}
        assert slugs <= {"tunnels-too-long"}
        return bool(slugs)

    fits, long = 100, 990
    assert refused(long)
    while long - fits > 1:
        middle = (fits + long) // 2
        fits, long = (fits, middle) if refused(middle) else (middle, long)
    told = tuple({**bind(each), "host_keys": noise(0, 1500)} for each in described(many(100, fits)))
    argument = sent(Program("setup", told))
    assert 0.9 * LONGEST < len(argument) < MAX_ARG_STRLEN
    assert subprocess.run(["true", argument], check=False).returncode == 0
    refused(long)
    with pytest.raises(DeployError, match=r"lab1: tunnels.*\n.*Next: (.|\n)*\[tunnels-too-long\]"):
        fleet.read(inventory)
    with pytest.raises(OperationValueError, match="tunnels-too-long"):
        tunnel.read([{**each, "bastion": "t@gw", "key": "/k"} for each in many(100, 990)], "lab1")


def test_as_many_hosts_as_there_are_are_let_in_by_commands_that_fit() -> None:
    """Each host once, in order."""
    wanted = [
        {"name": f"{'h' * 20}-{number}", "ports": (20000 + number,), "key": KEY} for number in range(2000)
    ]
    parts = list(in_turn(host_flags([each]) for each in wanted))
    assert list(chain(*parts)) == host_flags(wanted)
    for flags in parts:
        argument = str(make_unix_command(Gate("authorize", tuple(flags)).command(), **SUDO).get_raw_value())
        assert len(argument) < MAX_ARG_STRLEN
    assert len(list(in_turn(host_flags([each]) for each in wanted[:100]))) == 1
