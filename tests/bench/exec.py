"""What does a command on another machine cost? Beside plain ssh, in one run, as ratios.

    build/dev bench exec [--runs N] [--delay MS] [--json FILE]

An sshd of its own on loopback plays the other machine. With --delay (root, and tc of iproute2) each packet
takes so long each way, in a network namespace made for it. The unit is `ssh HOST true` with a connection of
its own; milliseconds are of this machine, ratios can be compared.

The promise is about the second call over one connection: at most 30 ms more than the round trip of a command
over a connection that stands, which is what plain ssh takes for its second one. The command line is measured
by the same, once what it takes to start Python is taken off: that is what its --dry-run takes. The runs take
turns, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import scitex_ssh  # noqa: E402  # found by the line above
from scitex_ssh.remote import multiplex  # noqa: E402
from scitex_ssh.remote.way import Way  # noqa: E402
from tests.remote.there import There, standing  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="runs of each")
    parser.add_argument("--delay", type=float, default=0, metavar="MS", help="for each packet, each way")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if options.delay and "SCITEX_BENCH_APART" not in os.environ:
        return apart(options.delay)
    with ExitStack() as stack:
        there = stack.enter_context(standing())
        os.environ["XDG_RUNTIME_DIR"] = str(there.folder)
        # As `scitex-ssh policy allow exec` leaves it: whoever uses this every day has a file that is read.
        os.environ["SCITEX_SSH_CONFIG"] = str(there.folder / "config.yaml")
        (there.folder / "config.yaml").write_text("default:\n  exec: allow\n")
        cases = prepare(there, stack)
        measured = timed(cases, options.runs)
    unit = statistics.median(measured["ssh"])
    rows = [
        {
            "what": title,
            "ms": round(statistics.median(taken) * 1000, 1),
            "worst_ms": round(max(taken) * 1000, 1),
            "ratio": round(statistics.median(taken) / unit, 2),
        }
        for title, taken in measured.items()
    ]
    print(table(rows, options))
    extra = more(measured, "exec_remote, second, --multiplex")
    command = more(measured, "scitex-ssh exec --multiplex, second", "scitex-ssh exec --dry-run")
    print(
        f"\nMore than a round trip (plain ssh's second), median of differences: exec_remote's second "
        f"{extra:.1f} ms; scitex-ssh exec's second {command:.1f} ms, its start taken off. Aim: 30 ms."
    )
    if options.json:
        machine = {"machine": platform.platform(), "runs": options.runs, "delay_ms": options.delay}
        options.json.write_text(
            json.dumps({**machine, "rows": rows, "extra_ms": extra, "command_ms": command}, indent=2) + "\n"
        )
    return 0


def more(measured: dict[str, list[float]], title: str, start: str = "") -> float:
    """What a call takes beyond a round trip, in milliseconds: the median over the runs, turn by turn."""
    starts = measured[start] if start else [0.0] * len(measured[title])
    turns = zip(measured[title], starts, measured["ssh, second, ControlMaster"])
    return 1000 * statistics.median(taken - begun - trip for taken, begun, trip in turns)


def apart(delay: float) -> int:
    """The same in a network namespace of its own, whose loopback is slow."""
    slow = f'ip link set lo up && tc qdisc add dev lo root netem delay {delay}ms && exec "$@"'
    argv = ["unshare", "--net", "sh", "-c", slow, "sh", sys.executable, *sys.argv]
    return subprocess.run(argv, env={**os.environ, "SCITEX_BENCH_APART": "1"}).returncode


def prepare(there: There, stack: ExitStack) -> dict[str, Callable[[], object]]:
    """What is to be timed, by its title; the shared connections stand already."""
    # What the configuration has for a person's one session is not for a measurement.
    plain = ["ssh", *there.opts, "-o", "ClearAllForwardings=yes", "-o", "RequestTTY=no"]
    alone = [*plain, "-o", "ControlPath=none", "there", "true"]
    shared = [*plain, "-o", f"ControlPath={there.folder}/plain", "-o", "ControlPersist=yes", "there", "true"]
    run(shared)
    stack.callback(run, [*shared[:-2], "-O", "exit", "there"])
    multiplex.shared(Way.of("there", there.opts))
    stack.callback(multiplex.close, Way.of("there", there.opts))
    return {
        "ssh": lambda: run(alone),
        "ssh, second, ControlMaster": lambda: run(shared),
        "exec_remote": lambda: call(there, False),
        "exec_remote, second, --multiplex": lambda: call(there, True),
        "scitex-ssh exec --dry-run": lambda: run(there.argv("exec", "--dry-run", "there", "true")),
        "scitex-ssh exec": lambda: run(there.argv("exec", "there", "true")),
        "scitex-ssh exec --multiplex, second": lambda: run(
            there.argv("exec", "--multiplex", "there", "true")
        ),
    }


def run(argv: list[str]) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def call(there: There, share: bool) -> None:
    scitex_ssh.exec_remote("there", "true", ssh_opts=there.opts, multiplex=share, check=True)


def timed(cases: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """The seconds of each run of each, taking turns, after one that does not count."""
    taken: dict[str, list[float]] = {title: [] for title in cases}
    for turn in range(runs + 1):
        for title, call in cases.items():
            began = time.perf_counter()
            call()
            if turn:
                taken[title].append(time.perf_counter() - began)
    return taken


def table(rows: list[dict], options: argparse.Namespace) -> str:
    """The rows in Markdown."""
    conditions = f"{options.delay:g} ms each way, {os.cpu_count()} CPUs, median of {options.runs}"
    lines = [
        f"A command on another machine, {conditions}",
        "",
        "| command | ms | worst | times plain ssh |",
        "|---|---:|---:|---:|",
    ]
    return "\n".join(
        lines + [f"| {row['what']} | {row['ms']} | {row['worst_ms']} | {row['ratio']} |" for row in rows]
    )


if __name__ == "__main__":
    raise SystemExit(main())
