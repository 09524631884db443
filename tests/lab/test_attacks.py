"""What the holder of a stolen key can do on a bastion of ours, and on one with another tool's key options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from .test_bastion import gate, gatehouse, key_of
from .tunnels import Wanted, cli, done, main_pid, status, visit, wait_verified
from .world import World

__all__ = ["gatehouse"]

PAGE = Path(__file__).parents[2] / "docs/explanation/stolen-key.md"
VICTIM, OWN = 2401, 2402
# What ssh-tunnel-gateway 0.4.3 writes before a key (app.py), with its default of 127.0.0.1 for the address.
GATEWAY = 'no-pty,no-agent-forwarding,no-X11-forwarding,no-user-rc,permitlisten="localhost:{port}"'

# Each ends with 0 when the attack worked. $S is ssh with the stolen key and the account, $O its options.
STANDS = "$S -f -N -o ExitOnForwardFailure=yes {} bastion >/dev/null 2>&1"
ATTACKS = {
    "its own port (must work)": STANDS.format(f"-R localhost:{OWN}:localhost:22"),
    "a command": "$S bastion id | grep uid=",
    "a shell": "echo id | $S bastion | grep uid=",
    "a terminal": "$S -tt bastion id </dev/null | grep uid=",
    "sftp": "echo 'get /etc/hostname /dev/null' | sftp $O -b - $A@bastion",
    "scp": "scp $O $A@bastion:/etc/hostname /dev/null",
    "its own authorized_keys, rewritten": (
        "$S bastion 'echo >>~/.ssh/authorized_keys && echo written' | grep written"
    ),
    "keys of others, read": "$S bastion 'cat ~/.ssh/authorized_keys /etc/ssh/scitex-ssh/*' | grep AAAA",
    "processes of others, read": "$S bastion 'cat /proc/[0-9]*/cmdline' | grep -a sshd",
    "the agent": (
        'ssh-agent sh -c "ssh-add -q $K;'
        ' $S -A bastion \'test -n \\"\\$SSH_AUTH_SOCK\\" && echo got\'" | grep got'
    ),
    "X11": "DISPLAY=:0 $S -Y bastion 'echo $DISPLAY' | grep :",
    "-W to the bastion's own sshd": "$S -W localhost:22 bastion </dev/null | grep -a SSH-",
    "-W to the inside network": "$S -W client:22 bastion </dev/null | grep -a SSH-",
    "-W to another host's port": f"$S -W localhost:{VICTIM} bastion </dev/null | grep -a SSH-",
    "-L to the bastion's own sshd": (
        "$S -f -N -o ExitOnForwardFailure=yes -L 7001:localhost:22 bastion;"
        "nc -w 2 localhost 7001 </dev/null | grep -a SSH-"
    ),
    "-D": (
        "$S -f -N -o ExitOnForwardFailure=yes -D 7002 bastion;"
        "nc -w 2 -X 5 -x localhost:7002 localhost 22 </dev/null | grep -a SSH-"
    ),
    "-L to a Unix socket": (
        "$S -f -N -o ExitOnForwardFailure=yes -L 7003:/run/dbus/system_bus_socket bastion;"
        "printf '\\0AUTH\\r\\n' | nc -w 2 localhost 7003 | grep -a REJECTED"
    ),
    "-R on a free port": STANDS.format("-R localhost:2410:localhost:22"),
    "-R on any port": STANDS.format("-R localhost:0:localhost:22"),
    "-R on every address": STANDS.format("-R 0.0.0.0:2402:localhost:22"),
    "-R on another host's port": STANDS.format(f"-R localhost:{VICTIM}:localhost:22"),
    "-R on a Unix socket": STANDS.format("-R /tmp/stolen.sock:localhost:22"),
}


@dataclass
class Thief:
    """Somebody on the client with the key of one host, for an account of the bastion."""

    world: World
    account: str

    def tries(self, script: str) -> bool:
        """True when the attack worked."""
        common = (
            "-F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o ConnectTimeout=20"
        )
        options = f"{common} -o UserKnownHostsFile=/dev/null -i /home/carol/stolen"
        ssh = f"ssh {options} -l {self.account}"
        head = f"K=/home/carol/stolen A={self.account} O='{options}' S='{ssh}'; export K A O S\n"
        return self.world.client.sh(head + script, user="carol", check=False, timeout=120).status == 0

    def tries_all(self) -> dict[str, bool]:
        """Every attack, some at a time; a leftover of one may not be the success of another."""
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(ATTACKS, pool.map(self.tries, ATTACKS.values())))

    def leaves(self) -> None:
        """End whatever it left running."""
        self.world.client.sh("pkill -u carol ssh", check=False)


@pytest.fixture
def thief(gatehouse: World) -> Iterator[Thief]:
    """Give a thief of the key of lab2, on a bastion of ours where lab1's tunnel stands."""
    bastion, client = gatehouse.bastion, gatehouse.client
    client.sh("rm -f /home/carol/stolen*")
    stolen = client.make_key("carol", "/home/carol/stolen")
    done(gate(bastion, "setup"))
    done(gate(bastion, "authorize", "lab1", "-p", str(VICTIM), "-k", key_of(gatehouse)))
    done(gate(bastion, "authorize", "lab2", "-p", str(OWN), "-k", stolen))
    wanted = Wanted(VICTIM, bastion="t-lab1@bastion")
    done(cli(gatehouse, "setup", *wanted.argv))
    thief = Thief(gatehouse, "t-lab2")
    yield thief
    thief.leaves()


