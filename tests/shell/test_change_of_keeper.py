"""A tunnel that stands is given to another keeper: real ssh, real sshd, and a person's own files."""

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
from scitex_ssh.model import Tunnel, TunnelName
from tests.shell.shells import Answer, Shell
from tests.shell.test_keepers import FAKE_CRONTAB

THEIRS = "# mine\n5 4 * * 0 true\n"
PROFILE = "# my profile\n"
NAME = "keeper-test"


class Machine:
    """A home, a crontab, a bastion and a target, all of them this process's own."""

    def __init__(self, shell: Shell, folder: Path, stack: ExitStack) -> None:
        self.shell, self.home, self.table = shell, folder / "home", folder / "table"
        self.home.mkdir()
        (self.home / ".profile").write_text(PROFILE)
        self.table.write_text(THEIRS)
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "crontab").write_text(FAKE_CRONTAB)
        (self.bin / "crontab").chmod(0o755)
        # cron(8) is known by its name; this one does nothing.
        shutil.copy(shutil.which("dash") or "/bin/sh", self.bin / "cron")
        stack.callback(self._end)
        self.cron = subprocess.Popen([str(self.bin / "cron"), "-c", "sleep 600; :"], start_new_session=True)
        stack.enter_context(demo._privilege_separation())
        self.key = demo._key(folder / "key")
        self.ports = demo._free_ports(3)
        for name, port in zip(("bastion", "target"), self.ports):
            stack.enter_context(demo._sshd(demo._find_sshd(), folder / name, port, self.key))

    def _end(self) -> None:
        """Nothing that was started for the test outlives it."""
        os.killpg(self.cron.pid, 9)
        self.cron.wait()
        for process in _processes(str(self.home)):
            os.kill(process, 9)
        for server in ("tmux", "screen"):
            if shutil.which(server):
                subprocess.run(_QUIT[server], capture_output=True, check=False)

    def setup(self, keeper: str, **more: str) -> Answer:
        """Set the tunnel up with that keeper."""
        bastion = f"{demo._me()}@127.0.0.1:{self.ports[0]}"
        forward = f"{self.ports[2]}:127.0.0.1:{self.ports[1]}"
        tunnel = Tunnel.of(
            None, bastion, str(self.key), remote=[forward], name=NAME, keeper=keeper, user=demo._me(), **more
        )
        return self.run(shell.baked("setup", [tunnel]), "--accept-new-host-key", "--yes")

    def run(self, text: str, *flags: str) -> Answer:
        """Run a script of ours as whoever has this home."""
        env = {"HOME": str(self.home), "TABLE": str(self.table), "SHELL": "/bin/bash"}
        return self.shell.run(text, *flags, env=env, path=f"{self.bin}:{self.shell.path}")

    def seen(self) -> dict[str, object]:
        """What stands in the files of the person, and who runs the tunnel."""
        marks = "scitex-ssh tunnel"
        files = [f for f in self.home.iterdir() if f.is_file() and marks in f.read_text()]
        return {
            "crontab": marks in self.table.read_text(),
            "profile": bool(files),
            "keeper": _word(self.home / f".config/scitex-ssh/tunnels/{NAME}/ssh_config"),
            "supervisors": len(_processes(f"{self.home}/.config/scitex-ssh/tunnels/{NAME}/run")),
        }


_QUIT = {
    "tmux": ["tmux", "-L", f"scitex-ssh-{NAME}", "kill-server"],
    "screen": ["screen", "-S", f"scitex-ssh-{NAME}", "-X", "quit"],
}


def _word(config: Path) -> str:
    (line,) = [each for each in config.read_text().splitlines() if each.startswith("# keeper: ")]
    return line.split()[2]


