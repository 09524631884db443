"""A machine of the lab: its power, the scripts run on it, its files."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from .command import run
from .container import BootFailed, Container
from .entries import Entry, collect
from .network import Link, add_namespace
from .shell import Result, Running, ScriptFailed, execute, words

# A name server that refuses at once: a lookup never hangs.
RESOLVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"

SETTLED = """
state=$(systemctl is-system-running --wait 2>&1)
echo "$state"
case $state in running|degraded) exit 0 ;; esac
systemctl list-jobs
exit 1
"""


class Machine:
    """One disposable machine of the lab, on one segment of its network."""

    def __init__(self, name: str, suite: str, container: Container, link: Link) -> None:
        self.name = name
        self.suite = suite
        self.container = container
        self.link = link
        self._connected = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.suite} {self.address}>"

    @property
    def address(self) -> str:
        """The host's own IPv4 address."""
        return str(self.link.address)

    @property
    def address6(self) -> str:
        """The host's own IPv6 address."""
        return str(self.link.address6)

    @property
    def running(self) -> bool:
        """Whether the host is on."""
        return self.container.running

    # Power

    def create(self) -> None:
        """Make the files of the host, with an identity of its own."""
        self.container.mount()
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/resolv.conf", RESOLVER)
        self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n", mode="444")
        for kind in ("rsa", "ecdsa", "ed25519"):
            file = f"/etc/ssh/ssh_host_{kind}_key"
            self._files(f"ssh-keygen -q -t {kind} -N '' -C root@{self.name} -f {file}")

    def boot(self, timeout: float = 60) -> None:
        """Switch the host on and wait until all its services have started."""
        if self.running:
            raise BootFailed(f"{self.name} is on already.")
        # A host that switched itself off leaves its network behind.
        self.power_loss()
        add_namespace(self.link.namespace)
        self.link.plug()
        self._connected = True
        self.container.start(self.link.namespace, self.name)
        try:
            # Without systemd: when it can be logged in to.
            self.wait_for("grep -q ':0016 .* 0A ' /proc/net/tcp" if self.container.init else SETTLED, timeout)
        except ScriptFailed as reason:
            raise BootFailed(f"{reason}\n--- console\n{self.container.console_tail()}") from reason

    def poweroff(self, timeout: float = 100) -> None:
        """Switch the host off in order."""
        self.container.stop(timeout)
        self.power_loss()

    def reboot(self) -> None:
        """Switch the host off in order and on again, with the same files."""
        self.poweroff()
        self.boot()

    def power_loss(self) -> None:
        """Switch the host off without a word to anybody; it stays off until `boot()`."""
        # The cable goes first: otherwise the kernel would close the connections of what it ends.
        if self._connected:
            self.link.unplug()
        self.container.kill()
        if self._connected:
            run("ip", "netns", "del", self.link.namespace)
        self._connected = False

    def destroy(self) -> None:
        """Remove the host."""
        self.power_loss()
        self.container.remove()
        self.link.free()

    # Scripts

    def sh(
        self,
        script: str,
        *,
        user: str = "root",
        check: bool = True,
        input: str | bytes | None = None,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a script on the host, for a user other than root in a login of theirs.

        A script that has not ended after the timeout is killed and raises, checked or not.
        """
        if not self.running:
            raise BootFailed(f"{self.name} is off, so no script runs on it.")
        return self._run(words(script, user, env), script, user, check, input, timeout)

    def popen(
        self,
        script: str,
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Running:
        """Start a script on the host, with pipes to it unless the options say otherwise."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        argv = [*self.container.enter(), *words(script, user, env)]
        return Running(argv, text=True, start_new_session=True, **{**pipes, **options})

    def wait_for(self, script: str, timeout: float = 30, every: float = 0.1, *, user: str = "root") -> Result:
        """Run a script until it succeeds, and return that result."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            result = self.sh(script, user=user, check=False, timeout=max(left, 1))
            if result.status == 0:
                return result
            if time.monotonic() > deadline:
                what = f"never succeeded in {timeout:g} s"
                raise ScriptFailed(self.name, user, script, what, result)
            time.sleep(every)

    def journal(self, unit: str = "", *options: str) -> str:
        """Return what the host's journal holds, of one unit or of all."""
        selection = ["--unit", unit] if unit else []
        form = ["--no-pager", "--quiet", "--output=short-precise"]
        argv = ["journalctl", *form, *selection, *options]
        return self._run(argv, "journalctl", "root", True, None, 60).stdout

    def _files(self, script: str, input: str | bytes | None = None) -> Result:
        """Run a script that needs the host's files only, so that it works while the host is off."""
        return self._run(words(script, "root", None), script, "root", True, input, 60)

    def _run(
        self,
        argv: list[str],
        script: str,
        user: str,
        check: bool,
        input: str | bytes | None,
        timeout: float,
    ) -> Result:
        result, ended = execute([*self.container.enter(), *argv], input, timeout)
        if not ended:
            raise ScriptFailed(self.name, user, script, f"did not end in {timeout:g} s", result)
        if check and result.status != 0:
            raise ScriptFailed(self.name, user, script, f"ended with {result.status}", result)
        return result

    # Files

    def write(self, path: str, text: str | bytes, mode: str = "644", owner: str = "root:root") -> None:
        """Write a file, making the folders it needs."""
        script = f"""
        set -eu
        path={quote(path)}
        mkdir -p "$(dirname "$path")"
        cat >"$path"
        chown {owner} "$path"
        chmod {mode} "$path"
        """
        self._files(script, text)

    def learn_names(self, text: str) -> None:
        """Take a new /etc/hosts."""
        # From outside, since other hosts come and go while this one is half way through its boot.
        (self.container.root / "etc/hosts").write_text(text)

    def copy_in(self, local: Path | str, path: str, mode: str = "755") -> None:
        """Copy a file of this machine onto the host."""
        self.write(path, Path(local).read_bytes(), mode)

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return self._files(f"cat {quote(path)}").stdout

    def exists(self, path: str) -> bool:
        """Tell whether something, be it a broken link, is at a path."""
        return os.path.lexists(self._root / path.lstrip("/"))

    def tree(self, *paths: str) -> dict[str, Entry]:
        """Return what is at and below paths, to be compared with another moment."""
        return collect(self._root, paths)

    @property
    def _root(self) -> Path:
        """The host's `/` as seen from outside, with its tmpfs mounts while it is on."""
        return Path(f"/proc/{self.container.pid1}/root") if self.running else self.container.root
