"""Real login shells with the lines of the keeper profile in their files: one start, and harm to nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from scitex_ssh.backends import shell
from scitex_ssh.model import TunnelName
from tests.shell.shells import Answer, Shell
from tests.shell.test_change_of_keeper import NAME, PROFILE, Machine, _processes

# The files of each that our lines go into, and the one in which a person has something of their own.
FILES = {
    "bash": (".profile", ".bashrc"),
    "zsh": (".zprofile", ".zshrc"),
    # Of somebody whose ~/.zshenv says that zsh's files are elsewhere.
    "zsh elsewhere": ("its/.zprofile", "its/.zshrc"),
    "fish": (f".config/fish/conf.d/scitex-ssh-{NAME}.fish",),
}
OWN = {"bash": ".bashrc", "zsh": ".zshrc", "zsh elsewhere": "its/.zshrc", "fish": ".config/fish/config.fish"}
# What sshd does with a command: it is one word to the login shell. For ssh's own options before the host.
LIKE_SSHD = '#!/bin/sh\nwhile [ "$1" != there ]; do shift; done\nshift\nexec {shell} -c "$*"\n'


class Home(Machine):
    """A machine whose only person has that login shell."""

    def __init__(self, folder: Path, stack: ExitStack, kind: str) -> None:
        super().__init__(Shell.named("dash"), folder, stack)
        self.login_shell = str(shutil.which(kind.split()[0]))
        self.program("getent", f"#!/bin/sh\n/usr/bin/getent \"$@\" | sed 's|[^:]*$|{self.login_shell}|'\n")
        self.program("over", LIKE_SSHD.format(shell=self.login_shell))
        self.own = self.home / OWN[kind]
        self.own.parent.mkdir(parents=True, exist_ok=True)
        self.exported: dict[str, str] = {}
        if kind == "zsh elsewhere":
            (self.home / ".zshenv").write_text("export ZDOTDIR=~/its\n")
            self.exported["ZDOTDIR"] = f"{self.home}/its"
        self.own.write_text("# mine\nalias ll='ls -l'\n")
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ZDOTDIR"))},
            "HOME": str(self.home),
            "TERM": "dumb",
        }

    def run(self, text: str, *flags: str) -> Answer:
        """Run a script of ours from a shell of the person's."""
        env = {"HOME": str(self.home), "TABLE": str(self.table), "SHELL": self.login_shell, **self.exported}
        return self.shell.run(text, *flags, env=env, path=f"{self.bin}:{self.shell.path}")

    def program(self, name: str, text: str) -> None:
        """A program that is found first."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def began(self, *flags: str) -> subprocess.Popen[str]:
        """A shell of the person's, at a terminal of its own."""
        command = " ".join([self.login_shell, *flags])
        return subprocess.Popen(
            ["script", "-qec", command, "/dev/null"],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def said(self, *words: str) -> str:
        """What a command says in all; it must not fail."""
        done = subprocess.run(
            words,
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done
        return done.stdout + done.stderr

    def supervisors(self) -> list[int]:
        """Who keeps the tunnel."""
        return _processes(f"{self.home}/.config/scitex-ssh/tunnels/{NAME}/run")

    def wait(self, count: int) -> None:
        """Wait until there are so many."""
        deadline = time.monotonic() + 30
        while len(self.supervisors()) != count and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(self.supervisors()) == count


@pytest.fixture(params=list(FILES))
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    """A tunnel kept by the logins of somebody with each login shell."""
    needed = request.param.split()[0]
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="login-", dir="/tmp")))
        made = Home(folder, stack, request.param)
        quiet = made.began("-lic", "true").communicate(timeout=60)[0]
        done = made.setup("profile")
        assert (done.status, "Verified" in done.stderr) == (0, True), done
        marked = [path for path in made.home.rglob("*") if path.is_file() and _marked(path)]
        assert sorted(str(path.relative_to(made.home)) for path in marked) == sorted(FILES[request.param])
        made.env["QUIET"] = quiet
        yield made
        gone = made.run(shell.baked("remove", [TunnelName(NAME)]))
        assert gone.status == 0, gone
        assert not [path for path in made.home.rglob("*") if path.is_file() and _marked(path)]
        assert made.own.read_text() == "# mine\nalias ll='ls -l'\n"
        assert (made.home / ".profile").read_text() == PROFILE


def _marked(path: Path) -> bool:
    return b">>> scitex-ssh tunnel" in path.read_bytes()


def test_of_twenty_logins_at_once_one_starts_it(home: Home) -> None:
    """Those of a person alone, and none of them says a word of it."""
    (first,) = home.supervisors()
    os.kill(first, 15)
    home.wait(0)
    # A terminal within a login, and a shell within that.
    logins = [home.began("-lic" if number % 2 else "-ic", "true") for number in range(20)]
    assert {login.communicate(timeout=60)[0] for login in logins} == {home.env["QUIET"]}
    home.wait(1)
    status = home.run(shell.generic_program(), "status")
    for _ in range(50):
        if status.status == 0:
            break
        time.sleep(0.2)
        status = home.run(shell.generic_program(), "status")
    assert (status.status, "verified" in status.stdout) == (0, True), status
    assert len(home.supervisors()) == 1


def test_what_is_no_person_starts_nothing_and_hears_nothing(home: Home) -> None:
    """Commands, scp and rsync, as sshd hands them to the login shell; and a login waits for nothing."""
    start = home.home / f".config/scitex-ssh/tunnels/{NAME}/start"
    text = start.read_text()
    start.write_text(f"#!/bin/sh\necho loud\necho $$ >>{home.home}/called\nexec sleep 20\n")
    over = str(home.bin / "over")
    source = home.home.parent / "source"
    source.write_text("content\n")
    assert home.said(over, "there", "echo", "said") == "said\n"
    # The protocol of old, which any word that is said breaks.
    assert home.said("scp", "-qOS", over, str(source), "there:copied") == ""
    assert home.said("rsync", "-e", over, str(source), "there:synced") == ""
    assert [(home.home / name).read_text() for name in ("copied", "synced")] == ["content\n"] * 2
    assert not (home.home / "called").exists()
    began = time.monotonic()
    assert home.began("-lic", "true").communicate(timeout=60)[0] == home.env["QUIET"]
    assert time.monotonic() - began < 15
    deadline = time.monotonic() + 10
    while not (home.home / "called").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in (home.home / "called").read_text().split():
        os.kill(int(pid), 9)
    start.write_text(text)