def unharmed(world: World, since: str, pid: str) -> None:
    """Assert that lab1's tunnel is the one that it was, and leads where it did."""
    seen = status(world, VICTIM)
    assert (seen["level"], str(seen["since"])) == ("verified", since), seen
    assert main_pid(world.workstation, Wanted(VICTIM)) == pid
    assert visit(world, VICTIM).stdout == "alice\nworkstation\n"


def table() -> dict[str, tuple[bool, bool]]:
    """What the page says: the attack, and whether it works on a bastion of ours and on the other."""
    rows = re.findall(r"^\| (.+?) \| (no|yes) \| (no|yes) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: (ours == "yes", theirs == "yes") for name, ours, theirs in rows}


def test_a_stolen_key_holds_its_own_port_and_nothing_else(thief: Thief) -> None:
    """Every attack of the table is refused, and the tunnel of the other host does not notice."""
    world = thief.world
    since, pid = str(status(world, VICTIM)["since"]), main_pid(world.workstation, Wanted(VICTIM))
    assert thief.tries_all() == {name: ours for name, (ours, _) in table().items()}
    thief.leaves()
    unharmed(world, since, pid)

    # The words of the forced command, said about somebody else's port and key.
    assert not thief.tries(
        f"id=$(ssh-keygen -lE md5 -f $K.pub | cut -d' ' -f2 | cut -d: -f2- | tr -d :)\n"
        f"$S bastion \"exec sh -c 'x' scitex-ssh release {VICTIM} $id\" | grep released"
    )
    unharmed(world, since, pid)

    # More connections than any host has use for: whoever else logs in does not notice.
    thief.tries("for i in $(seq 60); do $S -N bastion & done; sleep 8")
    assert world.client.sh("ssh -o BatchMode=yes carol@bastion id -un", user="carol").stdout == "carol\n"
    unharmed(world, since, pid)
    thief.leaves()


def test_a_freed_port_is_not_to_be_had(thief: Thief) -> None:
    """While the tunnel is down, who races for its port gets nothing, and the tunnel comes back to it."""
    world, unit = thief.world, Wanted(VICTIM).unit
    world.workstation.sh(f"systemctl stop {unit}")
    race = (
        f"for i in 1 2 3; do {STANDS.format(f'-R localhost:{VICTIM}:localhost:22')} && exit 0; done; exit 1"
    )
    assert not thief.tries(race)
    assert world.bastion.sh(f"ss -Hltn 'sport = :{VICTIM}'").stdout == ""
    world.workstation.sh(f"systemctl start {unit}")
    wait_verified(world, VICTIM)


@pytest.mark.suites("bookworm")
def test_the_same_with_the_options_of_another_tool(gatehouse: World) -> None:
    """Side by side: what the page says of ssh-tunnel-gateway 0.4.3 is so, and the attacks are good ones."""
    client, keys = gatehouse.client, "/home/tunnel/.ssh/authorized_keys"
    former = gatehouse.bastion.read(keys)
    client.sh("rm -f /home/carol/stolen*")
    stolen = client.make_key("carol", "/home/carol/stolen")
    lines = f"{GATEWAY.format(port=VICTIM)} {key_of(gatehouse)}\n{GATEWAY.format(port=OWN)} {stolen}\n"
    gatehouse.bastion.write(keys, lines, mode="600", owner="tunnel:tunnel")
    thief = Thief(gatehouse, "tunnel")
    try:
        done(cli(gatehouse, "setup", *Wanted(VICTIM).argv))
        assert thief.tries_all() == {name: theirs for name, (_, theirs) in table().items()}
    finally:
        thief.leaves()
        gatehouse.bastion.write(keys, former, mode="600", owner="tunnel:tunnel")
