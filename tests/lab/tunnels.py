"""Tunnels as a person at the workstation makes them, by each back end, and what they leave."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from shlex import join
from tempfile import mkdtemp
from typing import Any, Protocol

from scitex_ssh.backends import shell
from scitex_ssh.config import ACTIONS
from scitex_ssh.errors import CATALOGUE
from scitex_ssh.model import Port, Tunnel

from .command import run
from .entries import Entry
from .hosts import Host
from .shell import Result
from .world import KEY, World

CHECKOUT = Path(__file__).parents[2]
PYZ = "/usr/local/bin/scitex-ssh"
SCRIPTS = "/usr/local/share/scitex-ssh scripts"
BASTION = "tunnel@bastion"
OURS = ("/etc/scitex-ssh", "/etc/systemd/system")

# What a host's /run holds of who is logged in, and of systemd's own affairs.
PASSING = (
    *("/run/systemd/", "/run/user", "/run/log/", "/run/utmp", "/run/sudo", "/run/screen", "/run/host"),
    "/run/motd.dynamic",
    # What keeps two runs apart stays until the next boot: removed, it could be locked twice.
    "/run/lock/scitex-ssh.lock",
)


@dataclass(frozen=True)
class Wanted:
    """What a set-up is asked for, in the words of the flags."""

    port: int = 2222
    bastion: str = BASTION
    key: str = f"~/{KEY}"
    flags: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Where the tunnel's configuration is."""
        return f"/etc/scitex-ssh/tunnels/{self.port}"

    @property
    def unit(self) -> str:
        """The name of the tunnel's unit."""
        return f"autossh-tunnel-{self.port}.service"

    @property
    def argv(self) -> list[str]:
        """The flags of a set-up."""
        # A key below ~/ is given as the shell of a person gives it, but for what reads ~/ itself.
        return ["-p", str(self.port), "-b", self.bastion, "-s", self.key, *self.flags]

    @property
    def data(self) -> dict[str, object]:
        """The same as pyinfra's host data has it."""
        fields = {"port": self.port, "bastion": self.bastion, "key": self.key}
        return {**fields, **{flag[2:]: value for flag, _, value in map(_parted, self.flags) if value}}


def _parted(flag: str) -> tuple[str, str, str]:
    return flag.partition("=")


@cache
def pyz() -> Path:
    """Build the command line as one file, once a session."""
    out = Path(mkdtemp(prefix="scitex-ssh-lab-")) / "scitex-ssh.pyz"
    run(sys.executable, str(CHECKOUT / "build/pyz.py"), "--out", str(out))
    return out


def install(host: Host) -> None:
    """Bring the command and the generic scripts onto a host."""
    host.copy_in(pyz(), PYZ)
    # Here, so that the key of pyinfra's own login is no change that a test sees.
    _control(host)
    for name, text in shell.generic_scripts().items():
        host.write(f"{SCRIPTS}/{name}", text, mode="755")
    permit(host)


def permit(host: Host) -> None:
    """Have alice and root say once that what is done here is allowed."""
    rules = "".join(f"  {action}: allow\n" for action in ACTIONS)
    for home, owner in (("/home/alice", "alice:alice"), ("/root", "root:root")):
        host.write(f"{home}/.scitex/ssh/config.yaml", f"default:\n{rules}", owner=owner)
        host.sh(f"chown -R {owner} {home}/.scitex")


# Back ends


class BackEnd(Protocol):
    """One way to make a tunnel and to remove it."""

    name: str

    def setup(self, world: World, wanted: Wanted) -> Result:
        """Set a tunnel up."""

    def remove(self, world: World, port: int = 2222) -> Result:
        """Remove a tunnel."""


class Cli:
    """The command, as the one file of it."""

    name = "pyz"

    def setup(self, world: World, wanted: Wanted) -> Result:
        """Set a tunnel up as alice."""
        return cli(world, "setup", *wanted.argv)

    def remove(self, world: World, port: int = 2222) -> Result:
        """Remove a tunnel as alice."""
        return cli(world, "remove", "-p", str(port))


class Baked:
    """A script that was made for one tunnel."""

    name = "baked"

    def setup(self, world: World, wanted: Wanted) -> Result:
        """Set a tunnel up as alice."""
        data = wanted.data
        tunnel = Tunnel.of(data.pop("port"), data.pop("bastion"), data.pop("key"), **data)  # type: ignore[arg-type]
        plain = [flag for flag in wanted.flags if "=" not in flag]
        return self._run(world, shell.baked("setup", [tunnel]), *plain)

    def remove(self, world: World, port: int = 2222) -> Result:
        """Remove a tunnel as alice."""
        return self._run(world, shell.baked("remove", [Port(port)]))

    def _run(self, world: World, text: str, *flags: str) -> Result:
        path = "/var/local/tunnel's script.sh"
        world.workstation.write(path, text)
        return as_alice(world, "sh", path, *flags)


