"""Forwards for a while, through a real sshd: in the background, and from a discovery file."""

from __future__ import annotations

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import scitex_ssh
from scitex_ssh import demo
from tests.remote.there import There


class Here:
    """Somebody on this machine with folders of their own."""

    def __init__(self, there: There, folder: Path) -> None:
        self.there, self.folder = there, folder
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SCITEX_SSH")},
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "SCITEX_SSH_CONFIG": str(folder / "config.yaml"),
        }
        self.env.pop("SUDO_USER", None)

    def forward(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command in a session of its own, which then ends."""
        argv = [sys.executable, "-m", "scitex_ssh", "forward", *words]
        return subprocess.run(
            argv,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            start_new_session=True,
        )

    def begun(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Begin some in the background."""
        return self.forward("--background", *self.way, *words)

    @property
    def way(self) -> list[str]:
        """The flags that lead to the bastion."""
        bastion = f"{getpass.getuser()}@127.0.0.1:{self.there.port}"
        return ["-b", bastion, "-s", str(self.there.folder / "key"), "--accept-new-host-key"]

    def listed(self) -> list[dict[str, Any]]:
        """What runs, as JSON."""
        tunnels = json.loads(self.forward("--list", "--json").stdout)["tunnels"]
        assert isinstance(tunnels, list)
        return tunnels


@pytest.fixture
def here(there: There, tmp_path: Path) -> Iterator[Here]:
    """Nobody's folders are touched, and nothing runs on."""
    somebody = Here(there, tmp_path)
    yield somebody
    ended = somebody.forward("--stop", "all")
    assert ended.returncode == 0, ended.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".json"]


