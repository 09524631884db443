"""How long from `setup` to a verified tunnel? Beside plain ssh handshakes to the same bastion, in the lab.

    build/dev bench setup [--runs N] [--suites bookworm,trixie]

The unit is one `ssh bastion true` of the same host in the same minute, so the ratios can be compared
between machines, and the milliseconds cannot. Aim: a verified tunnel within four handshakes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scitex_ssh.backends.shell import baked  # noqa: E402  # found only once the path is set
from scitex_ssh.model import Tunnel  # noqa: E402
from tests.lab.lab import Lab  # noqa: E402
from tests.lab.trees import SUITES  # noqa: E402
from tests.lab.world import World, inhabited  # noqa: E402

PORT = 2222
KEY = "/home/alice/.ssh/id_ed25519"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="runs of each")
    parser.add_argument("--suites", default=",".join(SUITES), metavar="A,B", help="Debian suites")
    options = parser.parse_args()
    print("| suite | one handshake, ms | setup to verified, ms | handshakes | idle setup | status |")
    print("|---|---:|---:|---:|---:|---:|")
    for suite in options.suites.split(","):
        with Lab() as lab, inhabited(lab, suite) as world:
            print(row(world, options.runs), flush=True)
    return 0


def row(world: World, runs: int) -> str:
    """Medians over the runs of one suite, the last three in handshakes."""
    host = world.workstation
    host.write("/home/alice/setup.sh", baked("setup", [Tunnel.of(PORT, "tunnel@bastion", KEY)]))
    host.write("/home/alice/status.sh", baked("status", []))
    host.write("/home/alice/remove.sh", baked("remove", [Tunnel.of(PORT, "tunnel@bastion", KEY)]))
    times: dict[str, list[float]] = {"handshake": [], "setup": [], "idle": [], "status": []}
    for _ in range(runs):
        times["handshake"].append(seconds(lambda: host.sh("ssh tunnel@bastion true", user="alice")))
        times["setup"].append(seconds(lambda: host.sh("sh setup.sh --yes", user="alice")))
        times["idle"].append(seconds(lambda: host.sh("sh setup.sh --yes", user="alice")))
        # Status would answer from the proof that is younger than five seconds.
        host.sh(f"rm -f /run/scitex-ssh/{PORT}/proof")
        times["status"].append(seconds(lambda: host.sh("sh status.sh", user="alice")))
        host.sh("sh remove.sh", user="alice")
    median = {name: statistics.median(each) for name, each in times.items()}
    unit = median["handshake"]
    return (
        f"| {world.suite} | {unit * 1000:.0f} | {median['setup'] * 1000:.0f} "
        f"| {median['setup'] / unit:.1f} | {median['idle'] / unit:.1f} | {median['status'] / unit:.1f} |"
    )


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes; entering the host is in it, for each of them alike."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
