"""Which tunnels a port names, where there is one on each of several bastions."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.shell.shells import Shell, prelude

HERE = platform.node()
TUNNELS = {
    "2222": ("t@gw1", "remote localhost:2222 localhost:22", HERE),
    "2222-2": ("t@gw2:443", "remote localhost:2222 localhost:22", HERE),
    "named": ("u@[fd95::1]", "socks localhost:2222", HERE),
    "other": ("t@gw1", "remote localhost:22220 localhost:2222", HERE),
    "away": ("t@gw1", "remote localhost:2222 localhost:22", "elsewhere"),
}


@pytest.mark.parametrize(
    ("port", "bastion", "names"),
    [
        ("2222", "", ["named", "2222", "2222-2"]),
        ("2222", "gw1", ["2222"]),
        ("2222", "t@gw1", ["2222"]),
        ("2222", "u@gw1", []),
        ("2222", "elsewhere", []),
        ("2222", "gw2:443", ["2222-2"]),
        ("2222", "[fd95::1]", ["named"]),
        ("22220", "", ["other"]),
        ("2223", "", ["2223"]),
    ],
)
def test_a_port_names_all_that_are_on_it(
    shell: Shell, tmp_path: Path, port: str, bastion: str, names: list[str]
) -> None:
    """Of this host, by whatever name; where a bastion is said, of that one. Else it is its own name."""
    for name, (login, forward, host) in TUNNELS.items():
        folder = tmp_path / "scitex-ssh/tunnels" / name
        folder.mkdir(parents=True)
        lines = (f"# bastion: {login}", f"# forward: {forward}", f"# keeper: cron on {host}")
        (folder / "ssh_config").write_text("\n".join(lines) + "\n")
    told = f"take_bastion '{bastion}'" if bastion else ":"
    answer = shell.run(
        f"{prelude()}\nforget; {told}; tunnels_on {port}", env={"XDG_CONFIG_HOME": str(tmp_path)}
    )
    assert answer.stdout.split() == names, answer