def greeting(port: int) -> bytes:
    """What answers on a port of this machine."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        return connection.recv(4)


def wait_for_end(cmdline: Path, seconds: float = 10) -> bool:
    """Whether a process ends, waiting for it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not cmdline.read_bytes():
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_they_outlive_the_command_until_they_are_stopped(here: Here) -> None:
    """Proven when it returns; listed with the process that holds them; once, however often; then gone."""
    (port,) = demo._free_ports(1)
    words = ["-L", f"{port}:127.0.0.1:{here.there.port}"]
    done = here.begun(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"In the background as local-{port}, until" in done.stdout
    assert greeting(port) == b"SSH-"
    (seen,) = here.listed()
    assert (seen["tunnel"], seen["level"], seen["keeper"]) == (f"forward-local-{port}", "verified", "nohup")
    command = Path(f"/proc/{seen['pid']}/cmdline").read_text()
    assert f"forward-local-{port}/run" in command
    assert abs(seen["started"] - time.time()) < 120

    again = here.begun(*words)
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout
    assert [each["pid"] for each in here.listed()] == [seen["pid"]]
    table = here.forward("--list").stdout.splitlines()
    assert table[0].split() == ["NAME", "LEVEL", "BASTION", "FORWARDS", "PID", "STARTED", "DETAIL"]
    assert table[1].split()[:2] == [f"local-{port}", "verified"]
    assert str(seen["pid"]) in table[1]

    assert here.forward("--stop", f"local-{port}").returncode == 0
    # Whoever took the orphan in may be slow to ask about it: what is left then has no command line.
    assert wait_for_end(Path(f"/proc/{seen['pid']}/cmdline"))
    with pytest.raises(ConnectionRefusedError):
        greeting(port)
    assert here.listed() == []
    assert here.forward("--stop", f"local-{port}").stderr.endswith("[no-such-tunnel]\n")


def test_over_a_jump_host(here: Here) -> None:
    """Proven over it; one that is not there is named, and nothing is left."""
    local, nobody = demo._free_ports(2)
    words = ["-L", f"{local}:127.0.0.1:{here.there.port}"]
    lost = here.begun(*words, "-J", f"{getpass.getuser()}@127.0.0.1:{nobody}")
    assert (lost.returncode, "[bastion-refused]" in lost.stderr) == (20, True), lost
    assert here.listed() == []
    hop = f"{getpass.getuser()}@127.0.0.1:{here.there.port}"
    done = here.begun(*words, "-J", hop)
    assert done.returncode == 0, done.stderr
    assert greeting(local) == b"SSH-"
    (seen,) = here.listed()
    assert (seen["level"], seen["jumps"]) == ("verified", [hop])


def test_a_discovery_file_is_read_at_each_start(here: Here) -> None:
    """Its ports lead to the node of now; a file that says nothing usable is refused by its slug."""
    file = here.folder / "endpoint.json"
    words = ["--discovery", str(file), "-n", "job"]
    assert here.begun(*words).stderr.endswith("[bad-discovery]\n")
    assert here.listed() == []
    address = _address()
    with socket.create_server((address, 0)) as node:
        port = node.getsockname()[1]
        file.write_text(json.dumps({"node": address, "web_port": port, "away_port": 1024, "model": "x"}))
        done = here.begun(*words, "--service", "web")
        assert done.returncode == 0, done.stdout + done.stderr
        (seen,) = here.listed()
        assert [each["listen"] for each in seen["forwards"]] == [f"localhost:{port}"]
        assert seen["forwards"][0]["target"] == f"{address}:{port}"
    # The job runs elsewhere by now, and the same command goes there.
    with socket.create_server((address, 0)) as node:
        port = node.getsockname()[1]
        file.write_text(json.dumps({"node": address, "ports": {"web": port}}))
        done = here.begun(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        (seen,) = here.listed()
        assert (seen["tunnel"], seen["forwards"][0]["target"]) == ("forward-job", f"{address}:{port}")


def _address() -> str:
    """An address of this machine that is not of loopback, so that the port is free there; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has loopback only")
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (["--list", "--background"], "usage"),
        (["--stop", "a", "-L", "9000:a:1"], "usage"),
        (["-n", "a", "-L", "9000:a:1", "-b", "a", "-s", "/k"], "usage"),
        (["-L", "9000:a:1", "--service", "web", "-b", "a", "-s", "/k"], "usage"),
        (["--stop", "A"], "bad-name"),
        (["--background", "-b", "a", "-s", "/k"], "missing-field"),
    ],
)
def test_what_cannot_be_meant_is_refused(here: Here, words: list[str], slug: str) -> None:
    """With exit status 2, before anything is touched."""
    refused = here.forward(*words)
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (2, f"  [{slug}]")


def test_a_deny_is_one_in_the_foreground_and_in_the_background(here: Here) -> None:
    """The bastion that no forward may go through is not even asked."""
    (here.folder / "config.yaml").write_text("hosts:\n  127.0.0.1:\n    forward: deny\n")
    words = [*here.way, "-L", "9000:127.0.0.1:1"]
    for refused in (here.forward(*words), here.forward("--background", *words)):
        assert (refused.returncode, refused.stderr.splitlines()[-1]) == (3, "  [policy-denied]")
    (here.folder / "config.yaml").unlink()


@pytest.fixture
def somebody(there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> There:
    """A caller from Python with folders of their own."""
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.setenv("SCITEX_SSH_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    return there


def test_a_block_of_python_holds_one(somebody: There) -> None:
    """Proven when it begins, from a thread too, and gone when it ends, by an error too."""
    way = f"{getpass.getuser()}@127.0.0.1:{somebody.port}", str(somebody.folder / "key")
    port, other = demo._free_ports(2)
    wanted = {"local": f"{port}:127.0.0.1:{somebody.port}", "accept_new_host_key": True}

    def use(many: dict[str, Any]) -> None:
        with scitex_ssh.forwards.hold(*way, **many) as held:
            assert held.report.proofs[0].level == "verified"
            assert greeting(int(many["local"].partition(":")[0])) == b"SSH-"
            raise KeyError("mine")

    with ThreadPoolExecutor() as pool:
        both = [wanted, {**wanted, "local": f"{other}:127.0.0.1:{somebody.port}"}]
        problems = [done.exception() for done in [pool.submit(use, each) for each in both]]
    assert [repr(each) for each in problems] == ["KeyError('mine')"] * 2
    for each in (port, other):
        with pytest.raises(ConnectionRefusedError):
            greeting(each)
    with (
        pytest.raises(scitex_ssh.SSHError) as caught,
        scitex_ssh.forwards.hold(way[0], "/no/such/key", local=wanted["local"]),
    ):
        pytest.fail("it cannot stand")
    assert caught.value.slug == "key-missing"


def test_an_end_asked_for_again_and_again_is_one_end(here: Here) -> None:
    """As timeout(1) asks, or somebody in a hurry: what was held is gone, and all is well."""
    (port,) = demo._free_ports(1)
    wanted = ["-L", f"{port}:127.0.0.1:{here.there.port}"]
    argv = [sys.executable, "-m", "scitex_ssh", "forward", *here.way, *wanted]
    with subprocess.Popen(
        argv, env=here.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "Held until Ctrl-C.\n":
            assert line, "it ended"
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        assert process.stderr is not None
        assert (process.returncode, process.stdout.read(), process.stderr.read()) == (0, "", "")
    with pytest.raises(ConnectionRefusedError):
        greeting(port)


def test_what_holds_one_is_killed(somebody: There) -> None:
    """Then nothing of it is left, either."""
    (port,) = demo._free_ports(1)
    here = [f"{getpass.getuser()}@127.0.0.1:{somebody.port}", str(somebody.folder / "key")]
    program = (
        "import sys, time, scitex_ssh\n"
        "with scitex_ssh.forwards.hold(*sys.argv[1:3], local=sys.argv[3], accept_new_host_key=True):\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", program, *here, f"{port}:127.0.0.1:{somebody.port}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            greeting(port)
        except ConnectionRefusedError:
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def test_some_in_the_background_from_python(somebody: There) -> None:
    """Begun, seen, and stopped, each with its result."""
    (port,) = demo._free_ports(1)
    way = f"{getpass.getuser()}@127.0.0.1:{somebody.port}", str(somebody.folder / "key")
    wanted = f"{port}:127.0.0.1:{somebody.port}"
    try:
        made = scitex_ssh.forwards.begin(*way, name="db", local=wanted, accept_new_host_key=True)
        assert made.success, made["stderr"]
        assert greeting(port) == b"SSH-"
        assert [each.tunnel for each in scitex_ssh.forwards.running().report.observations] == ["forward-db"]
    finally:
        assert scitex_ssh.forwards.stop().success
    assert scitex_ssh.forwards.stop("db")["errors"][0]["slug"] == "no-such-tunnel"  # type: ignore[index]
