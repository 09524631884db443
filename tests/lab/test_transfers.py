"""Files through a tunnel, by the name that a client's configuration gives the host behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shlex import quote

import pytest

from .tunnels import PYZ, Wanted, cli, done, pyz
from .world import World

pytestmark = pytest.mark.suites("bookworm")

CONFIG = """\
Host lab1
    HostName localhost
    Port 2222
    User alice
    HostKeyAlias lab1
    ProxyJump carol@bastion
"""

# Made there, by bash: what a shell, ssh, sftp or rsync could take for something else.
NAMES = r"""
mkdir -p files/$'deep \n er' && cd files
names=('a b' '-rf' '--delete' $'new\nline' 'ünï ☃' '*' '?[a]' "it's \"q\"" 'a:b' 'back\slash' ' ' '~' '$(id)')
names+=($'\xff\xfe')
for name in "${names[@]}"; do printf '%s' "$name" | tee -- "./$name" >"$(printf 'deep \n er')/$name"; done
"""
SUMS = "cd {} && find . -type f -print0 | sort -z | xargs -0 sha256sum -z -- | tr '\\0' '\\n' | sha256sum"


@pytest.fixture
def named(desk: World) -> Iterator[World]:
    """Give a world in which carol, at the client, has the command, and calls the workstation lab1."""
    client = desk.client
    done(cli(desk, "setup", *Wanted().argv))
    client.copy_in(pyz(), PYZ)
    former = client.sh("cat ~/.ssh/known_hosts", user="carol").stdout
    keys = "".join(f"lab1 {key}\n" for key in desk.workstation.host_keys())
    client.write("/home/carol/.ssh/known_hosts", former + keys, owner="carol:carol")
    client.write("/home/carol/.ssh/config", CONFIG, owner="carol:carol", mode="600")
    rules = "default: {copy: allow, exec: allow}\n"
    client.write("/home/carol/.scitex/ssh/config.yaml", rules, owner="carol:carol")
    clean(desk)
    yield desk
    clean(desk)
    client.sh("rm -rf /home/carol/.ssh/config /home/carol/.scitex")
    client.write("/home/carol/.ssh/known_hosts", former, owner="carol:carol")


def clean(world: World) -> None:
    """Nothing of a test is left."""
    for host, user in ((world.client, "carol"), (world.workstation, "alice")):
        host.sh("rm -rf ~/files ~/back ~/large ~/.large*", user=user)


def test_any_name_goes_there_and_back(named: World) -> None:
    """By copy and by sync; what is deleted is what is shown, and a name in bytes is the same bytes."""
    client, workstation = named.client, named.workstation
    client.sh(f"exec bash -c {quote(NAMES)}", user="carol")
    wanted = client.sh(SUMS.format("files"), user="carol").stdout
    client.sh(f"{PYZ} copy -r files lab1:", user="carol", timeout=90)
    assert workstation.sh(SUMS.format("files"), user="alice").stdout == wanted
    client.sh(f"{PYZ} copy -r lab1:files back", user="carol", timeout=90)
    assert client.sh(SUMS.format("back"), user="carol").stdout == wanted
    # One alone, by a name that looks like a flag.
    client.sh(f"cd files && {PYZ} copy -- -rf lab1:back", user="carol", timeout=60)
    assert workstation.read("/home/alice/back") == "-rf"
    client.sh("cd files && rm -- '*' '--delete' && printf more >more", user="carol")
    wanted = client.sh(SUMS.format("files"), user="carol").stdout
    shown = client.sh(f"{PYZ} sync --delete --dry-run files/ lab1:files", user="carol", timeout=60).stdout
    assert "--delete" in shown
    refused = client.sh(f"{PYZ} sync --delete files/ lab1:files", user="carol", check=False, timeout=60)
    assert (refused.status, "[sync-deletes]" in refused.stderr) == (3, True)
    client.sh(f"{PYZ} sync --delete --yes files/ lab1:files", user="carol", timeout=60)
    assert workstation.sh(SUMS.format("files"), user="alice").stdout == wanted


def test_a_large_file_goes_on_where_it_was_cut(named: World) -> None:
    """300 MB; the connection is killed on the way; the second call sends the rest, and the file is whole."""
    client, workstation = named.client, named.workstation
    client.sh("head -c 300000000 /dev/urandom >large", user="carol")
    with client.popen(f"{PYZ} copy -q large lab1:", user="carol") as copying:
        part = ".large.scitex-ssh-part"
        workstation.wait_for(f"[ $(stat -c %s {part} || echo 0) -gt 100000000 ]", 60, user="alice")
        # Of the client, what leads to the bastion: as a cable that is pulled, but noticed at once.
        client.sh("pkill -KILL -u carol -x ssh")
        assert copying.wait(30) != 0
    assert not workstation.exists("/home/alice/large")
    sent = json.loads(client.sh(f"{PYZ} copy --resume --json large lab1:", user="carol", timeout=90).stdout)
    assert (sent["files"], sent["success"]) == (1, True)
    assert sent["bytes"] < 210_000_000
    ends = ((client, "carol"), (workstation, "alice"))
    assert len({host.sh("sha256sum <large", user=user).stdout for host, user in ends}) == 1
    assert not workstation.exists(f"/home/alice/{part}")
