"""How people reach a machine: the command, and the block for their ssh_config."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import join

from scitex_ssh.gateway.machine import Machine
from scitex_ssh.gateway.tables import Bastion
from scitex_ssh.model import Destination
from scitex_ssh.render import client_config

# Stands for a bastion whose name the gateway was not told (SSH_PUBLIC_HOST).
UNNAMED = "BASTION"
_PINS = "~/.ssh/config.d/scitex-ssh.known_hosts"


def command(machine: Machine, bastion: Bastion) -> str:
    """One command that leads to the machine; "" while it has no port."""
    if machine.port is None:
        return ""
    login = f"{machine.login}@localhost" if machine.login else "localhost"
    alias = f"HostKeyAlias={machine.name}"
    return join(["ssh", "-J", jump(bastion), "-p", str(machine.port), "-o", alias, login])


def block(machines: Iterable[tuple[Machine, Bastion]]) -> str:
    """Blocks of ssh_config(5) for those that have a port, with their host keys below as comments."""
    shown = [(machine, jump(bastion)) for machine, bastion in machines if machine.port is not None]
    blocks = [client_config.config([_described(machine)], _PINS, [jump]) for machine, jump in shown]
    keys = client_config.pins(_described(machine) for machine, _ in shown)
    pins = "".join(f"#   {line}\n" for line in keys.splitlines())
    return "\n".join(blocks) + (f"# In {_PINS}:\n{pins}" if pins else "")


def _described(machine: Machine) -> client_config.Machine:
    # The bastion here is not read: how to jump is told beside it.
    ways = (client_config.Way(Destination.parse("localhost"), f"localhost:{machine.port}"),)
    keys = tuple(machine.host_keys.splitlines())
    return client_config.Machine(machine.name, machine.login, keys, ways)


def jump(bastion: Bastion) -> str:
    """The bastion, with an account of people where there is one; the tunnels' own lets nobody through."""
    user = "" if bastion.jump_user == bastion.ssh_user else f"{bastion.jump_user}@"
    host = f"[{bastion.host}]" if ":" in bastion.host else bastion.host or UNNAMED
    return user + host + (f":{bastion.ssh_port}" if bastion.ssh_port != 22 else "")
