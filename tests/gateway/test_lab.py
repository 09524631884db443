"""The gateway on a real bastion: machines enrol over SSH and over HTTP, tunnel, and are cut."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.command import run
from tests.lab.shell import Result
from tests.lab.tunnels import CHECKOUT, cli, done, pyinfra, refused, untouched, visit, wait_verified
from tests.lab.world import World

HERE = "/usr/local/lib/python3.11/dist-packages"
GATEWAY = "python3 -m scitex_ssh gateway"
PACKAGES = (
    *(
        "annotated_doc",
        "annotated_types",
        "anyio",
        "cffi",
        "_cffi_backend*",
        "click",
        "cryptography",
        "fastapi",
    ),
    *(
        "h11",
        "httptools",
        "idna",
        "opentelemetry",
        "pydantic",
        "pydantic_core",
        "sqlalchemy",
        "starlette",
        "jinja2",
        "markupsafe",
    ),
    *("typing_extensions.py", "typing_inspection", "uvicorn", "yaml", "greenlet"),
)

pytestmark = [
    pytest.mark.suites("bookworm"),
    pytest.mark.skipif(
        sys.version_info[:2] != (3, 11), reason="the bastion's Python, whose wheels it gets, is 3.11"
    ),
]


def equip(world: World, folder: Path) -> None:
    """Bring the package and what it needs to the bastion, as pip would."""
    import click

    site = Path(click.__file__).parents[1]
    names = [str(path.relative_to(site)) for name in PACKAGES for path in site.glob(name)]
    archive = folder / "packages.tar"
    subprocess.run(["tar", "-C", site, "-cf", archive, "--exclude=__pycache__", *names], check=True)
    subprocess.run(["tar", "-C", CHECKOUT, "-rf", archive, "--exclude=__pycache__", "scitex_ssh"], check=True)
    world.bastion.copy_in(archive, "/root/packages.tar")
    world.bastion.sh(f"mkdir -p {HERE} && tar -C {HERE} -xf /root/packages.tar && rm /root/packages.tar")


def gateway(world: World, *words: str, check: bool = True, program: str = GATEWAY) -> Result:
    """Give a command of the gateway on the bastion, as root."""
    return world.bastion.sh(f"{program} {' '.join(words)}", check=check, timeout=90)


CLEAN = """
systemctl stop gw-http.service 2>/dev/null
systemctl disable -q --now scitex-ssh-gateway.service scitex-ssh-gateway-upkeep.timer 2>/dev/null
rm -rf /etc/scitex-ssh/gateway.env /etc/ssh/sshd_config.d/60-scitex-ssh-gateway.conf
rm -rf /var/lib/scitex-ssh-gateway /etc/systemd/system/scitex-ssh-gateway*
systemctl daemon-reload
systemctl reload ssh
rm -f /home/alice/token
rm -rf /opt/scitex-ssh
[ ! -L /usr/local/bin/scitex-ssh ] || rm /usr/local/bin/scitex-ssh
"""


@pytest.fixture
def bare(desk: World) -> Iterator[World]:
    """Give a bastion with nothing on it, and none of a gateway afterwards."""
    yield desk
    desk.bastion.sh(CLEAN, check=False)
    desk.workstation.sh("rm -f /home/alice/token /home/alice/.ssh/scitex-ssh-bastion* /home/alice/.ssh/web*")


@pytest.fixture
def site(bare: World, tmp_path: Path) -> World:
    """Give a bastion with the package on it, and no gateway yet."""
    equip(bare, tmp_path)
    return bare


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Give a folder with all that a bastion without a registry needs, as docs/how-to/gateway.md fills it."""
    folder = tmp_path / "wheels"
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(CHECKOUT))
    (own,) = folder.glob("scitex_ssh-*.whl")
    run(*pip, "download", "--prefer-binary", "--dest", str(folder), "pip", f"{own}[gateway]")
    return folder


