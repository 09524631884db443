"""How long does a fleet take, from nothing to proven tunnels? Beside raw ssh and ansible-core, in the lab.

    build/dev bench fleet [--hosts 1,10,50,200] [--parallel 40] [--ansible VENV] [--limit 900] [--json FILE]

A host is an account of one machine of the lab with an sshd, a key and a supervised tunnel of its own, kept
without root (nohup); so all hosts share that machine's processors with this one, which real hosts would not,
and what costs processor time on the other end looks dearer than it is. The hosts' sshds go without PAM, whose
systemd would start a manager for each account at each login. The rows:

- first: from nothing (bastion set up, keys made, accounts and lines, tunnels, each proven)
- again: nothing is to be done
- one: one host's keepalive was changed

Raw ssh does the same round trips, one connection each, by xargs -P: on a first run four commands a host and
those of the bastion, else one a host. The ansible playbook makes the key, has the bastion authorise it and
runs the same set-up program, with pipelining and as many forks. VENV is a folder with ansible-core in it;
without it, one is made with pip.

Each time is told on stderr as soon as it is known, and FILE is written anew with it. What has not ended after
the limit, or fails, is told as such, its later rows are left out, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scitex_ssh.bastion import bastion_program  # noqa: E402  # found only once the path is set
from scitex_ssh.facts.bastion import Gate, Standing, key_command  # noqa: E402
from scitex_ssh.facts.tunnels import Program  # noqa: E402
from scitex_ssh.model import Tunnel  # noqa: E402
from scitex_ssh.model.fleet import Wish, allocate  # noqa: E402
from scitex_ssh.plan.program import bind  # noqa: E402
from tests.lab.command import run  # noqa: E402
from tests.lab.lab import Lab  # noqa: E402
from tests.lab.tunnels import AT_HOME  # noqa: E402
from tests.lab.world import World, inhabited  # noqa: E402

KEY = "~/.ssh/scitex-ssh_ed25519"
ROWS = ("first", "again", "one")
DEPLOY = str(ROOT / "deploys/fleet.py")
# The ports of the hosts' sshds, below those that the kernel gives away by itself.
FIRST = 10000


# A bastion as it was, also where hundreds of hosts were let in.
CLEAR = r"""
pkill -KILL -u "$(getent passwd | sed -n 's/^\(t-[a-z0-9-]*\|scitex-ssh\):.*/\1/p' | paste -s -d ,)"
sed -i '/^t-[a-z0-9-]*:/d; /^scitex-ssh:/d' /etc/passwd /etc/shadow /etc/group /etc/gshadow
rm -rf /etc/ssh/scitex-ssh /etc/ssh/sshd_config.d/10-scitex-ssh.conf /etc/systemd/system/user-*.slice.d \
    /usr/local/lib/scitex-ssh /var/lib/scitex-ssh
