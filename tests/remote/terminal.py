"""A terminal with a program in it, for whatever asks a person."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Terminal:
    """A terminal with a program in it."""

    def __init__(self, argv: list[str], rows: int, columns: int) -> None:
        self.said = b""
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            # Until it is told to begin, so that it never sees another size.
            os.read(0, 1)
            # Whoever runs the tests may be deaf to it.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.execvpe(argv[0], argv, {**os.environ, "TERM": "vt100"})
        self.resize(rows, columns)
        self.type("\n")

    def resize(self, rows: int, columns: int) -> None:
        """Give it another size, as a window manager does."""
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.screen, text.encode())

    def expect(self, pattern: str, seconds: float = 30) -> str:
        """Wait for words on the screen; what is behind them is left for the next time."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern.encode(), self.said)):
            ready, _, _ = select.select([self.screen], [], [], max(0, deadline - time.monotonic()))
            try:
                read = os.read(self.screen, 65536) if ready else b""
            except OSError:
                read = b""
            assert read, f"no {pattern!r} in {self.said!r}"
            self.said += read
        self.said = self.said[found.end() :]
        return found[0].decode("utf-8", "replace")

    def end(self) -> int:
        """Wait for the program; its exit status."""
        with_rest = time.monotonic() + 30
        while time.monotonic() < with_rest:
            ready, _, _ = select.select([self.screen], [], [], 0.1)
            try:
                if ready and not os.read(self.screen, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def terminal(*argv: str, rows: int = 24, columns: int = 80) -> Iterator[Terminal]:
    """Give a terminal with a command in it, which does not outlive the block."""
    made = Terminal(list(argv), rows, columns)
    try:
        yield made
    finally:
        try:
            os.kill(made.pid, signal.SIGKILL)
            os.waitpid(made.pid, 0)
        except (ChildProcessError, ProcessLookupError):
            pass
        os.close(made.screen)
