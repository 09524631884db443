"""A fleet in one command: nothing on any host but sshd and sudo, and in the end each is reached."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .command import run
from .hosts import PASSWORD, Host
from .lab import Lab, together
from .shell import Result
from .test_bastion import clear, gatehouse
from .test_pyinfra import executions
from .tunnels import PYZ, done, operator, pyinfra, slugs, untouched, visit
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
        return self.run(DEPLOY, *(flags or ("-y",)), inventory)

    def run(self, deploy: str, *words: str | Path) -> Result:
        """Run a deploy with these words before it."""
        return pyinfra(self.world, *words, deploy, home=self.folder / "ssh")

    def command(self, word: str, *flags: str, **more: object) -> Result:
        """The same by ``scitex-ssh fleet`` and a file; ``more`` are further hosts."""
        path = self.folder / "fleet.yaml"
        bastion = {"ssh": f"dora@{self.world.bastion.address}", "address": "bastion"}
        hosts = {host.name: {"ssh": f"alice@{host.address}"} for host in self.hosts}
        defaults = {"ssh_key": "id", "known_hosts": "known", "sudo": True}
        data = {"bastions": {"gw": bastion}, "hosts": {**hosts, **more}, "defaults": defaults}
        # What is JSON is YAML.
        path.write_text(json.dumps(data))
        words = (sys.executable, "-m", "scitex_ssh", "fleet", word, path, *flags)
        return operator(self.world, *words, home=self.folder / "ssh")

    def visit(self, name: str) -> Result:
        """Log in to a host as the operator does, by its name alone."""
        words = ("ssh", "-o", "BatchMode=yes", name, "id -un; hostname")
        return operator(self.world, *words, home=self.folder / "ssh")

    def by_name(self) -> Path:
        """The same, its hosts reached by their tunnels: the operator's ssh knows the way."""
        path = self.inventory()
        lines = path.read_text().splitlines()
        hosts = [(host.name, {"host_name": host.name}) for host in self.hosts]
        login = {"ssh_key": str(self.folder / "id"), "ssh_strict_host_key_checking": "yes", "_sudo": True}
        path = self.folder / "by_name.py"
        path.write_text(f"{lines[0]}\nhosts = ({hosts!r}, {login!r})\n")
        return path

    def keys(self) -> dict[str, str]:
        """The public half of each host's key."""
        path = "/home/alice/.ssh/scitex-ssh_ed25519.pub"
        return {host.name: host.read(path).split()[1] for host in self.hosts}

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

        # The operator needs no more than its name.
        assert done(fleet.visit(host.name)).stdout == f"alice\n{host.name}\n"

    with executions(fleet.hosts[0]) as on_host, executions(fleet.hosts[1]), untouched(*fleet.hosts):
        again = done(fleet.deploy(fleet.inventory(ssh_port=2022)))
    assert len(re.findall(r"No changes$", again.stderr, re.MULTILINE)) == 8, again.stderr
    assert len(on_host) == 1, on_host
    assert "3 of 3 machines went well" in again.stderr
    assert fleet.ports() == ports


@pytest.mark.suites("bookworm")
def test_a_first_run_takes_few_executions(fleet: Fleet) -> None:
    """One look, the key made and shown, the tunnels: whatever their number, and proven."""
    tunnels = {"tunnels": [{}, {"target": "127.0.0.1:22"}, {"target": "localhost:22", "port": 2777}]}
    with executions(fleet.hosts[0]) as on_host, executions(fleet.hosts[1]):
        done(fleet.deploy(fleet.inventory(tunnels, ssh_port=2022)))
    assert len(on_host) <= 4, on_host
    assert len(fleet.ports()["workstation"].split()) == 3
    seen = fleet.run("deploys/status.py", "-y", "--data", "json=true", fleet.inventory())
    hosts = {each["name"]: each for each in json.loads(done(seen).stdout)["hosts"]}
    levels = [each["level"] for each in hosts[fleet.hosts[0].address]["tunnels"]]
    assert levels == ["verified"] * 3


@pytest.mark.suites("bookworm")
def test_every_host_gets_a_new_key_and_is_never_without(fleet: Fleet) -> None:
    """The old one is let in no longer; run through the very tunnels that it changes."""
    done(fleet.deploy(fleet.inventory()))
    for host in fleet.hosts:
        done(fleet.visit(host.name))
    ports, before = fleet.ports(), fleet.keys()
    stolen = fleet.hosts[0].read("/home/alice/.ssh/scitex-ssh_ed25519")
    done(fleet.run("deploys/rotate.py", "-y", fleet.by_name()))
    after = fleet.keys()
    assert fleet.ports() == ports
    assert not set(before.values()) & set(after.values())
    for host in fleet.hosts:
        done(fleet.visit(host.name))
        assert (
            host.sh("ls /home/alice/.ssh | grep -c 'scitex-ssh_ed25519\\.[nf]'", check=False).stdout == "0\n"
        )
    listed = fleet.world.bastion.sh("cat /etc/ssh/scitex-ssh/t-*").stdout
    assert all(key in listed for key in after.values())
    assert not any(key in listed for key in before.values())
    fleet.world.client.write("/home/carol/old", stolen, mode="600", owner="carol:carol")
    login = "ssh -i ~/old -o IdentitiesOnly=yes -o BatchMode=yes t-workstation@bastion"
    assert "Permission denied" in fleet.world.client.sh(login, user="carol", check=False).stderr


