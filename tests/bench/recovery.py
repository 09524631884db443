"""How long is the port gone after a fault? Played on real hosts in the lab, beside our peers.

    build/dev bench recovery [--quick] [--runs N] [--faults A,B] [--suites S,T] [--worlds N] [--peers]

A run is: the tunnel stands, a fault happens and ends, and from its end (or from what the row says) the
seconds are counted until port 2222 of the bastion answers there with the host key of the workstation.
"never" is not within --give-up seconds. Times of different machines do not compare; rows of one run do.

Runs mostly wait, so many worlds (a workstation and a bastion each) play side by side, and take turns for what
is work. All of it is run before whatever else this machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.recover.contenders import OURS, PEERS  # noqa: E402  # found by the line above
from tests.bench.recover.played import FAULTS  # noqa: E402
from tests.bench.recover.report import markdown, row  # noqa: E402
from tests.bench.recover.troupe import Part, Troupe  # noqa: E402
from tests.lab.priority import take_priority  # noqa: E402
from tests.lab.trees import SUITES, tree  # noqa: E402

KNOWN = {contender.name: contender for contender in (*OURS, *PEERS)}


def flags() -> argparse.Namespace:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="bench recovery", description=__doc__, formatter_class=form)
    names = ",".join(FAULTS)
    parser.add_argument("--runs", type=int, metavar="N", help="runs of each fault (10; quick: 1)")
    parser.add_argument("--faults", default=names, metavar="A,B", help=f"of {names}")
    parser.add_argument("--suites", default="bookworm", metavar="S,T", help=f"of {','.join(SUITES)}")
    parser.add_argument("--contenders", metavar="A,B", help=f"of {','.join(KNOWN)} (scitex-ssh)")
    parser.add_argument("--peers", action="store_true", help="our peers too")
    parser.add_argument("--quick", action="store_true", help="short outages, one run")
    parser.add_argument("--worlds", type=int, default=1, metavar="N", help="worlds at the same time (1)")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="of them at work at a time (3)")
    parser.add_argument("--give-up", type=float, metavar="SECONDS", help="(200; peers: 90; quick: 60)")
    parser.add_argument("--peer-runs", type=int, metavar="N", help="runs of each fault for a peer (3)")
    settle = "how long the tunnel stands before a fault, up to twice (4; peers: 35; quick: 2)"
    parser.add_argument("--settle", type=float, metavar="SECONDS", help=settle)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument(
        "--from-json", type=Path, metavar="FILE", help="play nothing, print the table of these"
    )
    options = parser.parse_args()
    options.faults = options.faults.split(",")
    options.suites = options.suites.split(",")
    options.runs = options.runs or (1 if options.quick else 10)
    usual = ["scitex-ssh", *(peer.name for peer in PEERS if options.peers)]
    options.contenders = options.contenders.split(",") if options.contenders else usual
    for what, chosen, there in (
        ("fault", options.faults, FAULTS),
        ("contender", options.contenders, KNOWN),
        ("suite", options.suites, SUITES),
    ):
        if unknown := [name for name in chosen if name not in there]:
            parser.error(f"no {what} {', '.join(unknown)}; there are {', '.join(there)}")
    return options


def parts(options: argparse.Namespace) -> list[Part]:
    """What is to be played."""
    made = []
    for name in options.contenders:
        # Keepers such as autossh are slower after a session that was short.
        ours = KNOWN[name] in OURS
        settle = options.settle or (2 if options.quick else 4 if ours else 35)
        give_up = options.give_up or (60 if options.quick else 200 if ours else 90)
        runs = options.runs if ours else min(options.runs, options.peer_runs or 3)
        for suite in options.suites:
            made.append(Part(suite, KNOWN[name], options.faults * runs, settle, give_up))
    return made


def main() -> int:
    """Play what the command line asks for."""
    options = flags()
    if options.from_json:
        print(markdown(json.loads(options.from_json.read_text())))
        return 0
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root: the lab boots real hosts")
    # An end by SIGTERM runs the same way out as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    priority = take_priority()
    for suite in options.suites:
        tree(suite)
    played = parts(options)
    began = time.monotonic()
    troupe = Troupe(played, quick=options.quick, turns=options.turns)
    troupe.play(options.worlds)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    report = {
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs",
        "load": f"{os.getloadavg()[2]:.1f}",
        "priority": priority,
        "commit": commit.stdout.strip() or "unknown",
        "date": time.strftime("%Y-%m-%d"),
        "minutes": round((time.monotonic() - began) / 60),
        "worlds": options.worlds,
        "quick": options.quick,
        "give_up": {part.contender.title: part.give_up for part in played},
        "rows": [row(name, part) for part in played for name in options.faults],
    }
    table = markdown(report)
    print(table)
    if options.markdown:
        options.markdown.write_text(table)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
