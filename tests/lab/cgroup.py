"""Control groups, which hold every process of a host together."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def hierarchies() -> tuple[Path, ...]:
    """Return where cgroup2 is mounted, then systemd's own hierarchy if there is one besides."""
    unified, legacy = [], []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        point = Path(fields.split()[4])
        kind, _, options = source.split()
        if kind == "cgroup2":
            unified.append(point)
        # systemd-nspawn copies the groups of a machine into this one, where no process is in them.
        if kind == "cgroup" and "name=systemd" in options.split(","):
            legacy.append(point)
    if not unified:
        raise RuntimeError("no cgroup2 hierarchy is mounted, and the lab needs one.")
    return (unified[0], *legacy[:1])


def group_of(pid: int) -> Cgroup:
    """Return the cgroup2 group of a process."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    (path,) = (line.removeprefix("0::/") for line in lines if line.startswith("0::"))
    return Cgroup(hierarchies()[0] / path)


class Cgroup:
    """One control group and all groups below it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the group, which may be there already."""
        self.path.mkdir(parents=True, exist_ok=True)

    def entry(self) -> list[str]:
        """Return the words that, before a command, make it start inside the group."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.path / "cgroup.procs")]

    def kill(self, timeout: float = 20) -> None:
        """Kill every process of the group and wait until none is left."""
        if self.path.exists():
            (self.path / "cgroup.kill").write_text("1")
            self._await_event("populated 0", timeout)

    def freeze(self, frozen: bool) -> None:
        """Stop every process of the group where it stands, or let all go on."""
        state = str(int(frozen))
        (self.path / "cgroup.freeze").write_text(state)
        self._await_event(f"frozen {state}", timeout=20)

    def remove(self, timeout: float = 5) -> None:
        """Remove the group with those below, all empty by now."""
        deadline = time.monotonic() + timeout
        while self.path.exists():
            for path in sorted(self.path.rglob("*/"), reverse=True):
                self._rmdir(path)
            self._rmdir(self.path)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} is still in use.")
            time.sleep(0.01)

    @staticmethod
    def _rmdir(path: Path) -> None:
        # A dying process keeps its group busy for a moment: the caller tries again.
        with suppress(OSError):
            path.rmdir()

    def _await_event(self, event: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while event not in (self.path / "cgroup.events").read_text().splitlines():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} did not reach '{event}' in {timeout:g} s.")
            time.sleep(0.01)
