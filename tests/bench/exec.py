"""What does a command on another machine cost? Beside plain ssh, in one run, as ratios.

    build/dev bench exec [--runs N] [--delay MS] [--json FILE]

An sshd of its own on loopback plays the other machine. With --delay (root, and tc of iproute2) each packet
takes so long each way, in a network namespace made for it. The unit is `ssh HOST true` with a connection of
its own; milliseconds are of this machine, ratios can be compared.
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
        cases = prepare(there, stack)
        measured = {title: timed(call, options.runs) for title, call in cases.items()}
    unit = measured["ssh"]
    rows = [
        {"what": title, "ms": round(seconds * 1000, 1), "ratio": round(seconds / unit, 2)}
        for title, seconds in measured.items()
    ]
    print(table(rows, options))
    extra = 1000 * (measured["exec_remote, second, --multiplex"] - measured["ssh, second, ControlMaster"])
    print(f"\nThe second exec_remote costs {extra:.1f} ms more than the round trip of plain ssh's second.")
    if options.json:
        machine = {"machine": platform.platform(), "runs": options.runs, "delay_ms": options.delay}
        options.json.write_text(json.dumps({**machine, "rows": rows, "extra_ms": extra}, indent=2) + "\n")
    return 0


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
        "scitex-ssh exec": lambda: run(there.argv("exec", "there", "true")),
        "scitex-ssh exec --multiplex, second": lambda: run(
            there.argv("exec", "--multiplex", "there", "true")
        ),
    }


def run(argv: list[str]) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def call(there: There, share: bool) -> None:
    scitex_ssh.exec_remote("there", "true", ssh_opts=there.opts, multiplex=share, check=True)


def timed(call: Callable[[], object], runs: int) -> float:
    """The median of so many runs, in seconds, after one that does not count."""
    call()
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def table(rows: list[dict], options: argparse.Namespace) -> str:
    """The rows in Markdown."""
    conditions = f"{options.delay:g} ms each way, {os.cpu_count()} CPUs, median of {options.runs}"
    lines = [
        f"A command on another machine, {conditions}",
        "",
        "| command | ms | times plain ssh |",
        "|---|---:|---:|",
    ]
    return "\n".join(lines + [f"| {row['what']} | {row['ms']} | {row['ratio']} |" for row in rows])


if __name__ == "__main__":
    raise SystemExit(main())