@pytest.mark.suites("bookworm")
def test_what_is_removed_leaves_nothing_behind(fleet: Fleet) -> None:
    """No tunnel, no account, no port, no name; the other machines are as they were."""
    done(fleet.deploy(fleet.inventory()))
    ports = fleet.ports()
    assert "unreached" in fleet.run("deploys/status.py", "-y", fleet.inventory(more=("192.0.2.9",))).stdout
    done(fleet.run("deploys/remove.py", "-y", fleet.inventory()))
    assert fleet.ports() == {"workstation": "", "client": ""}
    bastion = fleet.world.bastion
    assert bastion.sh("ls /etc/ssh/scitex-ssh").stdout == ""
    for port in ports.values():
        assert bastion.sh(f"ss -Hltn 'sport = :{port}'").stdout == ""
    assert "Host workstation" not in (fleet.folder / "ssh/scitex-ssh/config").read_text()


@pytest.mark.suites("bookworm")
def test_the_same_from_one_file(fleet: Fleet) -> None:
    """A plan shows the whole fleet and touches nothing; applied, nothing is left to do."""
    with untouched(*fleet.hosts, fleet.world.bastion):
        plan = done(fleet.command("plan"))
    assert "would-change  gw: sshd runs with it" in plan.stdout
    assert "+Match Group scitex-ssh" in plan.stdout
    assert "would-change  gw: workstation may hold port" in plan.stdout
    assert "would-change  client: key ~/.ssh/scitex-ssh_ed25519" in plan.stdout
    assert fleet.command("status").status == 50

    applied = done(fleet.command("apply"))
    assert "changed       workstation: Tunnels stand and are proven\n" in applied.stdout
    for host in fleet.hosts:
        assert done(fleet.visit(host.name)).stdout == f"alice\n{host.name}\n"
    with untouched(*fleet.hosts, fleet.world.bastion):
        assert done(fleet.command("plan")).stdout == "Nothing would change.\n"
    assert "changed" not in done(fleet.command("apply")).stdout
    seen = json.loads(done(fleet.command("status", "--json")).stdout)
    assert [each["tunnels"][0]["level"] for each in seen["machines"]] == ["verified"] * 2

    # One that is down stops nobody, and is named.
    down = fleet.command("apply", absent={"ssh": "alice@192.0.2.9"})
    assert down.status == 1
    assert slugs(down) == ["fleet-incomplete"]
    assert "3 of 4 machines went well; not reached: absent." in down.stderr
    assert "ok            workstation: Tunnels stand" in down.stdout


@pytest.fixture
def renewed(fleet: Fleet) -> Iterator[Fleet]:
    """Give the fleet, and take new host keys back: others know these machines by the keys that they had."""
    machines = (*fleet.hosts, fleet.world.bastion)
    for host in machines:
        host.sh("mkdir /root/before && cp -a /etc/ssh/ssh_host_* /root/before/")
    yield fleet
    for host in machines:
        host.sh("rm /etc/ssh/ssh_host_* && mv /root/before/* /etc/ssh/ && rmdir /root/before")
        host.sh("systemctl restart ssh")


@pytest.mark.suites("bookworm")
def test_host_keys_are_known_before_they_are_shown(renewed: Fleet) -> None:
    """Those of the bastion and of every host; one that is down is told first, or nothing is taken."""
    fleet = renewed
    done(fleet.deploy(fleet.inventory()))
    machines = (*fleet.hosts, fleet.world.bastion)
    before = {host.name: host.host_keys() for host in machines}
    rotate = ("-y", "--data", "rotate=host_keys")
    late = fleet.run("deploys/rotate.py", *rotate, fleet.inventory(more=("192.0.2.9",)))
    assert "not told of the new host keys, so the old ones stay: 192-0-2-9" in late.stderr
    assert fleet.world.bastion.host_keys() == before["bastion"]
    for host in fleet.hosts:
        done(fleet.visit(host.name))

    done(fleet.run("deploys/rotate.py", *rotate, fleet.inventory()))
    for host in machines:
        assert not set(host.host_keys()) & set(before[host.name])
        assert "next" not in host.sh("ls /etc/ssh").stdout
    # Whoever went by the old ones knows the new ones: tunnels, the operator's ssh, and pyinfra's own file.
    for host in fleet.hosts:
        assert done(fleet.visit(host.name)).stdout == f"alice\n{host.name}\n"
    again = done(fleet.deploy(fleet.inventory()))
    assert len(re.findall(r"No changes$", again.stderr, re.MULTILINE)) == 8, again.stderr
    seen = json.loads(fleet.run("deploys/status.py", "-y", "--data", "json=true", fleet.inventory()).stdout)
    assert [each["tunnels"][0]["level"] for each in seen["hosts"]] == ["verified"] * 2


