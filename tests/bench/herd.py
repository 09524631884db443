"""How long do many hosts take to come back at once to one bastion with stock sshd settings?

    build/dev bench herd [--clients 300] [--down 20] [--suite bookworm] [--light]

Each client is a real supervisor with a real ssh and a port of its own, all on one host of the lab, so they
share its processors, which a herd of real hosts would not. What costs each of them most there is a key of
sntrup761 for every login (a tenth of a second in OpenSSH 9.2): --light has the clients exchange keys by
curve25519 alone. The bastion's sshd ends with all its sessions, stays away and comes back; counted are the
seconds from then until every port is listened on again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.recover.contenders import UNIT, install_ours  # noqa: E402  # found by the line above
from tests.bench.recover.looking import PORT, await_, listeners  # noqa: E402
from tests.lab.hosts import Host  # noqa: E402
from tests.lab.lab import Lab  # noqa: E402
from tests.lab.priority import take_priority  # noqa: E402
from tests.lab.world import World, inhabited  # noqa: E402

FIRST = 20001

# The folders as `setup` makes them, from the one that it made.
HERD = f"""
set -eu
for port in $(seq {FIRST} $1); do
    folder=/srv/herd/$port
    mkdir -p $folder/state
    for file in ssh_config known_hosts run; do
        sed "s|/etc/scitex-ssh/tunnels/{PORT}/|$folder/|g; s/localhost:{PORT} /localhost:$port /" \
            /etc/scitex-ssh/tunnels/{PORT}/$file >$folder/$file
    done
    sed -i "s/\\(scitex-ssh [a-z]*\\) {PORT} /\\1 $port /" $folder/ssh_config
    cp /home/alice/.ssh/id_ed25519 $folder/key
done
chown -R alice: /srv/herd
systemctl stop {UNIT}
"""
START = """
for folder in /srv/herd/*; do sh $folder/run $folder $folder/state >/dev/null 2>&1 & done
wait
"""


class Herd:
    """Many supervisors on one host, each with a port of its own on the bastion."""

    def __init__(self, world: World, clients: int, light: bool) -> None:
        self.world = world
        self.ports = range(FIRST, FIRST + clients)
        host = world.workstation
        install_ours()(world)
        host.sh(f"set -- {self.ports[-1]}\n{HERD}", timeout=300)
        if light:
            host.sh("sed -i '1i KexAlgorithms curve25519-sha256' /srv/herd/*/ssh_config")
        host.write("/srv/herd.sh", START)
        options = "-p TasksMax=infinity -p LimitNPROC=infinity --uid=alice"
        host.sh(f"systemd-run -q --unit=herd {options} sh /srv/herd.sh")

    def standing(self) -> int:
        """How many ports are listened on."""
        return len(listening(self.world.bastion) & set(self.ports))

    def attempts(self) -> int:
        """How many connections they have begun, all of them together."""
        count = "cat /srv/herd/*/state/state | awk '/^attempts /{n += $2} END {print n}'"
        return int(self.world.workstation.sh(count).stdout)

    def gather(self, seconds: float) -> float:
        """Wait until all stand; seconds from now."""
        began = time.monotonic()
        return await_(lambda: self.standing() == len(self.ports), seconds, every=0.1) - began

    def scatter(self, down: float) -> None:
        """End the bastion's sshd with all sessions, for so long; it listens when this returns."""
        bastion = self.world.bastion
        bastion.sh("systemctl stop ssh; pkill -9 sshd", check=False)
        time.sleep(down)
        bastion.sh("systemctl reset-failed ssh; systemctl start ssh")
        await_(lambda: listeners(bastion, 22), 30)


def listening(host: Host) -> set[int]:
    """The ports that are listened on, by IPv4."""
    table = Path(f"/proc/{host.container.pid1}/net/tcp").read_text().splitlines()[1:]
    return {int(words[1].rpartition(":")[2], 16) for words in map(str.split, table) if words[3] == "0A"}


def main() -> int:
    """Play it once."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="bench herd", description=__doc__, formatter_class=form)
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--down", type=float, default=20, help="seconds without sshd (20)")
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--light", action="store_true", help="the clients exchange keys by curve25519 alone")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root: the lab boots real hosts")
    print(take_priority(), f"load {os.getloadavg()[0]:.1f}", flush=True)
    with Lab() as lab, inhabited(lab, options.suite, ("workstation", "bastion")) as world:
        herd = Herd(world, options.clients, options.light)
        print(f"{options.clients} came first in {herd.gather(600):.1f} s", flush=True)
        for _ in range(options.runs):
            time.sleep(35)
            herd.scatter(options.down)
            before = herd.attempts()
            print(f"{options.clients} back in {herd.gather(600):.1f} s", end="", flush=True)
            print(f", each with {(herd.attempts() - before) / options.clients:.1f} connections", flush=True)
        refused = world.bastion.sh("journalctl -u ssh | grep -c -i maxstartups", check=False).stdout.strip()
        print(f"sshd spoke of MaxStartups {refused} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
