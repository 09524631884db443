"""What is reached by its name alone: git, and an editor that does as VS Code's Remote-SSH does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from scitex_ssh import demo
from scitex_ssh.model import Destination
from scitex_ssh.render.client_config import Machine as Client
from scitex_ssh.render.client_config import Way, config, pins
from tests.shell.shells import Shell
from tests.shell.test_change_of_keeper import Machine

# What is the client's own: how it logs in to the bastion, and with which key.
OWN = """
Host 127.0.0.1
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
Host *
    User {user}
    IdentityFile {key}
    IdentitiesOnly yes
    IdentityAgent none
    BatchMode yes
"""
GIT = """
set -e
ssh lab1 git init -q --bare "$PWD/repo.git"
git clone -q "lab1:$PWD/repo.git" first 2>/dev/null
cd first
echo content >file && git add file && git commit -q -m one && git push -q origin HEAD
cd ..
git clone -q "ssh://lab1$PWD/repo.git" second && cat second/file
"""
# What is piped to the machine: something that starts a server there and tells its port, in those words.
SERVER = """
echo 5b917c1cc638: running
cd {folder}
{python} -um http.server 0 --bind 127.0.0.1 >server.log 2>&1 </dev/null &
echo $! >server.pid
until grep -q ' port ' server.log; do sleep 0.1; done
echo "listeningOn==$(sed 's/.* port \\([0-9]*\\) .*/\\1/;q' server.log)=="
echo 5b917c1cc638: end
wait
"""
# One ssh carries that script, and the SOCKS proxy by which the editor reaches the server.
EDITOR = """
set -e
ssh -G lab1 | grep -xE '(user|hostname|port|hostkeyalias) .*' | sort
cat server.sh | ssh -T -D {socks} -o ConnectTimeout=15 lab1 bash >said &
until grep -q '^listeningOn==' said; do sleep 0.1; done
port=$(sed -n 's/^listeningOn==\\([0-9]*\\)==$/\\1/p' said)
curl -sS --proxy socks5h://127.0.0.1:{socks} "http://127.0.0.1:$port/server.sh" | head -n 2
ssh lab1 "kill $(cat server.pid)"
wait
"""


class Named(Machine):
    """A machine with a tunnel, and a client that calls it lab1."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(Shell.named("dash"), folder, stack)
        made = self.setup("nohup")
        assert made.status == 0, made
        self.folder = folder / "client"
        self.folder.mkdir()
        bastion, _, port = self.ports
        key = " ".join((folder / "target/host_key.pub").read_text().split()[:2])
        ways = (Way(Destination.parse(f"127.0.0.1:{bastion}"), f"localhost:{port}"),)
        client = Client("lab1", demo._me(), (key,), ways)
        own = OWN.format(user=demo._me(), key=self.key)
        (self.folder / "config").write_text(config([client], f"{self.folder}/pins") + own)
        (self.folder / "pins").write_text(pins([client]))
        # ssh reads the files of the account, whatever HOME says.
        ssh = self.bin / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.folder}/config "$@"\n')
        ssh.chmod(0o755)

    def client(self, script: str) -> str:
        """What a script of the client's prints."""
        who = {
            f"GIT_{role}_{what}": "carol" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        env = {**os.environ, **who, "PATH": f"{self.bin}:{os.environ['PATH']}", "LC_ALL": "C"}
        env |= {"HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done
        return done.stdout


@pytest.fixture(scope="module")
def named() -> Iterator[Named]:
    """A client and a machine that are gone with the tests."""
    with ExitStack() as stack:
        yield Named(Path(stack.enter_context(TemporaryDirectory(prefix="named-", dir="/tmp"))), stack)


def needs(*programs: str) -> None:
    """Skip where this machine lacks one."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def test_git_clones_and_pushes(named: Named) -> None:
    """Both ways to write it, there and back."""
    needs("git")
    assert named.client(GIT) == "content\n"


def test_an_editor_reaches_its_server(named: Named) -> None:
    """By one ssh with a script on its input and a SOCKS proxy, and by what ssh -G says."""
    needs("curl")
    script = SERVER.format(folder=named.folder, python=sys.executable)
    (named.folder / "server.sh").write_text(script)
    said = named.client(EDITOR.format(socks=demo._free_ports(6)[-1]))
    assert said.splitlines() == [
        "hostkeyalias lab1",
        "hostname localhost",
        f"port {named.ports[2]}",
        f"user {demo._me()}",
        *script.splitlines()[:2],
    ]
