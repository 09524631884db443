"""A tunnel at work on one machine: its own bastion and target on loopback, as an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scitex_ssh import __version__
from scitex_ssh.errors import SSHError, error
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Tunnel
from scitex_ssh.plan.program import bind, program
from scitex_ssh.plan.report import Proof, read_line

_SECONDS = 20


def run() -> int:
    """Start a bastion and a target, hold a tunnel between them, prove it, use it, end all of it."""
    began = time.monotonic()
    sshd = _find_sshd()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scitex-ssh-demo-")))
        stack.enter_context(_privilege_separation())
        key = _key(folder / "key")
        ports = _free_ports(3)
        for name, port in (("bastion", ports[0]), ("target", ports[1])):
            stack.enter_context(_sshd(sshd, folder / name, port, key))
            _say(f"An sshd of its own plays the {name}, on 127.0.0.1:{port}.")
        tunnel = Tunnel.of(
            ports[2], f"{_me()}@127.0.0.1:{ports[0]}", str(key), target=f"127.0.0.1:{ports[1]}"
        )
        proof = stack.enter_context(_tunnel(folder, tunnel))
        _say(f"Verified: port {proof.tunnel} of the bastion answers with the target's own host key.")
        _say(f"A command sent through it says: {_through(folder, key, ports[2])}")
        _say("status: " + _state(folder))
    _say(f"All is torn down again; that took {time.monotonic() - began:.1f} s.")
    _say("For a real one: scitex-ssh setup -p 2222 -b you@your-bastion -s ~/.ssh/id_ed25519")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _find_sshd() -> str:
    for place in ("/usr/sbin", "/usr/local/sbin", "/usr/lib/openssh"):
        if os.access(f"{place}/sshd", os.X_OK):
            return f"{place}/sshd"
    found = shutil.which("sshd")
    if not found:
        raise error("ssh-missing", program="sshd", package="openssh-server")
    return found


@contextmanager
def _privilege_separation() -> Iterator[None]:
    """As root, sshd wants its folder, which a machine that runs no sshd may not have."""
    folder = Path("/run/sshd")
    made = os.getuid() == 0 and not folder.exists()
    if made:
        folder.mkdir(mode=0o755)
    try:
        yield
    finally:
        if made:
            folder.rmdir()


def _key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the range from which the kernel picks by itself."""
    import socket

    found = []
    for port in range(20000 + os.getpid() % 10000, 32768):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found


@contextmanager
def _sshd(program_path: str, folder: Path, port: int, key: Path) -> Iterator[None]:
    folder.mkdir()
    host_key = _key(folder / "host_key")
    (folder / "authorized_keys").write_text((key.parent / "key.pub").read_text())
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    log = (folder / "log").open("w")
    command = [program_path, "-D", "-e", "-f", str(folder / "sshd_config")]
    with log, subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log) as process:
        try:
            _wait_for_port(port, process, folder / "log")
            yield
        finally:
            process.terminate()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import socket

    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    words = log.read_text().strip().splitlines() or ["it did not start"]
    raise error("step-failed", title=f"sshd on port {port}", why=words[-1])


@contextmanager
def _tunnel(folder: Path, tunnel: Tunnel) -> Iterator[Proof]:
    """The tunnel, held by the same program and supervisor as everywhere, in the foreground."""
    text = program(
        PLANS,
        FRAGMENTS,
        entry='main foreground "$@"',
        tunnels=[bind(tunnel)],
        extra=("main",),
        version=__version__,
    )
    (folder / "program").write_text(text)
    (folder / "tunnel").mkdir()
    flags = ["--machine", "--accept-new-host-key", f"--foreground={folder}/tunnel"]
    with subprocess.Popen(
        ["sh", folder / "program", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _await_proof(process)
        finally:
            process.send_signal(signal.SIGTERM)


def _await_proof(process: subprocess.Popen[str]) -> Proof:
    assert process.stdout is not None
    for text in process.stdout:
        line = read_line(text)
        if isinstance(line, SSHError):
            raise line
        if isinstance(line, Proof):
            return line
    raise error("internal", why=f"the tunnel's program ended with {process.wait()}")


def _through(folder: Path, key: Path, port: int) -> str:
    command = [
        *("ssh", "-n", "-F", "none", "-i", str(key), "-p", str(port)),
        *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"),
        *("-o", "StrictHostKeyChecking=accept-new"),
        *("-o", f"UserKnownHostsFile={folder}/known_hosts"),
        *(f"{_me()}@127.0.0.1", "echo hello from $(uname -n), over SSH_CONNECTION=$SSH_CONNECTION"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        raise error("step-failed", title="a command through the tunnel", why=done.stderr.strip())
    return done.stdout.strip()


def _state(folder: Path) -> str:
    facts = dict(
        text.partition(" ")[::2] for text in (folder / "tunnel/state/state").read_text().splitlines()
    )
    return f"attempt {facts['attempts']}, port taken back by: {facts['mode']}"


if __name__ == "__main__":
    sys.exit(run())