@pytest.fixture
def second(gatehouse: World) -> Iterator[Host]:
    """Give another bastion: the client, which is on the internet as well."""
    yield gatehouse.client
    clear(gatehouse.client)


@pytest.mark.suites("bookworm")
def test_a_fleet_moves_to_another_bastion(fleet: Fleet, second: Host) -> None:
    """By way of the tunnels that are moved: the new one is proven, then the old bastion lets nobody in."""
    world, host = fleet.world, fleet.hosts[0]

    def moved(bastion: Host, name: str, **data: object) -> Path:
        login = {"ssh_key": str(fleet.folder / "id"), "_sudo": True}
        gates = [
            (each.address, {"bastion_address": each.name, "ssh_user": user, **login})
            for each, user in ((world.bastion, "dora"), (second, "alice"))
        ]
        hosts = [(name, {"host_name": host.name, "bastion": bastion.address, **data, **login})]
        path = fleet.folder / "moved.py"
        path.write_text(f"bastions = {gates!r}\nhosts = {hosts!r}\n")
        return path

    assert (
        "[bad-rotation]"
        in fleet.run(
            "deploys/rotate.py", "--data", "rotate=it", moved(second, host.address, ssh_user="alice")
        ).stderr
    )
    done(fleet.run(DEPLOY, "-y", moved(world.bastion, host.address, ssh_user="alice")))
    port = fleet.ports()[host.name]
    done(fleet.visit(host.name))
    done(fleet.run("deploys/rotate.py", "-y", "--data", "rotate=bastion", moved(second, host.name)))
    assert fleet.ports()[host.name] == port
    assert done(fleet.visit(host.name)).stdout == f"alice\n{host.name}\n"
    assert world.bastion.sh(f"ls /etc/ssh/scitex-ssh; ss -Hltn 'sport = :{port}'").stdout == ""
    assert second.sh(f"ss -Hltn 'sport = :{port}'").stdout != ""


@pytest.mark.suites("bookworm")
def test_hosts_come_and_go_and_nobody_moves(fleet: Fleet) -> None:
    """A host that is down does not stop the others; one that is added, or has a port said, moves nobody."""
    inventory = fleet.inventory({"tunnels": [{"port": 2777}]}, more=("192.0.2.9",))
    result = fleet.deploy(inventory)
    assert result.status != 0
    assert "3 of 4 machines went well; not reached: 192.0.2.9" in result.stderr
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


@pytest.mark.suites("bookworm")
def test_distributions_side_by_side_and_sudo_with_a_password(equipped: World, tmp_path: Path) -> None:
    """An old and a new one beside the bastion's, each asking for a password: still one command."""
    with Lab() as lab:
        bastion = lab.bastion("bastion", equipped.suite, boot=False)
        old = lab.workstation("old", "bullseye", boot=False)
        new = lab.workstation("new", "trixie", home=old.router, boot=False)
        together(bastion.boot, old.boot, new.boot)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", str(tmp_path / "id"))
        known = ""
        for host, user in ((old, "alice"), (new, "alice"), (bastion, "dora")):
            host.add_user(user, sudo="password")
            host.authorize(user, (tmp_path / "id.pub").read_text().strip())
            known += "".join(f"{host.address} {key}\n" for key in host.host_keys())
        (tmp_path / "known").write_text(known)
        fleet = Fleet(World("mixed", old, bastion, new), (old, new), tmp_path)
        refused = fleet.deploy(fleet.inventory(), "--data", "_sudo_password=wrong", "-y")
        assert refused.status != 0
        assert "Traceback" not in refused.stdout + refused.stderr
        (tmp_path / "password").write_text(f"{PASSWORD}\n")
        password = ("--sudo-password-file", str(tmp_path / "password"))
        applied = done(fleet.command("apply", *password))
        assert PASSWORD not in applied.stdout + applied.stderr
        for host in fleet.hosts:
            assert done(fleet.visit(host.name)).stdout == f"alice\n{host.name}\n"
        assert done(fleet.command("plan", *password)).stdout == "Nothing would change.\n"