systemctl reload ssh
systemctl daemon-reload
systemctl reset-failed 'user@*'
sleep 1
"""


class Missed(Exception):
    """A row that there is no time for, in words."""


class Fleet:
    """A bastion, and as many hosts as are asked for."""

    def __init__(self, world: World, folder: Path, parallel: int, limit: float) -> None:
        self.world, self.folder, self.parallel, self.limit = world, folder, parallel, limit
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", str(folder / "id"))
        self.public = (folder / "id.pub").read_text().strip()
        world.bastion.add_user("dora", sudo="nopasswd")
        world.bastion.authorize("dora", self.public)
        # Raw ssh comes with all hosts at once before any set-up has sized sshd for them.
        script = "echo 'MaxStartups 400' >/etc/ssh/sshd_config.d/01-bench.conf; systemctl reload ssh"
        world.bastion.sh(script)
        # They are a fleet's machine here, and no single one's.
        world.workstation.sh("sysctl -qw net.core.somaxconn=4096 || :; " + script)

    def people(self, count: int) -> list[str]:
        """Make that many hosts, and give their names."""
        names = [f"h{number}" for number in range(1, count + 1)]
        script = """
        for name in $NAMES; do
            id $name >/dev/null 2>&1 || useradd -m -s /bin/sh -p '*' $name
            install -d -m 700 -o $name -g $name /home/$name/.ssh
            echo "$PUBLIC" >/home/$name/.ssh/authorized_keys
            port=$((FIRST + ${name#h}))
            note=/run/bench-$name.pid
            [ -e $note ] || /usr/sbin/sshd -p $port -o UsePAM=no -o PidFile=$note
        done
        """
        world = self.world
        keys, address = world.workstation.host_keys(), world.workstation.address
        known = [f"{h.address} {key}\n" for h in world.hosts for key in h.host_keys()]
        known += [f"[{address}]:{port_of(name)} {key}\n" for name in names for key in keys]
        (self.folder / "known").write_text("".join(known))
        text = f"NAMES='{' '.join(names)}' PUBLIC='{self.public}' FIRST={FIRST}\n{script}"
        self.world.workstation.sh(text, timeout=600)
        return names

    def sweep(self, names: list[str]) -> None:
        """Take everything away that a first run makes."""
        text = """
        pkill -KILL -u "$(echo $NAMES | tr ' ' ,)"
        for name in $NAMES; do
            rm -rf /home/$name/.ssh/scitex-ssh* /home/$name/.config /home/$name/.local /home/$name/.cache
        done
        """
        self.world.workstation.sh(f"NAMES='{' '.join(names)}'\n{text}", check=False, timeout=300)
        self.world.bastion.sh(CLEAR, check=False, timeout=300)

    def inventory(self, names: list[str], changed: str = "") -> Path:
        """Write pyinfra's inventory; one host may have another keepalive."""
        login = {
            "ssh_key": str(self.folder / "id"),
            "ssh_known_hosts_file": str(self.folder / "known"),
            "ssh_strict_host_key_checking": "yes",
        }
        gate = {"bastion_address": "bastion", "ssh_user": "dora", "_sudo": True, "bastion_hosts": 300}
        way = {"ssh_hostname": self.world.workstation.address}
        hosts = [
            (name, {**way, "ssh_port": port_of(name), "ssh_user": name, "tunnels": [tunnel(name == changed)]})
            for name in names
        ]
        path = self.folder / "inventory.py"
        path.write_text(
            f"bastions = ([({self.world.bastion.address!r}, {gate!r})], {login!r})\n"
            f"hosts = ({hosts!r}, { ({**login, 'host_name': None})!r})\n"
        )
        return path

    def call(self, *words: str | Path, **environment: str) -> float:
        """How long a command takes, from where hosts are reached; `Missed` if it fails or does not end."""
        assert self.world.workstation.router is not None
        netns = ("ip", "netns", "exec", self.world.workstation.router.namespace)
        home = ("unshare", "-m", "sh", "-c", AT_HOME, str(self.folder / "ssh"))
        # Into a file: a connection that is kept for the next command would hold a pipe open.
        with (self.folder / "said").open("w+", encoding="utf-8") as said:
            began = time.monotonic()
            process = subprocess.Popen(
                [*netns, *home, *map(str, words)],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(self.limit)
            except subprocess.TimeoutExpired:
                raise Missed(f"not ended after {self.limit:.0f} s") from None
            finally:
                took = time.monotonic() - began
                _end(process)
            said.seek(0)
            if status:
                raise Missed(f"ended with {status}:\n{said.read()[-4000:]}")
        return took


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command, and all that it left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def port_of(name: str) -> int:
    """Where a host's sshd listens."""
    return FIRST + int(name[1:])


def tunnel(changed: bool = False) -> dict[str, object]:
    """What each host wants."""
    return {"keeper": "nohup", "keepalive": "patient" if changed else "default"}


def ours(fleet: Fleet, names: list[str]) -> Callable[[str], float]:
    """The deploy itself."""
    words = (sys.executable, "-m", "pyinfra", "-y", "--parallel", str(fleet.parallel))

    def once(row: str) -> float:
        return fleet.call(*words, fleet.inventory(names, names[0] if row == "one" else ""), DEPLOY)

    return once


def programs(fleet: Fleet, names: list[str]) -> dict[str, dict[str, str]]:
    """The commands of each host: what the deploy sends it, by what it is for."""
    ports = allocate({name: [Wish()] for name in names}, {})[0]
    keys = "\n".join(sorted(fleet.world.bastion.host_keys()))
    made: dict[str, dict[str, str]] = {}
    for name in names:
        for changed in (False, True):
            data = {**tunnel(changed), "port": ports[name][0], "bastion": f"t-{name}@bastion", "key": KEY}
            (described,), errors = Tunnel.from_mapping(data, name)
            assert not errors
            program = Program("setup", ({**bind(described), "host_keys": keys},), ("--yes",))
            suffix = "_one" if changed else ""
            of = made.setdefault(name, {"port": str(ports[name][0])})
            of[f"look{suffix}"] = Standing().command(KEY, "", program).get_raw_value()
            of[f"setup{suffix}"] = program.command().get_raw_value()
        made[name]["make"] = key_command("make", KEY, "").get_raw_value()
        made[name]["show"] = key_command("show", KEY, "").get_raw_value()
    return made


def raw(fleet: Fleet, names: list[str]) -> Callable[[str], float]:
    """ssh by xargs: the same commands, a connection each."""
    folder = fleet.folder / "raw"
    for name, texts in programs(fleet, names).items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "sshd").write_text(str(port_of(name)))
        for word, text in texts.items():
            (folder / name / word).write_text(text + "\n")
    (folder / "gate").write_text(bastion_program())
    (folder / "look").write_text(Gate("look", ("--hosts=300",)).command("--machine").get_raw_value() + "\n")
    options = f"-F none -i {fleet.folder}/id -o UserKnownHostsFile={fleet.folder}/known -o BatchMode=yes"
    host, gate = fleet.world.workstation.address, f"dora@{fleet.world.bastion.address}"
    head = f"""
    set -eu
    cd {folder}
    all() {{ echo {" ".join(names)} | tr ' ' '\\n' | xargs -P {fleet.parallel} -I% sh -c "$1"; }}
    on() {{ all "ssh {options} -p \\$(cat %/sshd) %@{host} sh -s <%/$1 >%/$1.out 2>&1"; }}
    gate() {{ ssh {options} {gate} "sudo sh -s $1" <"$2" >gate.out; }}
    """
    first = """
    gate '' look; on look; gate setup gate; on make; on show
    set --
    for name in %s; do
        key=$(sed -n 's/^public.//p' $name/show.out)
        set -- "$@" "--name=$name" "--port=$(cat $name/port)" "--key='$key'"
    done
    gate "authorize $*" gate; gate '' look; on setup
    """
    scripts = {
        "first": first % " ".join(names),
        "again": "gate '' look; on look",
        "one": f"gate '' look; on look; cp {names[0]}/setup_one {names[0]}/now; "
        f"ssh {options} -p {port_of(names[0])} {names[0]}@{host} sh -s <{names[0]}/now >/dev/null",
    }
    return lambda row: fleet.call("sh", "-c", head + scripts[row])


PLAYBOOK = """
- hosts: bastions
  gather_facts: false
  become: true
  tasks:
    - {name: setup, script: "%(folder)s/raw/gate setup --hosts 300"}
- hosts: hosts
  gather_facts: false
  tasks:
    - name: key
      command: ssh-keygen -q -t ed25519 -N '' -f .ssh/scitex-ssh_ed25519
      args: {creates: .ssh/scitex-ssh_ed25519}
    - {name: public, slurp: {src: .ssh/scitex-ssh_ed25519.pub}, register: public}
    - name: line
      delegate_to: "{{ groups['bastions'][0] }}"
      become: true
      throttle: 10
      script: >-
        %(folder)s/raw/gate authorize {{ inventory_hostname }} -p {{ tunnel_port }}
        -k '{{ (public.content | b64decode).split()[:2] | join(' ') }}'
    - {name: tunnel, script: "%(folder)s/raw/{{ inventory_hostname }}/{{ text }}"}
"""


def ansible(fleet: Fleet, names: list[str], venv: Path) -> Callable[[str], float]:
    """A playbook that does the same, as people write one: a task for each thing."""
    texts = programs(fleet, names)
    address, user = fleet.world.workstation.address, "ansible_user"
    (fleet.folder / "play.yml").write_text(PLAYBOOK % {"folder": fleet.folder})
    (fleet.folder / "ansible.cfg").write_text(
        f"[defaults]\nforks = {fleet.parallel}\nhost_key_checking = False\n"
        f"interpreter_python = /usr/bin/python3\nprivate_key_file = {fleet.folder}/id\n"
        "[ssh_connection]\npipelining = True\n"
    )

    def once(row: str) -> float:
        lines = ["[bastions]", f"{fleet.world.bastion.address} {user}=dora", "[hosts]"]
        for name in names:
            text = "setup_one" if row == "one" and name == names[0] else "setup"
            port = texts[name]["port"]
            way = f"ansible_host={address} ansible_port={port_of(name)} {user}={name}"
            lines.append(f"{name} {way} tunnel_port={port} text={text}")
        (fleet.folder / "hosts.ini").write_text("\n".join(lines) + "\n")
        config = str(fleet.folder / "ansible.cfg")
        words = (venv / "bin/ansible-playbook", "-i", fleet.folder / "hosts.ini", fleet.folder / "play.yml")
        return fleet.call(*words, ANSIBLE_CONFIG=config)

    return once


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", default="1,10,50", metavar="A,B", help="how many hosts")
    parser.add_argument("--parallel", type=int, default=40, metavar="N", help="hosts at once, for all alike")
    parser.add_argument("--ansible", type=Path, metavar="VENV", help="where ansible-core is")
    parser.add_argument("--without", default="", metavar="A,B", help="leave out: ours, raw, ansible")
    parser.add_argument("--limit", type=float, default=900, metavar="S", help="seconds that one row may take")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    parser.add_argument("--suite", default="bookworm", metavar="SUITE")
    options = parser.parse_args()
    without = options.without.split(",")
    rows: list[dict[str, object]] = []
    print(f"Load of this machine before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors.\n")
    print("| hosts | run | ours, s | raw ssh, s | ansible, s | raw / ours | ansible / ours | load |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|", flush=True)
    with TemporaryDirectory() as folder, Lab() as lab, inhabited(lab, options.suite) as world:
        fleet = Fleet(world, Path(folder), options.parallel, options.limit)
        venv = options.ansible
        if venv is None and "ansible" not in without:
            venv = _venv(Path(folder) / "venv")
        for count in map(int, options.hosts.split(",")):
            names = fleet.people(count)
            # Their texts are what the playbook runs, too.
            contenders = {"raw": raw(fleet, names), "ours": ours(fleet, names)}
            if venv is not None:
                contenders["ansible"] = ansible(fleet, names, venv)
            found = [{"hosts": count, "run": row, "load": os.getloadavg()[0]} for row in ROWS]
            rows += found
            for name in [each for each in contenders if each not in without]:
                fleet.sweep(names)
                for row in found:
                    try:
                        row[name] = contenders[name](str(row["run"]))
                        told = f"{row[name]:.1f} s"
                    except Missed as problem:
                        row[name] = told = str(problem)
                    row["load"] = os.getloadavg()[0]
                    print(f"{count} hosts, {row['run']}, {name}: {told}", file=sys.stderr, flush=True)
                    if options.json:
                        whole = {"processors": os.cpu_count(), "limit": options.limit, "rows": rows}
                        options.json.write_text(json.dumps(whole, indent=2) + "\n")
                    if isinstance(row[name], str):
                        break
            for row in found:
                print(_row(row), flush=True)
            fleet.sweep(names)
    return 0


def _row(row: dict[str, object]) -> str:
    times = {name: row.get(name) for name in ("ours", "raw", "ansible")}
    cells = [f"{each:.1f}" if isinstance(each, float) else _missed(each) for each in times.values()]
    for name in ("raw", "ansible"):
        theirs, own = times[name], times["ours"]
        both = isinstance(theirs, float) and isinstance(own, float)
        cells.append(f"{theirs / own:.1f}" if both else "-")  # type: ignore[operator]  # both are numbers
    return f"| {row['hosts']} | {row['run']} | {' | '.join(cells)} | {row['load']:.1f} |"


def _missed(told: object) -> str:
    return str(told).partition(":")[0] if told else "-"


def _venv(folder: Path) -> Path:
    run(sys.executable, "-m", "venv", str(folder))
    run(str(folder / "bin/pip"), "install", "--quiet", "ansible-core")
    return folder


if __name__ == "__main__":
    sys.exit(main())
