"""One machine as the kernel sees it: an overlay over a tree, booted in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .cgroup import Cgroup, group_of
from .command import run

# Tells PID 1 to power the machine off (systemd(1), SIGRTMIN+4).
POWEROFF_SIGNAL = signal.SIGRTMIN + 4

NSPAWN = (
    "systemd-nspawn",
    "--quiet",
    # The lab may run where no systemd is PID 1, so there is nothing to register with.
    "--register=no",
    "--keep-unit",
    "--settings=no",
    "--link-journal=no",
    "--resolv-conf=off",
    "--timezone=off",
    "--console=pipe",
)


# The tree below is shared and never written; a lock on it would outlive a killed machine.
NO_LOCK = {"SYSTEMD_NSPAWN_LOCK": "0"}


class BootFailed(RuntimeError):
    """A machine did not come up, or went down while it was expected to stay."""


class Container:
    """A disposable machine: its files, its processes and nothing of its network."""

    def __init__(
        self, folder: Path, layers: Sequence[Path], machine: str, cgroup: Cgroup, init: Sequence[str] = ()
    ) -> None:
        """Prepare one: ``layers`` are what it lies on, the uppermost first; ``init`` is its PID 1 unless that
        is systemd."""
        self.folder = folder
        self.layers = layers
        self.init = init
        self.machine = machine
        self.cgroup = cgroup
        self.root = folder / "root"
        self.console = folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid1 = 0

    def mount(self) -> None:
        """Lay an empty, writable layer over the tree."""
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(parents=True)
        below = ":".join(map(str, self.layers))
        layers = f"lowerdir={below},upperdir={self.folder}/upper,workdir={self.folder}/work"
        # 'volatile' syncs nothing: no file here outlives the machine that runs the lab.
        run("mount", "-t", "overlay", "overlay", "-o", f"{layers},volatile", str(self.root))

    @property
    def running(self) -> bool:
        """Whether the machine is on."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid1(self) -> int:
        """The machine's PID 1, as numbered outside."""
        if not self.running or not self._pid1:
            raise BootFailed(f"{self.machine} is not up.")
        return self._pid1

    def enter(self) -> list[str]:
        """Return the words that, before a command, make it run in the machine."""
        if not self.running:
            return ["chroot", str(self.root)]
        # The group of PID 1: systemd has no dealings with a process from outside its own groups.
        group = group_of(self.pid1)
        return [*group.entry(), "nsenter", "--all", "--target", str(self.pid1), "--"]

    def start(self, namespace: str, hostname: str, timeout: float = 20) -> None:
        """Switch the machine on, inside a network namespace."""
        self.cgroup.create()
        options = [
            f"--directory={self.root}",
            f"--machine={self.machine}",
            f"--hostname={hostname}",
            f"--network-namespace-path=/run/netns/{namespace}",
        ]
        # systemd 257 as PID 1 refuses the legacy cgroup hierarchy.
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", **NO_LOCK}
        self._pid1 = 0
        with self.console.open("ab") as console:
            words = ["--", *self.init] if self.init else ["--boot"]
            self._process = subprocess.Popen(
                [*self.cgroup.entry(), *NSPAWN, *options, *words],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                start_new_session=True,
            )
        self._pid1 = self._await_pid1(timeout)

    def stop(self, timeout: float) -> None:
        """Switch the machine off in order, by force after the timeout."""
        assert self._process is not None
        if not self.init:
            os.kill(self.pid1, POWEROFF_SIGNAL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End every process of the machine at once."""
        self.cgroup.kill()
        if self._process is not None:
            self._process.wait()
        self.cgroup.remove()

    def remove(self) -> None:
        """Remove the machine's files."""
        if os.path.ismount(self.root):
            run("umount", str(self.root))
        shutil.rmtree(self.folder, ignore_errors=not self.folder.exists())
        remove_traces(self.machine)

    def console_tail(self, lines: int = 30) -> str:
        """Return the last words of the console."""
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _await_pid1(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.running:
            assert self._process is not None
            for child in children(self._process.pid):
                if _is_pid1(child):
                    return child
            time.sleep(0.02)
        raise BootFailed(f"{self.machine} has no PID 1:\n{self.console_tail()}")


def remove_traces(machine: str) -> None:
    """Remove what systemd-nspawn, when killed, leaves of a machine in /run."""
    for kind in ("propagate", "unix-export"):
        path = Path("/run/systemd/nspawn") / kind / machine
        if os.path.ismount(path):
            run("umount", str(path))
        shutil.rmtree(path, ignore_errors=True)


def children(pid: int) -> list[int]:
    """Return the child processes of a process, none when it has gone."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def descendants(pid: int) -> list[int]:
    """Return all processes that a process started, and those they started."""
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def _is_pid1(pid: int) -> bool:
    """Tell whether a process is the first of its namespace and no longer nspawn itself."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    fields = dict(line.split(":", 1) for line in status.splitlines())
    numbers = fields["NSpid"].split()
    # Until it has become the init, its command is nspawn's own.
    mine = fields["Name"].strip() not in ("systemd-nspawn", "(sd-inner)", "(sd-namespace)")
    return len(numbers) > 1 and numbers[-1] == "1" and mine