def _processes(words: str) -> list[int]:
    """The supervisors and what else runs from that path, by their command lines."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            told = (each / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            parent = (each / "stat").read_text().rpartition(") ")[2].split()[1]
        except OSError:
            continue
        # A supervisor's own subshells bear its words, too.
        if any(word.startswith(words) for word in told) and not _same(parent, told):
            found.append(int(each.name))
    return found


def _same(parent: str, told: list[str]) -> bool:
    try:
        return Path(f"/proc/{parent}/cmdline").read_bytes().decode("utf-8", "replace").split("\0") == told
    except OSError:
        return False


@pytest.fixture
def machine(shell: Shell) -> Iterator[Machine]:
    """A machine that is gone with the test."""
    if shell.name != "dash":
        pytest.skip("one shell will do: the steps are tried in all of them")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="keeper-", dir="/tmp")))
        yield Machine(shell, folder, stack)


def keepers(machine: Machine, keeper: str) -> dict[str, object]:
    """What must stand where that keeper has the tunnel: its own lines, one supervisor, nobody else's."""
    return {
        "crontab": keeper == "cron",
        "profile": keeper == "profile",
        "keeper": keeper,
        "supervisors": 1,
    }


def test_every_keeper_takes_the_tunnel_from_every_other(machine: Machine) -> None:
    """Proven, the former's lines and process are gone, the person's own lines are as they were."""
    found = ["cron", "profile", "nohup", *(name for name in _QUIT if shutil.which(name))]
    for keeper in [*found, "profile", "cron"]:
        before = machine.setup(keeper)
        assert before.status == 0, before
        assert "Verified" in before.stderr
        assert machine.seen() == keepers(machine, keeper)
        again = machine.setup(keeper)
        assert (again.status, "changed" in again.stdout) == (0, False), again
    gone = machine.run(shell.baked("remove", [TunnelName(NAME)]))
    assert gone.status == 0, gone
    assert (machine.table.read_text(), (machine.home / ".profile").read_text()) == (THEIRS, PROFILE)
    assert not (machine.home / ".config").exists()


def test_what_cannot_be_proven_gives_it_back(machine: Machine) -> None:
    """The old keeper has the tunnel again, its files are as they were, and it still works."""
    assert machine.setup("cron").status == 0
    table = machine.table.read_text()
    config = machine.home / f".config/scitex-ssh/tunnels/{NAME}"
    files = {path.name: path.read_bytes() for path in config.iterdir() if path.is_file()}
    broken = machine.bin / "screen"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    failed = machine.setup("screen")
    broken.unlink()
    assert (failed.status, "restored" in failed.stdout) == (1, True), failed
    assert "what was there before; its tunnel answers again" in failed.stdout, failed
    assert "[step-failed]" in failed.stderr
    assert machine.table.read_text() == table
    assert {path.name: path.read_bytes() for path in config.iterdir() if path.is_file()} == files
    again = machine.setup("cron")
    assert (again.status, "changed" in again.stdout) == (0, False), again
    assert machine.seen() == keepers(machine, "cron")


# A day later at each call.
DATE = """#!/bin/sh
echo x >>"{calls}"
[ "$*" = +%s ] || exec /bin/date "$@"
echo $(($(/bin/date +%s) + 86400 * $(wc -l <"{calls}")))
"""


def test_a_set_up_waits_by_a_clock_that_nobody_sets(machine: Machine, tmp_path: Path) -> None:
    """It is proven all the same, though each look at the clock of the day is a day later."""
    calls = tmp_path / "calls"
    (machine.bin / "date").write_text(DATE.format(calls=calls))
    (machine.bin / "date").chmod(0o755)
    answer = machine.setup("nohup")
    assert answer.status == 0, answer.stderr
    assert "Verified" in answer.stderr
    assert len(calls.read_text().splitlines()) >= 2


@pytest.fixture
def older(machine: Machine) -> Iterator[str]:
    """The line in the crontab of a tunnel that somebody made by hand, and that runs."""
    bastion, target, port = machine.ports
    line = (
        f"@reboot sleep 0 && ssh -fN -p {bastion} -i '{machine.key}' -oStrictHostKeyChecking=no"
        f" -oUserKnownHostsFile=/dev/null -R {port}:127.0.0.1:{target} {demo._me()}@127.0.0.1 >/dev/null 2>&1"
    )
    machine.table.write_text(f"{THEIRS}{line}\n# last\n")
    subprocess.run(["sh", "-c", line.removeprefix("@reboot ")], check=True, timeout=20)
    yield line
    for process in by_hand(machine):
        os.kill(process, 9)


