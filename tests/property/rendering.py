"""What the emitted program makes of tunnels: their values and their files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scitex_ssh.backends.shell import baked
from scitex_ssh.keepers.systemd import setup
from scitex_ssh.model import Tunnel
from scitex_ssh.plan.program import bind
from tests.shell.shells import Shell

HOME = "/home/it's %h me"
KEY_ID = "0123456789abcdef0123456789abcdef"
DERIVED = ("name", "folder", "unit_file", "bastion", "login", "known_name", "target", "key", "bastion_user")
FILES = ("ssh_config", "unit", "description", "known_hosts")
TEXT = dict[str, str]

# What needs the machine that the tunnel is for is taken as seen: its account, its home, its key.
_MACHINE = f"""
id() {{ :; }}
passwd_line() {{ printf 'me:x:1:1::%s:\\n' "{HOME}"; }}
choose_keeper() {{ [ "$t_keeper" != auto ] || t_keeper=systemd; }}
check_keeper() {{ :; }}
check_programs() {{ :; }}
proxy_tools() {{ printf ' nc_openbsd'; }}
check_key() {{ t_key_id={KEY_ID}; }}
find_host_keys() {{ t_known_hosts="$t_known_name ssh-ed25519 AAAA"; }}
exit_status=0 machine=0 work='' me=root
"""


class Rendered(NamedTuple):
    """One tunnel: its values in the program, and its files by the name of their text."""

    values: TEXT
    files: TEXT


def rendered(shell: Shell, tunnels: Sequence[Tunnel]) -> list[Rendered]:
    """What the shell makes of each tunnel, in one process."""
    functions, start, _ = baked("setup", tunnels).rpartition("\nbegin\n{ ")
    assert start
    gaps = (gap for text in setup().texts.values() for gap in text.gaps())
    names = dict.fromkeys([*(name for tunnel in tunnels for name in bind(tunnel)), *DERIVED, *gaps])
    values = " ".join(f'"$t_{name}"' for name in names)
    with tempfile.TemporaryDirectory() as folder:
        lines = [functions, _MACHINE]
        for number, _ in enumerate(tunnels, 1):
            lines += [
                f"forget; bind_{number}; derive || echo failed >&2",
                f"printf '%s\\0' {values} >{folder}/{number}.values",
                *(f"text_{name} >{folder}/{number}.{name}" for name in FILES),
            ]
        answer = shell.run("\n".join(lines))
        assert answer.stderr == ""
        return [_read(Path(folder), str(number), list(names)) for number, _ in enumerate(tunnels, 1)]


def _read(folder: Path, number: str, names: list[str]) -> Rendered:
    read = {name: (folder / f"{number}.{name}").read_text("utf-8") for name in ("values", *FILES)}
    values = read.pop("values").split("\0")[:-1]
    assert len(values) == len(names)
    return Rendered(dict(zip(names, values)), read)
