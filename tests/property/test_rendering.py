"""Whatever the model accepts, each text that is written reads back as what was meant."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scitex_ssh.keepers.systemd import setup
from scitex_ssh.model import Address, Destination, Forward, Keepalive, Listen, SocketPath, Tunnel
from scitex_ssh.plan.program import bind
from scitex_ssh.render.take_back import one_line, source
from tests.property.rendering import FILES, HOME, KEY_ID, rendered
from tests.property.strategies import tunnels
from tests.shell.shells import Shell

SOME = st.lists(tunnels(), min_size=1, max_size=12)


def meant_key(tunnel: Tunnel) -> str:
    """The key's path once the home folder is known."""
    return at_home(tunnel.key)


def at_home(path: str) -> str:
    """The path once the home folder is known."""
    return f"{HOME}/{path[2:]}" if path.startswith("~/") else str(path)


def jump_keys(tunnel: Tunnel) -> list[str]:
    """The key of each host on the way: its own, else the tunnel's."""
    rest = [tunnel.key] * (len(tunnel.jumps) - len(tunnel.jump_keys))
    return [at_home(key) for key in [*tunnel.jump_keys, *rest]]


def login(tunnel: Tunnel) -> str:
    """The account on the bastion: the tunnel's own user unless said."""
    return tunnel.bastion.user or str(tunnel.user)


@settings(max_examples=8)
@given(some=SOME)
def test_every_value_reads_back_in_the_program(shell: Shell, some: list[Tunnel]) -> None:
    """What a program was made for is, byte for byte, what it then works with."""
    for tunnel, seen in zip(some, rendered(shell, some)):
        # Where none is asked for, the machine chooses the keeper.
        expected = {
            **bind(tunnel),
            "key": meant_key(tunnel),
            "bastion_user": login(tunnel),
            "keeper": "systemd",
        }
        assert {name: seen.values[name] for name in expected} == expected
        assert seen.values["name"] == tunnel.name
        assert Destination.parse(seen.values["bastion"]).address == tunnel.bastion.address
        assert seen.values["known_name"] == tunnel.bastion.address.known_name
        assert seen.values["target"] == str(tunnel.forwards[0].target)


@settings(max_examples=6)
@given(some=SOME)
def test_the_shells_and_python_write_the_same_bytes(every_shell: list[Shell], some: list[Tunnel]) -> None:
    """A file is the same whichever shell wrote it, and is the template filled with the values."""
    texts = setup().texts
    of_each = [rendered(shell, some) for shell in every_shell]
    for same in zip(*of_each):
        assert [seen.files for seen in same] == [same[0].files] * len(same)
        values = {
            **same[0].values,
            "key_id": KEY_ID,
            "key_json": json.dumps(same[0].values["key"], ensure_ascii=False)[1:-1],
            "known_hosts": f"{same[0].values['known_name']} ssh-ed25519 AAAA",
            "key_access": f"LoadCredential=key:{same[0].values['folder']}/key\nProtectHome=yes",
        }
        assert same[0].files == {name: texts[name].fill(values) for name in FILES}


