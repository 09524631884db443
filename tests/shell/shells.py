"""The POSIX shells of this machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from scitex_ssh.backends.shell import generic_program

_COMMANDS = {"dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}
NAMES = tuple(_COMMANDS)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing(name: str) -> bool:
    """True where this machine does not have that shell."""
    return shutil.which(_COMMANDS[name][0]) is None


def busybox_applets(folder: Path) -> Path:
    """``folder``, with a link for every command of busybox."""
    busybox = shutil.which("busybox")
    if busybox:
        listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        for name in listed.stdout.split():
            (folder / name).symlink_to(busybox)
    return folder


class Answer(NamedTuple):
    """What a script printed, and its exit status."""

    stdout: str
    stderr: str
    status: int


class Shell(NamedTuple):
    """One shell, and the commands it finds: busybox finds its own ones first."""

    name: str
    command: tuple[str, ...]
    path: str

    @classmethod
    def named(cls, name: str, applets: Path | None = None) -> Shell:
        """The shell of that name (`NAMES`)."""
        return cls(name, _COMMANDS[name], f"{applets}:{PATH}" if applets else PATH)

    def run(
        self,
        script: str,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        path: str | None = None,
        user: int | None = None,
        timeout: float = 300,
    ) -> Answer:
        """Run a script (bytes that are no UTF-8 stand in it as Python's surrogates)."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            file = Path(folder) / "script"
            file.write_bytes(script.encode("utf-8", "surrogateescape"))
            done = subprocess.run(
                [shutil.which(self.command[0]) or "", *self.command[1:], str(file), *arguments],
                cwd=cwd,
                env={"PATH": path or self.path, "HOME": "/nonexistent", **(env or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=timeout,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        return Answer(done.stdout, done.stderr, done.returncode)


def prelude() -> str:
    """All functions of the emitted program, without the command that starts it."""
    functions, start, _ = generic_program().rpartition("\nbegin\n{ ")
    assert start, "the program ends in its only command"
    return functions + "\nexit_status=0 machine=0 work='' me=$(id -un)\n"
