"""A host to reach: an sshd of its own on loopback, an ordinary process that ends with us."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from scitex_ssh import demo


@dataclass(frozen=True)
class There:
    """A host, as a client knows it: `there`, and through itself as a jump host `behind`.

    Attributes:
        folder: everything of this host and its client.
        port: where its sshd listens on 127.0.0.1.
        sshd: the process that does.
    """

    folder: Path
    port: int
    sshd: int

    @property
    def config(self) -> Path:
        """The client's configuration."""
        return self.folder / "config"

    @property
    def authorized(self) -> Path:
        """The ``authorized_keys`` of its account, where it has one of its own."""
        return self.folder / "home/.ssh/authorized_keys"

    @property
    def opts(self) -> list[str]:
        """Flags for ssh."""
        return ["-F", str(self.config)]

    def argv(self, *words: str) -> list[str]:
        """The command line, with the client's configuration behind its first word."""
        first, *rest = words
        return [sys.executable, "-m", "scitex_ssh", first, "-F", str(self.config), *rest]

    def cli(self, *words: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run the command line to its end; without input, its stdin is /dev/null."""
        stdin = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        return subprocess.run(self.argv(*words), capture_output=True, timeout=120, **stdin)  # type: ignore[call-overload]


@contextmanager
def standing(account: bool = False, env: Mapping[str, object] | None = None) -> Iterator[There]:
    """A host while the block runs, with ``env``; with an ``account``, its home is a folder of ours."""
    # A short path, for sockets below it.
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="remote-")))
        stack.enter_context(demo._privilege_separation())
        key = demo._key(folder / "key")
        host_key = demo._key(folder / "host_key")
        (port,) = demo._free_ports(1)
        home = folder / "home"
        home.mkdir(mode=0o700)
        (folder / "authorized_keys").write_text((folder / "key.pub").read_text())
        # bash with this SHLVL reads no .bashrc, which on some machines costs more than all the rest.
        wanted = {"SHLVL": 5, **({"HOME": home} if account else {}), **(env or {})}
        variables = " ".join(f"{name}={value}" for name, value in wanted.items())
        (folder / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\n"
            f"AuthorizedKeysFile {folder}/authorized_keys {home}/.ssh/authorized_keys\n"
            "PidFile none\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
            f"SetEnv {variables}\nMaxStartups 100\nMaxSessions 100\n"
        )
        log = stack.enter_context((folder / "log").open("w"))
        command = [demo._find_sshd(), "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        demo._wait_for_port(port, process, folder / "log")
        (folder / "known_hosts").write_text(f"there {(folder / 'host_key.pub').read_text()}")
        (folder / "config").write_text(
            f"Host there there2 behind\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias there\n"
            "Host behind\n  ProxyJump there\n"
            f"Host *\n  User {demo._me()}\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
            f"  IdentityAgent none\n  UserKnownHostsFile {folder}/known_hosts\n"
            # What a call must not inherit.
            f"  LocalForward {port} 127.0.0.1:{port}\n  ExitOnForwardFailure yes\n"
            f"  ControlMaster auto\n  ControlPath {folder}/inherited\n  RequestTTY force\n"
        )
        yield There(folder, port, process.pid)


def free_port() -> int:
    """A port that the kernel picks: those beside a host's own are for the hosts of other processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def commands(mark: str) -> list[str]:
    """The processes that are the very command ``mark``, by its words."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            continue
        if words == mark:
            found.append(words)
    return found


def wait_for(count: int, mark: str, seconds: float = 60) -> bool:
    """Whether so many processes are that command, waiting for it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if len(commands(mark)) == count:
            return True
        time.sleep(0.05)
    return False


def unique() -> str:
    """A number of seconds that no other test sleeps for."""
    unique.last = getattr(unique, "last", 90000 + os.getpid() % 5000) + 1  # type: ignore[attr-defined]
    return str(unique.last)  # type: ignore[attr-defined]