def by_hand(machine: Machine) -> list[int]:
    """The ssh that the line started."""
    _, target, port = machine.ports
    return _processes(f"{port}:127.0.0.1:{target}")


def test_a_line_of_a_crontab_is_taken_over_in_place(machine: Machine, older: str) -> None:
    """Seen to work, ended, set aside and replaced; the other lines are as they were."""
    seen = machine.run(shell.generic_program(), "status")
    assert (seen.status, "verified" in seen.stdout) == (0, True), seen
    assert "made elsewhere, in crontab of" in seen.stdout
    assert len(by_hand(machine)) == 1
    done = machine.setup("nohup")
    assert done.status == 0, done
    assert "Verified" in done.stderr
    assert by_hand(machine) == []
    assert machine.table.read_text() == f"{THEIRS}# before scitex-ssh: {older}\n# last\n"
    after = machine.run(shell.generic_program(), "status")
    assert (after.status, "made elsewhere" in after.stdout) == (0, False), after
    again = machine.setup("nohup")
    assert (again.status, "changed" in again.stdout) == (0, False), again


def test_a_line_of_a_crontab_comes_back(machine: Machine, older: str) -> None:
    """What takes its place does not start: the line is in the crontab again, and its ssh runs and works."""
    table = machine.table.read_text()
    broken = machine.bin / "screen"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    failed = machine.setup("screen")
    assert (failed.status, "restored" in failed.stdout) == (1, True), failed
    assert "what was there before; its tunnel answers again" in failed.stdout, failed
    assert machine.table.read_text() == table
    assert not (machine.home / ".config").exists()
    for _ in range(100):
        seen = machine.run(shell.generic_program(), "status")
        if "verified" in seen.stdout:
            break
    assert (seen.status, "verified" in seen.stdout) == (0, True), seen
    assert len(by_hand(machine)) == 1


def test_one_that_does_more_is_left_alone(machine: Machine, older: str) -> None:
    """Its other forward would be lost: refused, and its place is named."""
    machine.table.write_text(f"{older} -D 1080\n".replace("-fN", "-fN -D 1080"))
    failed = machine.setup("nohup")
    assert failed.status == 23, failed
    assert "started by crontab of" in failed.stderr
    assert len(by_hand(machine)) == 1


def test_a_line_of_a_login_is_taken_over_in_place(machine: Machine) -> None:
    """Given back where ours does not start; else set aside, in a file that a shell still reads."""
    bastion, target, port = machine.ports
    line = (
        f"    ssh -fN -p {bastion} -i {machine.key} -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null"
        f" -R {port}:127.0.0.1:{target} {demo._me()}@127.0.0.1 >/dev/null 2>&1"
    )
    profile = machine.home / ".profile"
    text = f"{PROFILE}if ! pgrep -f no-such-process >/dev/null; then\n{line}\nfi\n"
    profile.write_text(text)
    subprocess.run(["sh", "-c", line], check=True, timeout=20)
    try:
        seen = machine.run(shell.generic_program(), "status")
        assert (seen.status, f"made elsewhere, in {profile}; answers" in seen.stdout) == (0, True), seen
        broken = machine.bin / "screen"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        failed = machine.setup("screen")
        assert (failed.status, "its tunnel answers again" in failed.stdout) == (1, True), failed
        assert profile.read_text() == text
        done = machine.setup("nohup")
        assert done.status == 0, done
        assert by_hand(machine) == []
        assert profile.read_text() == text.replace(line, f": # before scitex-ssh: {line}")
        subprocess.run(["sh", "-c", f". {profile}"], check=True, timeout=20)
        assert by_hand(machine) == []
        after = machine.run(shell.generic_program(), "status")
        assert (after.status, "made elsewhere" in after.stdout) == (0, False), after
    finally:
        for process in by_hand(machine):
            os.kill(process, 9)
