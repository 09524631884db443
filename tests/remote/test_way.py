"""A tunnel over jump hosts, or through a proxy: forwarded, proven, and each link named that fails."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from scitex_ssh import demo
from scitex_ssh.errors import SSHError
from scitex_ssh.model import Tunnel

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(not SSHD, reason="needs sshd (package openssh-server)")
ALL = "127.0.0.1"


class Way:
    """Three sshds, of which the last is the bastion; the first takes a key that the others do not."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.ports = demo._free_ports(6)
        self.key = demo._key(folder / "key")
        self.hop_key = demo._key(folder / "hop key")
        self.processes = {
            "first": self._sshd("first", ALL, self.ports[0], "hop key"),
            "second": self._sshd("second", ALL, self.ports[1], "key"),
            "bastion": self._sshd("bastion", "::1", self.ports[2], "key"),
        }
        self.bastion = f"{demo._me()}@[::1]:{self.ports[2]}"
        self.jump = ",".join(f"{demo._me()}@{ALL}:{port}" for port in self.ports[:2])

    def _sshd(self, name: str, address: str, port: int, key: str) -> subprocess.Popen[bytes]:
        folder = self.folder / name
        folder.mkdir()
        host_key = demo._key(folder / "host_key")
        (folder / "authorized_keys").write_text((self.folder / f"{key}.pub").read_text())
        (folder / "sshd_config").write_text(
            f"Port {port}\nListenAddress {address}\nHostKey {host_key}\nPidFile none\nStrictModes no\n"
            f"UsePAM no\nAuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\n"
            "PermitRootLogin prohibit-password\nMaxStartups 100\n"
        )
        log = self.stack.enter_context((folder / "log").open("w"))
        command = [demo._find_sshd(), "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        wait_for_port(address, port)
        return process

    def tunnel(self, **more: Any) -> Tunnel:
        """A port of the bastion that leads to the first host's sshd."""
        described = {"target": f"{ALL}:{self.ports[0]}", "name": "way", **more}
        return Tunnel.of(self.ports[3], described.pop("bastion", self.bastion), str(self.key), **described)

    def over_both(self, **more: Any) -> Tunnel:
        """That, over the two hosts before the bastion."""
        return self.tunnel(**{"jump": self.jump, "jump_key": str(self.hop_key), **more})

    def held(self, tunnel: Tunnel, do: Callable[[Path], None] = lambda _: None) -> str:
        """What its proof says while it stands, or the slug of its error; ``do`` sees its folder."""
        with TemporaryDirectory(prefix="way-") as name:
            try:
                with demo._tunnel(Path(name), tunnel) as proof:
                    do(Path(name) / "tunnel")
                    return proof.level
            except SSHError as problem:
                self.problem = problem
                return problem.slug


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    """Give the hosts."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="way-")))
        stack.enter_context(demo._privilege_separation())
        yield Way(stack, folder)


def wait_for_port(address: str, port: int) -> None:
    """Until somebody listens there."""
    for _ in range(500):
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            threading.Event().wait(0.02)
    raise AssertionError(f"nobody listens on {address} port {port}")


def test_over_two_hosts_to_an_ipv6_bastion(way: Way) -> None:
    """The tunnel is proven over both, with a key for each, and every host key is pinned."""
    seen = {}

    def look(folder: Path) -> None:
        seen["pins"] = sorted(line.split()[0] for line in (folder / "known_hosts").read_text().splitlines())
        seen["config"] = (folder / "ssh_config").read_text()
        (process,) = [
            line for line in ssh_commands() if f"-F {folder}/ssh_config -W" in line and "jump-2" in line
        ]
        seen["last hop"] = process

    assert way.held(way.over_both(), look) == "verified"
    assert seen["pins"] == sorted(
        [f"[{ALL}]:{way.ports[0]}", f"[{ALL}]:{way.ports[1]}", f"[::1]:{way.ports[2]}"]
    )
    assert "StrictHostKeyChecking yes" in seen["config"]


def test_nothing_of_it_is_left(way: Way) -> None:
    """With the tunnel the connections over the hosts end."""
    place: list[Path] = []
    assert way.held(way.over_both(), place.append) == "verified"
    for _ in range(100):
        left = [line for line in ssh_commands() if str(place[0]) in line]
        if not left:
            break
        threading.Event().wait(0.1)
    assert left == []


def test_the_users_own_configuration_is_not_read(way: Way, tmp_path: Path, monkeypatch: Any) -> None:
    """A ProxyCommand for every host in it changes nothing: the same way with it and without."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host *\n  ProxyCommand false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert way.held(way.over_both()) == "verified"


def test_a_shell_that_runs_no_commands_is_no_matter(way: Way, monkeypatch: Any) -> None:
    """Ssh starts its hops with $SHELL, which for an account of a service is often nologin."""
    monkeypatch.setenv("SHELL", "/usr/sbin/nologin")
    assert way.held(way.over_both()) == "verified"


def test_a_host_that_does_not_take_the_key_is_named(way: Way) -> None:
    """The first takes another key than the tunnel's own."""
    assert way.held(way.over_both(jump_key=None)) == "key-not-accepted"
    assert f"{demo._me()}@{ALL}" in str(way.problem)


def test_a_host_that_is_not_there_is_named(way: Way) -> None:
    """The second is looked for where nobody listens; the first says so."""
    nobody = way.ports[5]
    first, _, _ = way.jump.partition(",")
    assert way.held(way.over_both(jump=f"{first},u@{ALL}:{nobody}")) == "jump-dead-end"
    facts = way.problem.facts
    assert (facts["hop"], facts["port"]) == (f"{demo._me()}@{ALL}", str(nobody))
    assert "Connection refused" in facts["why"]
    assert way.held(way.over_both(jump=f"u@{ALL}:{nobody},{first}")) == "bastion-refused"
    assert way.problem.facts["port"] == str(nobody)


def test_a_bastion_that_is_not_there_is_told_by_the_last_host(way: Way) -> None:
    """No port is at fault but the bastion's."""
    nobody = way.ports[5]
    assert way.held(way.over_both(bastion=f"u@{ALL}:{nobody}")) == "jump-dead-end"
    assert way.problem.facts["port"] == str(nobody)


def test_a_host_that_forwards_nothing_is_named(way: Way) -> None:
    """What the way lacks is the one setting of the host that refuses."""
    path = way.folder / "second/authorized_keys"
    was = path.read_text()
    try:
        path.write_text(f'restrict,port-forwarding,permitopen="[::1]:{way.ports[2]}" {was}')
        assert way.held(way.over_both()) == "verified"
        path.write_text(f"restrict {was}")
        assert way.held(way.over_both()) == "jump-forbidden"
    finally:
        path.write_text(was)
    assert way.problem.facts["port"] == str(way.ports[2])


def test_the_host_key_of_a_host_is_asked_about(way: Way) -> None:
    """Nobody accepted it: the first host that is not known is named, with its fingerprint."""
    with TemporaryDirectory(prefix="way-") as name:
        command = [
            sys.executable,
            "-m",
            "scitex_ssh",
            "doctor",
            "-b",
            way.bastion,
            "-s",
            str(way.key),
            "--json",
        ]
        more = ["-J", way.jump, "--jump-key", str(way.hop_key)]
        environment = {**os.environ, "HOME": name}
        done = subprocess.run([*command, *more], capture_output=True, text=True, env=environment)
    assert done.returncode == 50, done.stderr
    assert '"jump-1"' in done.stdout
    assert "host-key-unknown" in done.stdout
    print_of = subprocess.run(
        ["ssh-keygen", "-lf", str(way.folder / "first/host_key.pub")], capture_output=True, text=True
    )
    assert print_of.stdout.split()[1] in done.stdout


NC = shutil.which("nc") or ""
needs_nc = pytest.mark.skipif(
    not NC or "-X proto" not in subprocess.run([NC, "-h"], capture_output=True, text=True).stderr,
    reason="needs nc of OpenBSD (package netcat-openbsd)",
)


@contextmanager
def proxy(kind: str, refuse: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A proxy on this machine: its URL, and the requests that it was sent."""
    requests: list[bytes] = []
    with socket.create_server((ALL, 0)) as server:
        serve = {"http": _http, "socks5": _socks}[kind]

        def accept() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(client, requests, refuse), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"{kind}://{ALL}:{server.getsockname()[1]}", requests
        # The thread waits in accept, which closing alone would not end.
        server.shutdown(socket.SHUT_RDWR)


def _http(client: socket.socket, requests: list[bytes], refuse: bool) -> None:
    said = b""
    while b"\r\n\r\n" not in said:
        said += client.recv(1)
    request = said.split(b"\r\n")[0]
    requests.append(request)
    if refuse:
        client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        client.close()
        return
    host, _, port = request.split()[1].decode().rpartition(":")
    there = socket.create_connection((host.strip("[]"), int(port)))
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    _relay(client, there)


def _socks(client: socket.socket, requests: list[bytes], refuse: bool) -> None:
    client.recv(2 + 255)
    client.sendall(b"\5\0")
    head = client.recv(4)
    size = {1: 4, 4: 16}.get(head[3]) or client.recv(1)[0]
    raw = client.recv(size)
    host = (
        raw.decode()
        if head[3] == 3
        else socket.inet_ntop(socket.AF_INET6 if size == 16 else socket.AF_INET, raw)
    )
    port = int.from_bytes(client.recv(2), "big")
    requests.append(f"{host} {port}".encode())
    client.sendall(b"\5" + (b"\2" if refuse else b"\0") + b"\0\1\0\0\0\0\0\0")
    if refuse:
        client.close()
        return
    _relay(client, socket.create_connection((host, port)))


def _relay(one: socket.socket, other: socket.socket) -> None:
    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    threading.Thread(target=pump, args=(one, other), daemon=True).start()
    pump(other, one)


@needs_nc
@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_through_a_proxy(way: Way, kind: str) -> None:
    """To a bastion by its IPv6 address, and over a host: only the first connection is the proxy's."""
    with proxy(kind) as (url, requests):
        assert way.held(way.tunnel(proxy=url)) == "verified"
        assert {str(way.ports[2]).encode() in each for each in requests} == {True}
        requests.clear()
        assert way.held(way.over_both(proxy=url)) == "verified"
        assert {str(way.ports[0]).encode() in each for each in requests} == {True}


@needs_nc
@pytest.mark.parametrize(("kind", "words"), [("http", "403 Forbidden"), ("socks5", "SOCKSv5 error")])
def test_what_a_proxy_refuses_is_said(way: Way, kind: str, words: str) -> None:
    """In its own words."""
    with proxy(kind, refuse=True) as (url, _):
        assert way.held(way.tunnel(proxy=url)) == "proxy-refused"
        assert words in way.problem.facts["why"]
        assert way.held(way.over_both(proxy=url)) == "proxy-refused"
        assert way.problem.facts["port"] == str(way.ports[0])


OTHERS = ("ncat", "socat", "corkscrew")


def only(tool: str, folder: Path) -> str:
    """A PATH with all commands but those that speak to proxies, of which it has this one alone."""
    for place in reversed(os.environ["PATH"].split(":")):
        for path in Path(place).glob("*"):
            link = folder / path.name
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    for name in {"nc", *OTHERS} - {tool}:
        (folder / name).unlink(missing_ok=True)
    return str(folder)


@pytest.mark.parametrize(
    ("tool", "kind"), [("ncat", "http"), ("ncat", "socks5"), ("socat", "http"), ("corkscrew", "http")]
)
def test_through_a_proxy_without_nc(way: Way, tmp_path: Path, monkeypatch: Any, tool: str, kind: str) -> None:
    """The other programs do as well, to an IPv6 address and over a host; what is refused is said."""
    if not shutil.which(tool):
        pytest.skip(f"needs {tool}")
    monkeypatch.setenv("PATH", only(tool, tmp_path))
    with proxy(kind) as (url, requests):
        assert way.held(way.tunnel(proxy=url)) == "verified"
        assert way.held(way.over_both(proxy=url)) == "verified"
        asked = {each.decode().removeprefix("CONNECT ").partition(" HTTP")[0] for each in requests}
        parts = " " if kind == "socks5" else ":"
        bastion = "::1" if kind == "socks5" else "[::1]"
        assert asked == {f"{bastion}{parts}{way.ports[2]}", f"{ALL}{parts}{way.ports[0]}"}
    with proxy(kind, refuse=True) as (url, _):
        assert way.held(way.tunnel(proxy=url)) == "proxy-refused"
    assert way.held(way.tunnel(proxy=f"{kind}://{ALL}:{way.ports[5]}")) == "proxy-unreachable"


@needs_nc
def test_a_proxy_that_is_not_there_is_named(way: Way) -> None:
    """And not the bastion behind it."""
    assert way.held(way.tunnel(proxy=f"http://{ALL}:{way.ports[5]}")) == "proxy-unreachable"
    assert "Connection refused" in way.problem.facts["why"]


def test_without_a_program_for_proxies(way: Way, tmp_path: Path, monkeypatch: Any) -> None:
    """The package that has one is named, before anything is tried."""
    monkeypatch.setenv("PATH", only("", tmp_path))
    nc = tmp_path / "nc"
    nc.write_text("#!/bin/sh\necho another nc >&2\n")
    nc.chmod(0o755)
    assert way.held(way.tunnel(proxy="http://127.0.0.1:1")) == "proxy-tool-missing"
    assert "netcat-openbsd" in str(way.problem)


def ssh_commands() -> list[str]:
    """The command lines of this machine's ssh processes."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            continue
        if words.startswith("ssh "):
            found.append(words)
    return found
