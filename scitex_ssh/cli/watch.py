"""`status --watch`: the tunnels of this machine, looked at again and again."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scitex_ssh.api import Result
from scitex_ssh.cli import present
from scitex_ssh.errors import Exit

ENTER = "\x1b[?1049h\x1b[?25l"
LEAVE = "\x1b[?25h\x1b[?1049l"


def watch(look: Callable[[], Result], every: float, as_json: bool) -> int:
    """Show what each look sees until interrupted; returns the exit status of the last one.

    On a terminal the table stays where it is, on a screen of its own that goes at the end. Elsewhere
    it is printed when it has changed; as JSON, each look is an object on a line of its own.
    """
    live = sys.stdout.isatty() and not as_json
    status = int(Exit.DONE)
    shown = ""
    # A word to end is one like Ctrl-C: the terminal has to be left as it was.
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _screen(live):
            while True:
                result = look()
                if result.status == Exit.INTERRUPTED:
                    return status
                status = result.status
                shown = _show(result, as_json, live, shown)
                time.sleep(every)
    except KeyboardInterrupt:
        return status
    finally:
        signal.signal(signal.SIGTERM, former)


def _show(result: Result, as_json: bool, live: bool, shown: str) -> str:
    if as_json:
        body = {"version": present.VERSION, "command": "status", **result.as_dict()}
        print(json.dumps(body, ensure_ascii=False), flush=True)
        return ""
    lines = list(_lines(result))
    if live:
        columns, rows = shutil.get_terminal_size()
        page = [f"{time.strftime('%H:%M:%S')}  scitex-ssh status; Ctrl-C ends it", "", *lines]
        # Home, each line cleared to its end, and what was below it.
        text = "\x1b[K\r\n".join(_cut(line, columns) for line in page[: rows - 1])
        sys.stdout.write(f"\x1b[H{text}\x1b[K\x1b[J")
        sys.stdout.flush()
        return ""
    # Without what changes by itself from second to second.
    essence = "\n".join(
        f"{one.tunnel} {one.level} {one.facts.get('cause')}" for one in result.report.observations
    )
    if essence != shown or result.report.errors:
        print("\n".join([time.strftime("%Y-%m-%d %H:%M:%S"), *lines]), flush=True)
    return essence


def _lines(result: Result) -> Iterator[str]:
    for problem in result.report.errors:
        yield from f"scitex-ssh: {problem}".split("\n")
    if not result.report.errors:
        yield from present.rows(result.report.observations)


def _cut(line: str, columns: int) -> str:
    """The beginning of a line that fits; colours take no room."""
    kept, room, position = "", columns, 0
    while position < len(line) and room > 0:
        if line[position] == "\x1b":
            end = line.index("m", position) + 1
            kept, position = kept + line[position:end], end
            continue
        kept, room, position = kept + line[position], room - 1, position + 1
    return kept + ("\x1b[0m" if "\x1b" in kept else "")


@contextmanager
def _screen(live: bool) -> Iterator[None]:
    """The terminal's other screen meanwhile, and the terminal as it was afterwards, whatever happens."""
    if not live:
        yield
        return
    sys.stdout.write(ENTER)
    sys.stdout.flush()
    try:
        yield
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
