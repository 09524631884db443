"""Which tunnels a port names, where there is one on each of several bastions; and how each is called."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from scitex_ssh.model import Tunnel
from scitex_ssh.plan.program import bind
from tests.shell.shells import Shell, prelude

HERE = platform.node()
TUNNELS = {
    "2222": ("t@gw1", "remote localhost:2222 localhost:22", HERE),
    "2222-2": ("t@gw2:443", "remote localhost:2222 localhost:22", HERE),
    "named": ("u@[fd95::1]", "socks localhost:2222", HERE),
    "other": ("t@gw1", "remote localhost:22220 localhost:2222", HERE),
    "away": ("t@gw1", "remote localhost:2222 localhost:22", "elsewhere"),
}


def stand(home: Path, tunnels: dict[str, tuple[str, str, str]]) -> None:
    """Write what is left of tunnels that stand: login, forward and host, by name."""
    for name, (login, forward, host) in tunnels.items():
        folder = home / "scitex-ssh/tunnels" / name
        folder.mkdir(parents=True)
        lines = (f"# bastion: {login}", f"# forward: {forward}", f"# keeper: cron on {host}")
        (folder / "ssh_config").write_text("\n".join(lines) + "\n")


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
    stand(tmp_path, TUNNELS)
    told = f"take_bastion '{bastion}'" if bastion else ":"
    answer = shell.run(
        f"{prelude()}\nforget; {told}; tunnels_on {port}", env={"XDG_CONFIG_HOME": str(tmp_path)}
    )
    assert answer.stdout.split() == names, answer


@pytest.mark.parametrize(
    ("bastions", "names"),
    [
        ("gw1,gw2:443", "2222 2222-2"),
        ("gw2:443,gw1", "2222-2 2222"),
        ("u@gw2:443,gw1", "2222-2 2222"),
        ("gw2,gw1", "2222-2 2222"),
        ("gw1,gw3", "2222 2222-2"),
        ("gw3,gw1", "2222-2 2222"),
        ("gw2:443,gw3", "2222-2 2222"),
        ("gw3,gw4", "2222 2222-2"),
        ("gw3,gw2:443,gw1", "2222-3 2222-2 2222"),
        ("gw3,gw4,gw1", "2222-2 2222-3 2222"),
        # One alone, too.
        ("gw2:443", "2222-2"),
        ("u@gw2:443", "2222-2"),
        ("gw1", "2222"),
        ("gw2", "2222"),
    ],
)
def test_a_tunnel_that_stands_keeps_its_name(shell: Shell, tmp_path: Path, bastions: str, names: str) -> None:
    """In whatever order the bastions are told; the others take the names that are left."""
    stand(tmp_path, TUNNELS)
    tunnels = Tunnel.one_a_bastion(2222, bastions, "~/k")
    # Beside those of another name, which have nothing to do with them.
    tunnels += Tunnel.one_a_bastion(2223, "gw1,gw2:443", "~/k", name="lab")
    assert called(shell, tmp_path, *tunnels) == [*names.split(), "lab", "lab-2"]


@pytest.mark.parametrize(
    ("stands", "wanted", "name"),
    [
        # As the bastion picked it, and asked for as at first.
        ("remote localhost:41234 localhost:22", {"remote": "0:localhost:22"}, "lab-2"),
        ("remote localhost:41234 localhost:80", {"remote": "0:localhost:22"}, "lab"),
        ("socks localhost:41234", {"remote": "0"}, "lab-2"),
        ("remote /tmp/scitex-ssh-lab localhost:22", {"remote_socket": "lab"}, "lab-2"),
        ("remote localhost:2222 db:5432", {"port": 2222}, "lab-2"),
        # Made on its own, for another port.
        ("remote localhost:2223 localhost:22", {"port": 2222}, "lab"),
        ("remote localhost:22220 localhost:22", {"port": 2222}, "lab"),
    ],
)
def test_one_of_several_is_known_by_what_it_opens(
    shell: Shell, tmp_path: Path, stands: str, wanted: dict[str, object], name: str
) -> None:
    """Told alone, the one to that bastion is meant, and not one that has such a name by chance."""
    stand(tmp_path, {"lab-2": ("t@gw2", stands, HERE)})
    more = {name: value for name, value in wanted.items() if name != "port"}
    tunnel = Tunnel.of(wanted.get("port"), "gw2", "~/k", name="lab", **more)
    assert called(shell, tmp_path, tunnel) == [name]


def test_what_is_told_by_its_own_name_is_not_another(shell: Shell, tmp_path: Path) -> None:
    """Of two that are told, each is itself, though one of them could be the other by what it opens."""
    stand(tmp_path, {"lab-2": ("t@gw2", "remote localhost:41234 localhost:22", HERE)})
    tunnels = [Tunnel.of(None, "gw2", "~/k", name=name, remote="0:localhost:22") for name in ("lab", "lab-2")]
    assert called(shell, tmp_path, *tunnels) == ["lab", "lab-2"]


def called(shell: Shell, home: Path, *tunnels: Tunnel) -> list[str]:
    """What each of these is called, on a machine where those of ``home`` stand."""
    lines = [
        f"bind_{number}() {{ {' '.join(f't_{name}={value!r}' for name, value in bind(each).items())}; }}"
        for number, each in enumerate(tunnels, 1)
    ]
    told = "\n".join([*lines, f"tunnels='{' '.join(str(n + 1) for n in range(len(tunnels)))}'"])
    answer = shell.run(
        f"{prelude()}\nset -u\n{told}\nshare_names\n"
        'for n in $tunnels; do described "$n"; echo "$t_name"; done',
        env={"XDG_CONFIG_HOME": str(home)},
    )
    assert answer.stderr == ""
    return answer.stdout.split()