def ssh_says(config: Path, host: str) -> dict[str, str]:
    """What ssh reads in its configuration, by option."""
    done = subprocess.run(["ssh", "-G", "-F", str(config), host], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs the OpenSSH client")
@settings(max_examples=8)
@given(some=st.lists(tunnels(), min_size=1, max_size=4))
def test_ssh_reads_what_was_meant(every_shell: list[Shell], some: list[Tunnel]) -> None:
    """Host, port, user, forward and remote command of each of the four hosts are the tunnel's."""
    for tunnel, seen in zip(some, rendered(every_shell[0], some)):
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "ssh_config"
            config.write_text(seen.files["ssh_config"], "utf-8")
            read = {host: ssh_says(config, host) for host in ("tunnel", "hold", "release", "bastion")}
            jumps = [ssh_says(config, f"jump-{number}") for number, _ in enumerate(tunnel.jumps, 1)]
            openings = {host: forwards_of(config, host) for host in read}
        for options in read.values():
            assert_connection(options, tunnel, seen.values["folder"])
        for number, (jump, options) in enumerate(zip(tunnel.jumps, jumps), 1):
            assert_hop(options, tunnel, jump, number, seen.values["folder"])
        # Two that ask for any port and are otherwise the same are one to ssh.
        forwards = {(OPTION[each.kind], *written(each)) for each in tunnel.forwards}
        assert {host: sorted(opened) for host, opened in openings.items()} == {
            "tunnel": sorted(forwards),
            "hold": sorted(forwards),
            "release": [],
            "bastion": [],
        }
        for host in ("hold", "release"):
            meant = f"exec sh -c '{one_line(source())}' scitex-ssh {host} {held(tunnel)} {KEY_ID}"
            # Older versions print it before its percents are read.
            assert read[host]["remotecommand"] in (meant, meant.replace("%", "%%"))
        assert "remotecommand" not in read["tunnel"]
        assert "remotecommand" not in read["bastion"]


OPTION = {
    "remote": "remoteforward",
    "socks": "remoteforward",
    "local": "localforward",
    "dynamic": "dynamicforward",
}


def written(forward: Forward) -> list[str]:
    """Where a forward listens and leads to, as ssh -G writes it."""
    target = {"socks": ["[socks]:0"], "dynamic": []}.get(forward.kind, [bracketed(forward.target)])
    return [bracketed(forward.listen), *target]


def bracketed(end: Address | Listen | SocketPath | None) -> str:
    """One end of a forward as ssh -G writes it."""
    return end if isinstance(end, SocketPath) else f"[{end.host}]:{end.port}" if end else ""


def held(tunnel: Tunnel) -> str:
    """What a tunnel holds on the bastion, in its words to it."""
    there = [
        str(each.listen if each.port is None else each.port) for each in tunnel.forwards if each.on_bastion
    ]
    return ",".join(there) or tunnel.name


def forwards_of(config: Path, host: str) -> list[tuple[str, ...]]:
    """The forwards that ssh reads in its configuration."""
    done = subprocess.run(["ssh", "-G", "-F", str(config), host], capture_output=True, text=True)
    lines = (line.split(" ") for line in done.stdout.splitlines())
    found = [tuple(words) for words in lines if words[0] in OPTION.values()]
    # Of a local forward to a socket, ssh -G also says that it is a dynamic one.
    sockets = {words[1] for words in found if words[0] == "localforward" and words[2].startswith("/")}
    return [words for words in found if words[0] != "dynamicforward" or words[1] not in sockets]


def assert_hop(options: dict[str, str], tunnel: Tunnel, jump: Destination, number: int, folder: str) -> None:
    """What one host on the way is to ssh: reached over those before it, by pinned keys only."""
    before = dataclasses.replace(tunnel, jumps=tunnel.jumps[: number - 1], jump_keys=())
    expected = {
        "hostname": jump.host,
        "port": str(jump.port),
        "user": jump.user or str(tunnel.user),
        "identityfile": f"{folder}/key-{number}",
        "userknownhostsfile": f"{folder}/known_hosts",
        "globalknownhostsfile": "/dev/null",
        "connecttimeout": str(tunnel.keepalive.connect_timeout * number),
        "proxycommand": through(before, folder),
        "stricthostkeychecking": "true",
        "identitiesonly": "yes",
        "batchmode": "yes",
    }
    assert {name: options.get(name) for name in expected} == expected


def assert_connection(options: dict[str, str], tunnel: Tunnel, folder: str) -> None:
    """What is the same for every connection of a tunnel."""
    keepalive: Keepalive = tunnel.keepalive
    expected = {
        "hostname": tunnel.bastion.host,
        "port": str(tunnel.bastion.port),
        "user": login(tunnel),
        "identityfile": f"{folder}/key",
        "userknownhostsfile": f"{folder}/known_hosts",
        "globalknownhostsfile": "/dev/null",
        "serveraliveinterval": str(keepalive.interval),
        "serveralivecountmax": str(keepalive.count),
        # That of each host on the way, one after the other.
        "connecttimeout": str(keepalive.connect_timeout * (len(tunnel.jumps) + 1)),
        "proxycommand": through(tunnel, folder),
        "stricthostkeychecking": "true",
        "batchmode": "yes",
        "identitiesonly": "yes",
        "controlmaster": "false",
        "forwardagent": "no",
        "permitlocalcommand": "no",
    }
    assert {name: options.get(name) for name in expected} == expected
    assert {"proxyjump", "localcommand", "controlpath"} & set(options) == set()


def through(tunnel: Tunnel, folder: str) -> str | None:
    """The program that brings ssh to the bastion, where it does not go by itself."""
    if tunnel.jumps:
        return f"ssh -F {folder}/ssh_config -W '[%h]:%p' jump-{len(tunnel.jumps)}"
    if tunnel.proxy:
        kind = "connect" if tunnel.proxy.kind == "http" else "5"
        return f"nc -X {kind} -x '{tunnel.proxy.address}' %h %p"
    return None


@settings(max_examples=8)
@given(some=SOME)
def test_the_description_reads_as_json(shell: Shell, some: list[Tunnel]) -> None:
    """tunnel.json is JSON, and says the tunnel."""
    for tunnel, seen in zip(some, rendered(shell, some)):
        assert json.loads(seen.files["description"]) == {
            "version": 1,
            "name": tunnel.name,
            "bastion": str(Destination(tunnel.bastion.address, login(tunnel))),
            "forwards": [
                {"kind": each.kind, "listen": str(each.listen), "target": str(each.target or "")}
                for each in tunnel.forwards
            ],
            "key": meant_key(tunnel),
            "jumps": [
                {"user": each.user or tunnel.user, "host": each.host, "port": each.port, "key": key}
                for each, key in zip(tunnel.jumps, jump_keys(tunnel))
            ],
            "proxy": str(tunnel.proxy or ""),
            "user": tunnel.user,
            "keeper": "systemd",
            "engine": tunnel.engine,
            "keepalive": str(tunnel.keepalive),
            "on_up": tunnel.on_up or "",
            "on_down": tunnel.on_down or "",
        }


def systemd_says(unit: str, name: str = "autossh-tunnel-2222.service") -> str:
    """What systemd objects to in a unit. It exits with 0 on a misspelt key: only its words tell."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(unit, "utf-8")
        command = ["systemd-analyze", "verify", "--man=no", str(path)]
        return subprocess.run(command, capture_output=True, text=True).stderr


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


@needs_systemd
@settings(max_examples=8)
@given(tunnel=tunnels(user=st.sampled_from(["root", "lab", "a-b_c"])))
def test_systemd_objects_to_nothing(every_shell: list[Shell], tunnel: Tunnel) -> None:
    """The unit of any tunnel verifies without a word."""
    (seen,) = rendered(every_shell[0], [tunnel])
    assert systemd_says(seen.files["unit"], Path(seen.values["unit_file"]).name) == ""


@needs_systemd
@pytest.mark.parametrize(
    ("right", "wrong"),
    [("RestartSec=", "RestartSecs="), ("Restart=always", "Restart=ever"), ("/bin/sh", "/bin/no-sh")],
)
def test_systemd_would_object(every_shell: list[Shell], right: str, wrong: str) -> None:
    """The check above sees a misspelt key, a wrong value and a missing program."""
    (seen,) = rendered(every_shell[0], [Tunnel.of(2222, "u@gw", "/k", user="root")])
    assert right in seen.files["unit"]
    assert systemd_says(seen.files["unit"].replace(right, wrong)) != ""


@settings(max_examples=6)
@given(one=tunnels(), other=tunnels())
def test_nothing_of_the_user_reaches_the_unit(every_shell: list[Shell], one: Tunnel, other: Tunnel) -> None:
    """Two tunnels' units differ in number and account only: the rest is in the folder's ssh_config."""
    seen = rendered(every_shell[0], [one, other])
    texts = [
        each.files["unit"].replace(f"User={tunnel.user}\n", "User=U\n").replace(tunnel.name, "N")
        for tunnel, each in zip((one, other), seen)
    ]
    assert texts[0] == texts[1]


@settings(max_examples=6)
@given(tunnel=tunnels())
def test_what_is_written_down_is_what_status_reads(shell: Shell, tunnel: Tunnel) -> None:
    """The header of ssh_config gives back, to the sed that reads it, each value as it was."""
    (seen,) = rendered(shell, [tunnel])
    header = dict(
        line[2:].partition(": ")[::2]
        for line in seen.files["ssh_config"].splitlines()
        if line.startswith("# ")
    )
    names = ("bastion", "key", "user", "keeper", "engine", "keepalive")
    assert {name: header[name] for name in names} == {name: seen.values[name] for name in names}
    hooks = {"on_up": tunnel.on_up, "on_down": tunnel.on_down}
    assert {name: header.get(name) for name in hooks} == hooks
