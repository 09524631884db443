"""The commands on_up and on_down: once for each change, by the tunnel's user, and nobody waits for them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scitex_ssh import demo
from scitex_ssh.backends import shell
from scitex_ssh.model import TunnelName
from tests.shell.test_change_of_keeper import NAME, Machine
from tests.shell.test_change_of_keeper import machine as machine  # a fixture


def told(path: Path, *expected: str) -> bool:
    """Wait until the hooks have written exactly these lines."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().split() == list(expected):
            return True
        time.sleep(0.05)
    return False


def cut(machine: Machine) -> None:
    """End the sessions of the bastion's sshd, but not the sshd that takes new ones."""
    (server,) = (each for each in _sshds() if f"{machine.home.parent}/bastion/" in each[1])
    for process, _ in (each for each in _sshds() if _parent(each[0]) == server[0]):
        os.kill(process, 9)


def _sshds() -> list[tuple[int, str]]:
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_text().replace("\0", " ")
        except (OSError, UnicodeDecodeError):
            continue
        if "sshd" in words.split(" ")[0]:
            found.append((int(each.name), words))
    return found


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return 0


HOOK = 'echo "$SCITEX_SSH_STATE-$SCITEX_SSH_TUNNEL-$(id -un)" >>{}'


@pytest.mark.parametrize("engine", ["ssh", "autossh"])
def test_each_change_is_told_once(machine: Machine, engine: str) -> None:
    """Up when the port is had, down and up again at a cut, down at the end; one that hangs delays nothing."""
    log = machine.home / "told"
    hook = HOOK.format(log) + "; sleep 300"
    done = machine.setup("nohup", engine=engine, on_up=hook, on_down=hook)
    assert done.status == 0, done
    up, down = (f"{state}-{NAME}-{demo._me()}" for state in ("up", "down"))
    assert told(log, up)
    # Nothing has changed.
    assert machine.setup("nohup", engine=engine, on_up=hook, on_down=hook).status == 0
    assert told(log, up)
    cut(machine)
    assert told(log, up, down, up)
    gone = machine.run(shell.baked("remove", [TunnelName(NAME)]))
    assert gone.status == 0, gone
    assert told(log, up, down, up, down)


def test_a_trial_is_told_to_nobody(machine: Machine) -> None:
    """A set-up that fails before anything is installed has run no hook."""
    log = machine.home / "told"
    machine.ports = [machine.ports[0], machine.ports[1], machine.ports[1]]
    assert machine.setup("nohup", on_up=HOOK.format(log)).status != 0
    assert not log.exists()


FAILS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("fails", lambda log: f"{HOOK.format(log)}; exit 1"),
    ("is none", lambda log: f"{HOOK.format(log)}; /nonexistent 'quotes' \"$(echo x)\" %h"),
)


@pytest.mark.parametrize(("why", "command"), FAILS, ids=[each[0] for each in FAILS])
def test_a_hook_that_fails_harms_nothing(machine: Machine, why: str, command: Callable[[str], str]) -> None:
    """The tunnel is verified all the same, and the hook's words are in its log."""
    log = machine.home / "told"
    done = machine.setup("nohup", on_up=command(str(log)))
    assert done.status == 0, done
    assert told(log, f"up-{NAME}-{demo._me()}")
