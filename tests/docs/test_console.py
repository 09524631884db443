"""The console blocks of the README, the tutorial and the how-to pages, run on real hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scitex_ssh.backends.shell import generic_scripts
from tests.lab.hosts import Host
from tests.lab.tunnels import permit
from tests.lab.world import World

from . import pages

WITH_CONSOLE = [
    page
    for page in pages.RUN
    if any(
        call.host
        for block in pages.blocks(page)
        for call in pages.calls(block)
        if block.language == "console"
    )
]


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command as one file, built from this checkout."""
    out = tmp_path_factory.mktemp("pyz") / "scitex-ssh.pyz"
    argv = [sys.executable, str(pages.ROOT / "build/pyz.py"), "--out", str(out)]
    subprocess.run(argv, check=True, capture_output=True)
    return out


@pytest.mark.lab
@pytest.mark.parametrize("world", ["bookworm"], indirect=True, scope="module")
@pytest.mark.parametrize("page", WITH_CONSOLE, ids=pages.name)
def test_the_console_shows_what_is_shown(world: World, pyz: Path, page: Path) -> None:
    """Every command of the page, in order, prints what the page shows below it."""
    furnish(world, pyz)
    # Whoever reads another page has been asked already.
    if page.stem != "policy":
        permit(world.workstation)
    hosts = {host.name: host for host in world.hosts}
    last = 0
    for block in pages.blocks(page):
        if block.directive.startswith("file: "):
            write(hosts, block)
        if block.language != "console":
            continue
        for call in pages.calls(block):
            if not call.host:
                continue
            # Each in a login of its own: what the last one ended with is handed on.
            script = f"exec 2>&1\n(exit {last})\n{call.command}"
            done = hosts[call.host].sh(script, user=call.user, check=False, timeout=120)
            last = done.status
            assert pages.matches(call.output, done.stdout), f"$ {call.command}\n{done.stdout}"


def furnish(world: World, pyz: Path) -> None:
    """The hosts as a page finds them: the files are there, no tunnel is, and the key is unrestricted."""
    workstation, bastion, client = world.hosts
    workstation.sh(
        """
        for unit in /etc/systemd/system/autossh-tunnel-*.service; do
            [ -e "$unit" ] && systemctl disable -q --now "$(basename "$unit")"
        done
        rm -rf /etc/scitex-ssh /etc/systemd/system/autossh-tunnel-*
        systemctl daemon-reload
        rm -rf /home/alice/.ssh/tunnel_key* /home/alice/.scitex /root/.scitex
        """
    )
    bastion.sh("pkill -u tunnel sshd; rm -rf /home/tunnel/.cache", check=False)
    key = workstation.read("/home/alice/.ssh/id_ed25519.pub").strip()
    bastion.write("/home/tunnel/.ssh/authorized_keys", f"{key}\n", mode="600", owner="tunnel:tunnel")
    workstation.write("/root/scitex-ssh.pyz", pyz.read_bytes(), mode="755")
    workstation.write("/home/alice/scitex-ssh.pyz", pyz.read_bytes(), mode="755", owner="alice:alice")
    for name, text in generic_scripts().items():
        workstation.write(f"/home/alice/{name}", text, mode="755", owner="alice:alice")
    known = "".join(f"workstation {each}\n" for each in workstation.host_keys())
    client.sh(
        f"ssh-keygen -R workstation >/dev/null 2>&1; printf %s '{known}' >>.ssh/known_hosts", user="carol"
    )


def write(hosts: dict[str, Host], block: pages.Block) -> None:
    """Put a block into the file that the comment before it names."""
    match = re.fullmatch(r"file: (\w+)@(\w+) (\S+)", block.directive)
    assert match, block.directive
    user, host, path = match.groups()
    path = path.replace("~", f"/home/{user}")
    hosts[host].write(path, block.text, owner=f"{user}:{user}", mode="644" if user == "root" else "600")
