"""Commands run on the machine that holds the lab."""

from __future__ import annotations

import shlex
import subprocess


class CommandFailed(RuntimeError):
    """A command of the lab itself ended with an error."""

    def __init__(self, argv: tuple[str, ...], status: int, output: str) -> None:
        self.argv = argv
        self.status = status
        self.output = output
        super().__init__(f"{shlex.join(argv)} ended with {status}:\n{output}")


def run(*argv: str, input: str = "") -> str:
    """Run a command, return its standard output, raise CommandFailed when it fails."""
    done = subprocess.run(argv, input=input, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stdout + done.stderr)
    return done.stdout