def test_machines_enrol_tunnel_and_are_cut(site: World) -> None:
    """Over SSH with no server, then over HTTP; the same again asks for nothing; revoked, the session ends."""
    world = site
    # The account that other tests log in with keeps its file of keys: this gateway has one of its own.
    world.bastion.write(
        "/etc/scitex-ssh/gateway.env",
        "SSH_USER=gwtunnel\nSCITEX_SSH_GATEWAY_SERVER_KEYS=1\nAPI_KEY=correct-horse\n"
        "SERVER_HOST=0.0.0.0\nSSH_PUBLIC_HOST=bastion\n",
        mode="640",
    )
    assert "changed" in gateway(world, "install").stdout
    assert gateway(world, "install").stdout == "ok            nothing to do\n"
    token = gateway(world, "token", "create", "lab").stdout.strip()
    home = "/home/alice"
    world.workstation.write(f"{home}/token", token, owner="alice:alice")
    url = ("--gateway", "ssh://enrol@bastion")

    # A wrong token opens nothing, and the right one only once.
    wrong = world.workstation.sh(
        f"echo nonsense | scitex-ssh setup {' '.join(url)} --token-file -",
        user="alice",
        check=False,
        timeout=90,
    )
    refused(wrong, "gateway-token")
    said = cli(world, "setup", *url, "--token-file", "token", "--machine", "lab1")
    assert "Enrolled as lab1: port 20000 of gwtunnel@bastion." in said.stderr, said.stderr
    assert "Verified: " in said.stdout, said.stdout + said.stderr
    assert said.status == 0
    wait_verified(world, 20000)
    reached = world.client.sh("true", user="carol", check=False)
    assert reached.status == 0
    assert visit(world, 20000).stdout.split() == ["alice", "workstation"]
    again = done(cli(world, "setup", *url))
    assert "nothing to do" in again.stdout + again.stderr

    # What the two accounts let a key do, and what not.
    key = f"{home}/.ssh/scitex-ssh-bastion"
    ssh = f"ssh -o BatchMode=yes -i {key} -o IdentitiesOnly=yes"
    for words in (
        "enrol@bastion id",
        "gwtunnel@bastion id",
        "-W localhost:22 enrol@bastion",
        "-W localhost:22 gwtunnel@bastion",
    ):
        attempt = world.workstation.sh(f"timeout 20 {ssh} {words} </dev/null", user="alice", check=False)
        assert attempt.status != 0, words
        assert "uid=" not in attempt.stdout
        assert "SSH-" not in attempt.stdout
    port = world.workstation.sh(f"{ssh} enrol@bastion port </dev/null", user="alice")
    assert port.stdout == "20000\n"

    # The lease renews itself, since the tunnel is up.
    world.bastion.sh(
        "python3 -c \"import sqlite3; db = sqlite3.connect('/var/lib/scitex-ssh-gateway/gateway.db'); "
        "db.execute('UPDATE machines SET seen = 0, expires = 1'); db.commit()\""
    )
    gateway(world, "tick")
    assert '"state": "active"' in gateway(world, "export", "--format", "json").stdout

    # Revoked: the session ends, and the key is let in no more.
    assert "lab1 is revoked; port 20000 is free" in gateway(world, "revoke", "lab1").stdout
    assert world.bastion.sh("ss -Hltn sport = :20000").stdout == ""
    assert visit(world, 20000).status != 0
    refused(cli(world, "setup", *url), "gateway-revoked")
    done(cli(world, "remove", "-p", "20000"))

    # Over HTTP, with a key of its own.
    world.bastion.sh(f"systemd-run --unit gw-http --uid enrol {GATEWAY} serve --plain-http")
    ready = "import urllib.request as u; u.urlopen('http://bastion:12000/readyz')"
    world.workstation.wait_for(f'python3 -c "{ready}"', 60)
    token = gateway(world, "token", "create", "web").stdout.strip()
    world.workstation.write(f"{home}/token", token, owner="alice:alice")
    flags = ("--gateway", "http://bastion:12000", "--token-file", "token", "-s", f"{home}/.ssh/web")
    web = cli(world, "setup", *flags, "--machine", "lab2")
    assert "Verified: " in web.stdout, web.stdout + web.stderr
    # Its token is used up; what it got at its first time opens for it.
    assert "nothing to do" in done(cli(world, "setup", *flags)).stdout
    listed = gateway(world, "list").stdout
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["lab1", "revoked"], ["lab2", "active"]]
    number = listed.splitlines()[2].split()[2]
    done(cli(world, "remove", "-p", number))


def inventory(world: World, folder: Path, **data: object) -> Path:
    """Write an inventory with the bastion as a gateway, for an admin who may log in there."""
    bastion = world.bastion
    bastion.sh("id gwadmin >/dev/null 2>&1 || useradd -m -s /bin/bash gwadmin")
    bastion.write("/etc/sudoers.d/gwadmin", "gwadmin ALL=(ALL) NOPASSWD: ALL\n", mode="440")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id"))
    bastion.authorize("gwadmin", (folder / "id.pub").read_text().strip())
    (folder / "known").write_text("".join(f"{bastion.address} {key}\n" for key in bastion.host_keys()))
    login = {
        "ssh_user": "gwadmin",
        "ssh_key": str(folder / "id"),
        "ssh_known_hosts_file": str(folder / "known"),
        "ssh_strict_host_key_checking": "yes",
        "_sudo": True,
        "gateway_settings": {"SSH_USER": "gwtunnel", "SSH_PUBLIC_HOST": "bastion"},
        **data,
    }
    path = folder / "inventory.py"
    path.write_text(f"gateways = ([{bastion.address!r}], {login!r})\n")
    return path


