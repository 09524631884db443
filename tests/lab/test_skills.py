"""Every command that a guide shows, run on hosts that are called what the guide calls them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from scitex_ssh import skills
from tests.docs.pages import Block, found_blocks
from tests.gateway.test_lab import equip

from .tunnels import cli, done, inventory, pyinfra
from .world import World

pytestmark = pytest.mark.suites("bookworm")


@pytest.mark.parametrize("name", [each.name for each in skills.skills()])
def test_a_guide_does_what_it_says(desk: World, name: str, tmp_path: Path) -> None:
    """Each block ends with 0, or with a status that the guide names."""
    if name == "gateway" and sys.version_info[:2] != (3, 11):
        pytest.skip("the bastion's Python, whose wheels it gets, is 3.11")
    prepare(desk, name, tmp_path)
    ran = 0
    for block in found_blocks(skills.skill(name).text):
        if block.language == "sh":
            follow(desk, block, tmp_path)
            ran += 1
    assert ran


def prepare(world: World, name: str, folder: Path) -> None:
    """What the guide takes for granted."""
    world.workstation.sh("rm -rf in out space ~/.ssh/guide_key* tunnel.tar.gz", user="alice")
    if name == "setup-tunnel":
        known = "".join(f"workstation {key}\n" for key in world.workstation.host_keys())
        script = f"ssh-keygen -R workstation >/dev/null 2>&1; printf %s '{known}' >>.ssh/known_hosts"
        world.client.sh(script, user="carol")
    if name == "diagnose-tunnel":
        done(cli(world, "setup", "-p", "2222", "-b", "tunnel@bastion", "-s", "~/.ssh/id_ed25519"))
    if name == "forward-database":
        world.workstation.sh("systemd-run --quiet --unit database --collect python3 -m http.server 5432")
    if name == "gateway":
        equip(world, folder)
        settings = "SSH_USER=gwtunnel\nSERVER_HOST=0.0.0.0\nSSH_PUBLIC_HOST=bastion\n"
        world.bastion.write("/etc/scitex-ssh/gateway.env", settings, mode="640")
        command = '#!/bin/sh\nexec python3 -m scitex_ssh "$@"\n'
        world.bastion.write("/usr/local/bin/scitex-ssh", command, mode="755")


def follow(world: World, block: Block, folder: Path) -> None:
    """Run a block as the guide says: where, and what its last command may end with."""
    where, _, status = block.directive.partition("exit: ")
    where = where.removeprefix("run: ").strip() or "alice@workstation"
    if where == "pyinfra":
        tunnels = [{"port": 2201, "bastion": "tunnel@bastion", "key": "~/.ssh/id_ed25519"}]
        path = inventory(world, tunnels)
        for line in block.text.splitlines():
            said = pyinfra(world, *(path if word == "inventory.py" else word for word in line.split()[1:]))
            assert said.status == 0, f"{line}\n{said.stdout}{said.stderr}"
        return
    user, _, place = where.partition("@")
    host = {each.name: each for each in world.hosts}[place]
    if "--token-file" in block.text:
        token = world.bastion.read("/root/token")
        world.workstation.write("/home/alice/token", token, owner="alice:alice", mode="600")
    said = host.sh(f"set -e\n{block.text}", user=user, check=False, timeout=120)
    allowed = [int(each) for each in re.findall(r"\d+", status)] or [0]
    assert said.status in allowed, f"{block.text}{said.stdout}{said.stderr}"
