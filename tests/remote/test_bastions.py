"""One host on two bastions: a tunnel to each, of which one stays when the other cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from scitex_ssh import demo
from scitex_ssh.backends import shell
from scitex_ssh.model import Destination, Tunnel
from scitex_ssh.render.client_config import Machine as Client
from scitex_ssh.render.client_config import Way, config, pins
from tests.shell.shells import PATH, Answer, Shell
from tests.shell.test_change_of_keeper import Machine

# Two bastions of one machine have no port in common, so each picks one.
FORWARD = "0:127.0.0.1:{}"


class Pair(Machine):
    """A machine with a second bastion."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(Shell.named("dash"), folder, stack)
        self.second = demo._free_ports(4)[-1]
        self.other = stack.enter_context(ExitStack())
        self.other.enter_context(demo._sshd(demo._find_sshd(), folder / "other", self.second, self.key))
        self.bastions = [f"{demo._me()}@127.0.0.1:{port}" for port in (self.ports[0], self.second)]
        self.flags = [
            *("-R", FORWARD.format(self.ports[1]), "-n", "pair", "-s", str(self.key), "--keeper", "nohup"),
            *("--yes", "--accept-new-host-key", *(f"-b{each}" for each in self.bastions)),
        ]

    def lose(self) -> None:
        """The second bastion is gone, and its session with it."""
        self.other.close()
        (child,) = self.home.glob(".local/state/scitex-ssh/*/pair-2/child")
        os.kill(int(child.read_text().split()[0]), 9)

    def generic(self, word: str, *flags: str) -> Answer:
        """One of the generic scripts."""
        return self.run(shell.generic_scripts()[f"{word}-autossh-service.sh"], *flags)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A machine that is gone with the test."""
    with ExitStack() as stack:
        yield Pair(Path(stack.enter_context(TemporaryDirectory(prefix="pair-", dir="/tmp"))), stack)


def records(pair: Pair) -> dict[str, dict[str, str]]:
    """What status says of each tunnel."""
    said = pair.run(shell.baked("status", []), "--machine").stdout.splitlines()
    lines = [line.split("\t")[1:] for line in said if line.startswith("tunnel\t")]
    return {name: dict(fact.split("=", 1) for fact in facts) for name, *facts in lines}


def levels(pair: Pair) -> dict[str, str]:
    """The level of each tunnel."""
    return {name: facts["level"] for name, facts in records(pair).items()}


def test_a_lost_bastion_takes_only_its_own_tunnel(pair: Pair) -> None:
    """Both stand, and again is nothing to do; without one of them the other is left, and it is said."""
    first = pair.generic("setup", *pair.flags)
    assert (first.status, first.stderr.count("Verified: ")) == (0, 2), first
    again = pair.generic("setup", *pair.flags)
    assert (again.status, again.stdout.count("nothing to do")) == (0, 2), again
    assert levels(pair) == {"pair": "verified", "pair-2": "verified"}
    swapped = pair.generic("setup", *pair.flags[:-2], *reversed(pair.flags[-2:]))
    assert (swapped.status, swapped.stdout.count("nothing to do")) == (0, 2), swapped
    for number, each in enumerate(pair.flags[-2:], 1):
        alone = pair.generic("setup", *pair.flags[:-2], each)
        assert (alone.status, alone.stdout.count("nothing to do")) == (0, 1), (number, alone)
    changed = pair.generic("setup", *pair.flags[:-2], pair.flags[-1], "--keepalive", "fast")
    assert (changed.status, "tunnels/pair-2/" in changed.stdout, "tunnels/pair/" in changed.stdout) == (
        0,
        True,
        False,
    )
    assert levels(pair) == {"pair": "verified", "pair-2": "verified"}
    pair.lose()
    lost = pair.generic("setup", *pair.flags)
    assert lost.status == 20, lost
    assert "tunnel pair-2: 127.0.0.1 " in lost.stderr
    assert "some stand: pair (" in lost.stderr
    assert f"do not: pair-2 ({pair.bastions[1]})" in lost.stderr
    assert "[not-all-stand]" in lost.stderr
    assert levels(pair)["pair"] == "verified"
    port = records(pair)["pair"]["forwards"].split()[1].rpartition(":")[2]
    kept = pair.generic("remove", "-p", port, "-b", "nobody.example")
    assert (kept.status, "no tunnel " + port + " to nobody.example" in kept.stderr) == (1, True), kept
    assert levels(pair)["pair"] == "verified"
    for name in ("pair", "pair-2"):
        assert pair.generic("remove", "-n", name).status == 0
    assert not (pair.home / ".config").exists()


@pytest.mark.parametrize("login_shell", ["sh", "bash"])
def test_a_client_gets_through_by_the_second_way(pair: Pair, login_shell: str) -> None:
    """The shell that ssh starts for it is to "exec" the way, and tries the next one all the same."""
    nobody, target = demo._free_ports(5)[-1], pair.ports[1]
    ways = tuple(
        Way(Destination.parse(f"127.0.0.1:{port}"), f"localhost:{target}") for port in (nobody, pair.second)
    )
    key = " ".join((pair.home.parent / "target/host_key.pub").read_text().split()[:2])
    client = Client("lab1", demo._me(), (key,), ways)
    (pair.home / "config").write_text(config([client], str(pair.home / "pins")))
    (pair.home / "pins").write_text(pins([client]))
    # The ssh on the way reads the client's own configuration, which a test leaves alone.
    way = pair.bin / "ssh"
    options = f"-F none -i {pair.key} -o BatchMode=yes"
    way.write_text(
        f"#!/bin/sh\nexec {shutil.which('ssh')} {options} -o StrictHostKeyChecking=no"
        ' -o UserKnownHostsFile=/dev/null "$@"\n'
    )
    way.chmod(0o755)
    done = subprocess.run(
        [str(shutil.which("ssh")), "-F", pair.home / "config", "-i", pair.key, "lab1", "echo", "in"],
        env={"PATH": f"{pair.bin}:{PATH}", "SHELL": str(shutil.which(login_shell))},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.stdout == "in\n", done.stderr


def test_each_way_to_say_it_says_the_same(pair: Pair) -> None:
    """Flags of the command, of a generic script, and a baked script describe the same two tunnels."""
    forward = FORWARD.format(pair.ports[1])
    listed = [pair.bastions, ",".join(pair.bastions)]
    one, other = (
        Tunnel.one_a_bastion(None, each, str(pair.key), remote=forward, name="pair", keeper="nohup")
        for each in listed
    )
    assert one == other
    assert [(str(each.bastion), each.name) for each in one] == [
        (pair.bastions[0], "pair"),
        (pair.bastions[1], "pair-2"),
    ]
    baked = pair.run(shell.baked("setup", one), "--dry-run", "--accept-new-host-key", "--yes")
    generic = pair.generic("setup", *pair.flags, "--dry-run")
    titles = [line for line in baked.stdout.splitlines() if line.startswith("would-change")]
    assert titles == [line for line in generic.stdout.splitlines() if line.startswith("would-change")]
    assert any("pair-2" in line for line in titles)
    flags = [*pair.flags[:8], "--dry-run", "--yes"]
    script = shell.generic_scripts()["setup-autossh-service.sh"]
    told = f"set -u\nSCITEX_SSH_BASTION_SERVER={listed[1]}\n"
    assert "pair-2" in pair.run(script.replace("set -u\n", told, 1), *flags).stdout