PAGE = "import urllib.request as u; print(u.urlopen('http://localhost:12000{path}').read().decode())"


def page(world: World, path: str = "/") -> str:
    """What the gateway's own server answers on the bastion."""
    return world.bastion.sh(f'python3 -c "{PAGE.format(path=path)}"').stdout


def test_a_deploy_installs_it_and_the_page_tells_the_truth(bare: World, tmp_path: Path, wheels: Path) -> None:
    """From a folder of wheels onto a bastion with nothing: shown first, done once, hardened; and it works.

    From inside the unit a machine that enrols is verified by its host key.
    """
    pytest.importorskip("pyinfra")
    world, hosts = bare, inventory(bare, tmp_path, gateway_wheels=str(wheels))
    there = functools.partial(gateway, bare, program="scitex-ssh gateway")
    with untouched(world.bastion):
        dry = done(pyinfra(world, "--dry", hosts, "deploys/gateway.py"))
    assert "would-change  all of it: the package is not there yet" in dry.stderr
    done(pyinfra(world, "-y", hosts, "deploys/gateway.py"))
    assert there("install", "--http", "--dry-run").stdout == "ok            nothing to do\n"
    with untouched(world.bastion):
        again = done(pyinfra(world, "-y", hosts, "deploys/gateway.py"))
    assert re.search(r"The gateway runs +1 +- +- +1", again.stderr), again.stderr

    verify = world.bastion.sh("systemd-analyze verify /etc/systemd/system/scitex-ssh-gateway*.service")
    assert verify.stderr == ""
    for unit, most in (("scitex-ssh-gateway", 2.0), ("scitex-ssh-gateway-upkeep", 5.0)):
        rated = world.bastion.sh(f"systemd-analyze security --no-pager {unit}.service").stdout
        exposure = re.search(r"exposure level for \S+: ([\d.]+)", rated)
        assert exposure is not None
        assert float(exposure[1]) <= most, rated
    world.bastion.wait_for('python3 -c "' + PAGE.format(path="/readyz") + '"', 60)

    token = there("token", "create", "lab").stdout.strip()
    world.workstation.write("/home/alice/token", token, owner="alice:alice")
    url = ("--gateway", "ssh://enrol@bastion", "--machine", "lab3")
    said = cli(world, "setup", *url, "--token-file", "token")
    assert "Verified: " in said.stdout, said.stdout + said.stderr
    # The hardened unit may do all that it has to: see the port, and have ssh ask for the host key.
    world.bastion.sh("systemctl start scitex-ssh-gateway-upkeep.service")
    assert '<span class="standing verified"' in page(world), page(world)
    assert "ssh -J bastion -p 20000 -o HostKeyAlias=lab3 alice@localhost" in page(world)
    assert 'scitex_ssh_gateway_machines{state="active"} 1' in page(world, "/metrics")
    shown = there("show", "lab3").stdout
    assert re.search(r"proof +verified", shown), shown

    # Where there is no Python, a script asks over ssh for the same port.
    script = there("script", "ssh://enrol@bastion").stdout
    world.workstation.write("/home/alice/enrol.sh", script, owner="alice:alice")
    again = world.workstation.sh("sh enrol.sh </dev/null", user="alice", check=False, timeout=90)
    assert "Enrolled: port 20000 of gwtunnel@bastion:22." in again.stderr, again.stderr
    assert "nothing to do" in done(again).stdout

    # The agent holds the same port in the foreground, once the keeper has let it go.
    done(cli(world, "remove", "-p", "20000"))
    agent = world.workstation.sh(
        f"timeout -s INT 12 scitex-ssh agent {' '.join(url)} </dev/null",
        user="alice",
        check=False,
        timeout=90,
    )
    assert "Verified: " in agent.stdout + agent.stderr, agent.stdout + agent.stderr
    assert "Held until Ctrl-C." in agent.stdout
    assert world.workstation.sh("ls -A /etc/scitex-ssh/tunnels 2>/dev/null", check=False).stdout == ""
