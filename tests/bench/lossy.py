"""Does a bad line end a tunnel that would have gone on? Fifteen minutes of it, on real hosts in the lab.

    build/dev bench lossy [--minutes 15] [--copies 3] [--lines A,B] [--keepalive P,Q]

Each line loses and delays each way what its row says, and now and then holds everything up. Counted are the
ends of the tunnel's ssh; its own words for them are shown. Copies are worlds of their own, side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.recover.contenders import UNIT, install_ours  # noqa: E402  # found by the line above
from tests.bench.recover.looking import PORT, answers  # noqa: E402
from tests.lab.faults import SlowLine, slow_line  # noqa: E402
from tests.lab.lab import Lab  # noqa: E402
from tests.lab.priority import take_priority  # noqa: E402
from tests.lab.world import World, inhabited  # noqa: E402


@dataclass(frozen=True)
class Line:
    """A bad line: percent lost and milliseconds of delay, each way, and a stall of so many seconds every so
    many."""

    title: str
    keepalive: str
    loss: float
    delay: float
    stall: float
    every: float


LINES = {
    "satellite": Line("10 % lost and 400 ms each way, stalls of 8 s", "default", 10, 400, 8, 60),
    "awful": Line("20 % lost and 800 ms each way, stalls of 8 s", "default", 20, 800, 8, 60),
    "radio": Line("10 % lost and 400 ms each way, stalls of 60 s", "patient", 10, 400, 60, 150),
    "radio-awful": Line("20 % lost and 800 ms each way, stalls of 60 s", "patient", 20, 800, 60, 150),
}


def suffer(line: Line, minutes: float) -> dict[str, object]:
    """One copy: how often the tunnel's ssh ended, with what words, and whether it stood at the end."""
    with Lab() as lab, inhabited(lab, "bookworm", ("workstation", "bastion")) as world:
        install_ours(keepalive=line.keepalive)(world)
        before = attempts(world)
        with slow_line(world.workstation, loss=line.loss, delay=line.delay) as bad:
            stalls = last(bad, line, minutes)
            ends = attempts(world) - before
        words = re.findall(
            r"Timeout, server .*|.*[Cc]onnection .*|no login.*", world.workstation.journal(UNIT)
        )
        return {"ends": ends, "stalls": stalls, "words": words, "stands": answers(world, 60) is not None}


def last(bad: SlowLine, line: Line, minutes: float) -> int:
    """Let a line be bad for so long; return how often it was held up."""
    end = time.monotonic() + 60 * minutes
    stalls = 0
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(line.every, left))
        if end - time.monotonic() > line.stall:
            bad.stall(line.stall)
            stalls += 1
    return stalls


def attempts(world: World) -> int:
    """How many connections the supervisor has begun."""
    state = world.workstation.sh(f"sed -n 's/^attempts //p' /run/scitex-ssh/{PORT}/state")
    return int(state.stdout)


def main() -> int:
    """Play what the command line asks for, all at once."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="bench lossy", description=__doc__, formatter_class=form)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--lines", default=",".join(LINES), metavar="A,B", help=f"of {','.join(LINES)}")
    parser.add_argument("--keepalive", metavar="PROFILE", help="instead of what the line is usually met with")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root: the lab boots real hosts")
    take_priority()
    print(f"{options.copies} copies of {options.minutes:g} minutes each.\n")
    print("| line | profile | stalls in a copy | ends of the tunnel in each copy |\n|---|---|---|---|")
    results = {}
    chosen = [LINES[name] for name in options.lines.split(",")]
    if options.keepalive:
        chosen = [Line(c.title, options.keepalive, c.loss, c.delay, c.stall, c.every) for c in chosen]
    with ThreadPoolExecutor(max_workers=len(chosen) * options.copies) as pool:
        futures = {
            line.title + line.keepalive: [
                pool.submit(suffer, line, options.minutes) for _ in range(options.copies)
            ]
            for line in chosen
        }
        for line in chosen:
            copies = [future.result() for future in futures[line.title + line.keepalive]]
            results[f"{line.title}, {line.keepalive}"] = copies
            ends = ", ".join(f"{copy['ends']}" for copy in copies)
            print(f"| {line.title} | `{line.keepalive}` | {copies[0]['stalls']} | {ends} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