class Generic:
    """The scripts that are told their tunnel by flags."""

    name = "generic"

    def setup(self, world: World, wanted: Wanted) -> Result:
        """Set a tunnel up as alice."""
        return as_alice(world, "sh", f"{SCRIPTS}/setup-autossh-service.sh", *wanted.argv)

    def remove(self, world: World, port: int = 2222) -> Result:
        """Remove a tunnel as alice."""
        return as_alice(world, "sh", f"{SCRIPTS}/remove-autossh-service.sh", "-p", str(port))


class Fleet:
    """The pyinfra operation, over ssh."""

    name = "pyinfra"

    def setup(self, world: World, wanted: Wanted) -> Result:
        """Set a tunnel up from another machine."""
        return pyinfra(world, "-y", inventory(world, [wanted.data]), "deploys/tunnel.py")

    def remove(self, world: World, port: int = 2222) -> Result:
        """Remove a tunnel from another machine."""
        return pyinfra(world, "-y", inventory(world, [{**Wanted(port).data}]), "deploys/remove.py")


BACK_ENDS: tuple[BackEnd, ...] = (Cli(), Baked(), Generic(), Fleet())


def as_alice(world: World, *words: str, **options: Any) -> Result:
    """Run a command as alice; a leading ~/ is her home, as her shell would have it."""
    line = re.sub(r"'~/([^']*)'", r"~/'\1'", join(words))
    return world.workstation.sh(line, user="alice", check=False, timeout=90, **options)


def cli(world: World, *words: str, **options: Any) -> Result:
    """Run the command as alice."""
    return as_alice(world, PYZ, *words, **options)


# pyinfra, from a machine in alice's home


def pyinfra(world: World, *words: str | Path, home: Path | None = None) -> Result:
    """Run pyinfra in the router's namespace, from where the workstation can be reached."""
    return operator(world, sys.executable, "-m", "pyinfra", *words, home=home)


# ssh finds its files by the account's entry, whatever HOME is: so they are mounted where it looks.
AT_HOME = 'mkdir -p ~/.ssh "$0" && mount --bind "$0" ~/.ssh && exec "$@"'


