"""A fleet in one command: nothing on any host but sshd and sudo, and in the end each is reached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .command import run
from .hosts import Host
from .shell import Result
from .test_bastion import clear, gatehouse
from .test_pyinfra import executions
from .tunnels import PYZ, done, pyinfra, untouched, visit
from .world import World

pytest.importorskip("pyinfra")
__all__ = ["gatehouse"]

DEPLOY = "deploys/fleet.py"


@dataclass
class Fleet:
    """A bastion, and two hosts with nothing on them."""

    world: World
    hosts: tuple[Host, Host]
    folder: Path

    def inventory(self, *data: dict[str, object], more: tuple[str, ...] = (), **common: object) -> Path:
        """Write an inventory with this data of the two hosts."""
        given = [*data, {}, {}]
        hosts = [(host.address, {"host_name": host.name, **given[i]}) for i, host in enumerate(self.hosts)]
        login = {
            "ssh_key": str(self.folder / "id"),
            "ssh_known_hosts_file": str(self.folder / "known"),
            "ssh_strict_host_key_checking": "yes",
            "ssh_connect_timeout": 5,
            "_sudo": True,
        }
        path = self.folder / "inventory.py"
        bastion = (self.world.bastion.address, {"bastion_address": "bastion", "ssh_user": "dora"})
        path.write_text(
            f"bastions = ([{bastion!r}], {login!r})\n"
            f"hosts = ({[*hosts, *more]!r}, { ({**login, 'ssh_user': 'alice', **common})!r})\n"
        )
        return path

    def deploy(self, inventory: Path, *flags: str) -> Result:
        """Run the deploy."""
        return pyinfra(self.world, *(flags or ("-y",)), inventory, DEPLOY)

    def ports(self) -> dict[str, str]:
        """The port of each host, as its own configuration has it."""
        return {
            host.name: host.sh("ls /etc/scitex-ssh/tunnels 2>/dev/null", check=False).stdout.strip()
            for host in self.hosts
        }


@pytest.fixture
def fleet(gatehouse: World, tmp_path: Path) -> Iterator[Fleet]:
    """Give such a fleet, whose machines pyinfra can log in to, and take away what it leaves."""
    workstation, bastion, client = gatehouse.hosts
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", str(tmp_path / "id"))
    public = (tmp_path / "id.pub").read_text().strip()
    for host, user in ((client, "alice"), (bastion, "dora")):
        host.add_user(user, sudo="nopasswd")
    for host, user in ((workstation, "alice"), (client, "alice"), (bastion, "dora")):
        host.authorize(user, public)
    client.authorize("alice", client.read("/home/carol/.ssh/id_ed25519.pub").strip())
    known = [f"{h.address},[{h.address}]:2022 {key}\n" for h in gatehouse.hosts for key in h.host_keys()]
    (tmp_path / "known").write_text("".join(known))
    yield Fleet(gatehouse, (workstation, client), tmp_path)
    for host in (workstation, client):
        host.sh(
            """
            for unit in /etc/systemd/system/autossh-tunnel-*.service; do
                [ ! -e "$unit" ] || systemctl -q disable --now "${unit##*/}"
            done
            rm -rf /etc/systemd/system/autossh-tunnel-* /etc/scitex-ssh /home/alice/.ssh/scitex-ssh_ed25519*
            systemctl daemon-reload
            """,
            check=False,
        )


def test_from_nothing_to_every_host_in_one_command(fleet: Fleet) -> None:
    """Dry, it touches nothing; then every host is reached by its port; then nothing is left to do."""
    inventory = fleet.inventory()
    with untouched(*fleet.hosts, fleet.world.bastion):
        dry = done(fleet.deploy(inventory, "--dry"))
    assert "would-change: sshd runs with it" in dry.stderr
    assert "would-change: workstation may hold port" in dry.stderr
    assert "would-change: key ~/.ssh/scitex-ssh_ed25519" in dry.stderr

    done(fleet.deploy(inventory))
    ports = fleet.ports()
    for host in fleet.hosts:
        assert visit(fleet.world, int(ports[host.name]), pinned=host).stdout == f"alice\n{host.name}\n"
        # Pinned by what the bastion says of itself: the hosts have never seen it before.
        pins = host.read(f"/etc/scitex-ssh/tunnels/{ports[host.name]}/known_hosts").splitlines()
        assert sorted(pins) == sorted(f"bastion {key}" for key in fleet.world.bastion.host_keys())
        # The private half stays where it was made.
        assert host.sh("stat -c %a:%U /home/alice/.ssh/scitex-ssh_ed25519").stdout == "600:alice\n"

    with executions(fleet.hosts[0]) as on_host, executions(fleet.hosts[1]):
        again = done(fleet.deploy(fleet.inventory(ssh_port=2022)))
    assert len(re.findall(r"No changes$", again.stderr, re.MULTILINE)) == 6, again.stderr
    assert len(on_host) <= 2, on_host
    assert fleet.ports() == ports


@pytest.mark.suites("bookworm")
def test_hosts_come_and_go_and_nobody_moves(fleet: Fleet) -> None:
    """A host that is down does not stop the others; one that is added, or has a port said, moves nobody."""
    inventory = fleet.inventory({"tunnels": [{"port": 2777}]}, more=("192.0.2.9",))
    result = fleet.deploy(inventory)
    assert result.status != 0
    assert "192.0.2.9" in result.stdout + result.stderr
    ports = fleet.ports()
    assert ports["workstation"] == "2777"
    fleet.world.workstation.wait_for(f"{PYZ} status -p 2777", 30, user="alice")
    # What is recorded is heeded when the inventory no longer says it.
    done(fleet.deploy(fleet.inventory()))
    assert fleet.ports() == ports
    more = fleet.inventory({"tunnels": [{}, {"target": "127.0.0.1:22"}]})
    done(fleet.deploy(more))
    assert set(ports["workstation"].split()) < set(fleet.ports()["workstation"].split())


@pytest.mark.suites("bookworm")
def test_a_clash_is_found_before_anything_is_touched(fleet: Fleet) -> None:
    """Two hosts of one port, of one name, or of a bastion that is none: both are named."""
    for data, slug in (
        (({"tunnels": [{"port": 2777}]}, {"tunnels": [{"port": 2777}]}), "port-clash"),
        (({"host_name": "same"}, {"host_name": "same"}), "name-clash"),
        (({"bastion": "nowhere"}, {}), "not-a-bastion"),
        (({"host_name": "Not A Name"}, {}), "bad-host"),
        (({"tunnels": [{"port": 0}]}, {}), "bad-port"),
    ):
        with untouched(*fleet.hosts, fleet.world.bastion):
            result = fleet.deploy(fleet.inventory(*data))
        said = result.stdout + result.stderr
        assert result.status != 0
        assert f"[{slug}]" in said, said
        assert "Traceback" not in said, said
    assert clear is not None