def operator(world: World, *words: str | Path, home: Path | None = None) -> Result:
    """Run a command in the router's namespace; with ``home`` as its ~/.ssh, where it would write there."""
    assert world.workstation.router is not None
    mounted = () if home is None else ("unshare", "-m", "sh", "-c", AT_HOME, str(home))
    done = subprocess.run(
        ["ip", "netns", "exec", world.workstation.router.namespace, *mounted, *map(str, words)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Result(done.stdout, done.stderr, done.returncode)


def inventory(
    world: World, tunnels: object, others: Sequence[tuple[Host, object]] = (), **data: object
) -> Path:
    """Write an inventory: the workstation with its tunnels, and more hosts with theirs."""
    folder = _control(world.workstation)
    wanted = [(world.workstation, tunnels), *others]
    known = "".join(
        f"{host.address},[{host.address}]:2022 {key}\n" for host, _ in wanted for key in host.host_keys()
    )
    (folder / "known").write_text(known)
    hosts = [(host.address, {"tunnels": listed}) for host, listed in wanted]
    common = {
        "ssh_user": "alice",
        "ssh_key": str(folder / "id"),
        "ssh_known_hosts_file": str(folder / "known"),
        "ssh_strict_host_key_checking": "yes",
        "ssh_connect_timeout": 3,
        "_sudo": True,
        **data,
    }
    path = folder / "inventory.py"
    path.write_text(f"hosts = ({hosts!r}, {common!r})\n")
    return path


def _control(host: Host) -> Path:
    """Give the folder of the machine that pyinfra runs on, whose key the workstation knows."""
    folder = host.container.folder / "control"
    if not folder.exists():
        folder.mkdir()
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "control", "-f", str(folder / "id"))
        host.authorize("alice", (folder / "id.pub").read_text().strip())
    return folder


# What was said


def slugs(result: Result) -> list[str]:
    """Return the errors that a command ended with, in order."""
    return re.findall(r"^  \[([a-z-]+)\]$", result.stderr, re.MULTILINE)


def refused(result: Result, slug: str, words: str = "") -> None:
    """Assert that a command said this one error in full (these words in its next move), and nothing stray."""
    said = f"exit {result.status}\n{result.stdout}\n--- stderr\n{result.stderr}"
    assert slugs(result) == [slug], said
    assert result.status == int(CATALOGUE[slug].status), said
    # sudo may have said its own word first.
    lines = [line for line in result.stderr.splitlines() if not line.startswith("sudo: ")]
    head, next_move, *rest = lines
    assert head.startswith("scitex-ssh: "), said
    assert next_move.startswith("  Next: ") and words in next_move, said  # noqa: PT018  # one thing
    assert rest == [f"  [{slug}]"], said
    assert "?" not in re.sub(r"'[^']*'", "", head), f"a fact is missing: {said}"


def done(result: Result) -> Result:
    """Assert that a command succeeded without a word of complaint."""
    assert (result.status, slugs(result)) == (0, []), f"{result.status}\n{result.stdout}\n{result.stderr}"
    return result


def verified(result: Result) -> bool:
    """Tell whether a set-up says that its tunnel is proven."""
    return "Verified: " in result.stdout + result.stderr or " Success" in result.stderr


def idle(result: Result) -> bool:
    """Tell whether a set-up says that there was nothing to do."""
    said = result.stdout + result.stderr
    return "nothing to do" in said or bool(re.search(r"\] No changes$", said, re.MULTILINE))


def status(world: World, port: int = 2222) -> dict[str, Any]:
    """Return what status says of a tunnel."""
    (seen,) = json.loads(cli(world, "status", "-p", str(port), "--json").stdout)["tunnels"]
    return seen


def wait_verified(world: World, port: int = 2222, timeout: float = 30) -> None:
    """Wait until status says that a tunnel is verified."""
    world.workstation.wait_for(f"{PYZ} status -p {port}", timeout, user="alice")


def visit(world: World, port: int = 2222, pinned: Host | None = None) -> Result:
    """Let carol run a command on the workstation, or another host, by plain ssh through the bastion."""
    keys = (pinned or world.workstation).host_keys()
    pins = "".join(f"[localhost]:{port} {key}\n" for key in keys)
    world.client.write("/home/carol/pins", pins, owner="carol:carol")
    options = "-o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=~/pins"
    # The jump has its own known_hosts: options do not reach it.
    jump = "-o ProxyCommand='ssh -o BatchMode=yes -W %h:%p carol@bastion'"
    script = f'ssh {options} {jump} -p {port} alice@localhost "id -un; hostname"'
    return world.client.sh(script, user="carol", check=False, timeout=30)


# What is there


@dataclass(frozen=True)
class Traces:
    """Everything of a host that a tunnel could change."""

    files: dict[str, Entry]
    run: frozenset[str]
    units: frozenset[str]
    failed: frozenset[str] = field(default=frozenset())


def traces(host: Host) -> Traces:
    """Look at a host."""
    files = host.tree("/etc", "/home", "/root", "/tmp", "/var/lib/systemd", "/var/spool", "/var/tmp")
    units = host.sh(
        "systemctl list-units --all --no-legend --plain | awk '{print $1}'; "
        "systemctl list-unit-files --no-legend | awk '{print $1, $2}'"
    ).stdout.splitlines()
    return Traces(
        files,
        frozenset(path for path in host.tree("/run") if not path.startswith(PASSING)),
        frozenset(unit for unit in units if not _passing(unit)),
        frozenset(host.sh("systemctl --failed --no-legend --plain").stdout.splitlines()),
    )


def _passing(unit: str) -> bool:
    # Of the unit files all are looked at, of the units in memory only ours: sessions come and go, with the
    # folders of their users, and systemd forgets at any time a unit that does not exist.
    return unit.endswith(" transient") or (" " not in unit and not unit.startswith(("autossh", "scitex")))


@contextmanager
def untouched(*hosts: Host) -> Iterator[None]:
    """Assert that nothing on the hosts changes meanwhile."""
    before = [traces(host) for host in hosts]
    yield
    for host, former in zip(hosts, before):
        same(traces(host), former)


def same(after: Traces, before: Traces) -> None:
    """Assert that two looks saw the same, and name what differs."""
    changed = {
        path: (before.files.get(path), after.files.get(path))
        for path in before.files.keys() | after.files.keys()
        if before.files.get(path) != after.files.get(path)
    }
    # In words, since this is not a test file and pytest leaves its assertions as they are.
    assert not changed, changed
    for former, now in ((before.run, after.run), (before.units, after.units), (before.failed, after.failed)):
        assert former == now, f"gone: {sorted(former - now)}, new: {sorted(now - former)}"


def main_pid(host: Host, wanted: Wanted) -> str:
    """Return the process that systemd started for a tunnel."""
    return host.sh(f"systemctl show -p MainPID --value {wanted.unit}").stdout.strip()


def sweep(world: World) -> None:
    """Remove every tunnel of the workstation by force, for the next test."""
    world.workstation.sh(
        """
        for unit in /etc/systemd/system/autossh-tunnel-*.service; do
            [ -e "$unit" ] || continue
            systemctl -q disable --now "${unit##*/}"
            rm -f "$unit"
        done
        mountpoint -q /etc/scitex-ssh && umount /etc/scitex-ssh
        rm -rf /etc/scitex-ssh /run/scitex-ssh
        systemctl daemon-reload
        systemctl reset-failed
        # Those that alice keeps without root: what starts them first, then what is held.
        rm -f /home/alice/.config/systemd/user/autossh-tunnel-*
        if [ -d /home/alice/.config/scitex-ssh ]; then
            crontab -u alice -r
            rm -rf /home/alice/.config/scitex-ssh
            pkill -u alice -f /scitex-ssh/tunnels/
            rm -rf /home/alice/.local/state/scitex-ssh
        fi
        """,
        check=False,
    )


def changed(wanted: Wanted, **fields: Any) -> Wanted:
    """Return the same but for some fields."""
    return replace(wanted, **fields)
