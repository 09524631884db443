"""One run of the lab: hosts on a network, made on demand and removed without a trace."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .cgroup import Cgroup, hierarchies
from .command import run
from .container import Container, remove_traces
from .hosts import Host
from .names import Names
from .network import Link, Network, Router, remove_namespaces
from .priority import raise_limits
from .trees import besides, tree

PREFIX = "sshlab"

# The control group above those of all runs.
GROUPS = "scitex-ssh-lab"


def state() -> Path:
    """Return the folder that holds the runs, on a file system that an overlay can be on."""
    return Path(os.environ.get("SCITEX_SSH_LAB_STATE", "/var/tmp/scitex-ssh-lab"))


def logs() -> Path:
    """Return the folder that logs are kept in."""
    default = Path(tempfile.gettempdir()) / "scitex-ssh-lab-logs"
    return Path(os.environ.get("SCITEX_SSH_LAB_LOGS", default))


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls at the same time, and return their results in order."""
    with ThreadPoolExecutor(max_workers=max(len(calls), 1)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


class Lab:
    """A run, from its first host to the removal of everything it made."""

    def __init__(self) -> None:
        self.run = f"{PREFIX}-{secrets.token_hex(3)}"
        self.folder = state() / self.run
        self.hosts: list[Host] = []
        self.network = Network(self.run)
        self.names = Names()
        self._owner: IO[str] | None = None

    def __enter__(self) -> Lab:
        with _alone():
            clean()
            self._owner = _own(self.folder)
        raise_limits()
        self.network.create()
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: Any) -> None:
        if kind is not None and issubclass(kind, Exception):
            self.save_logs("lab")
        self.close()

    def close(self) -> None:
        """Remove all that the run made."""
        for host in list(self.hosts):
            with suppress(Exception):
                # Removal by name, below, does not depend on what a host is able to do.
                host.power_loss()
        with _alone():
            remove(self.folder)
        if self._owner:
            self._owner.close()

    def bastion(self, name: str = "bastion", suite: str = "bookworm", *, boot: bool = True) -> Host:
        """Make a host on the internet that others make tunnels to."""
        return self._public_host(name, suite, boot)

    def client(self, name: str = "client", suite: str = "bookworm", *, boot: bool = True) -> Host:
        """Make a host on the internet that uses tunnels."""
        return self._public_host(name, suite, boot)

    def workstation(
        self,
        name: str = "workstation",
        suite: str = "bookworm",
        *,
        home: Router | None = None,
        boot: bool = True,
        init: Sequence[str] = (),
    ) -> Host:
        """Make a host behind a router: one of its own, or that of another workstation.

        ``init`` is the command of its PID 1 unless that is systemd.
        """
        router = home or self.network.router()
        return self._host(name, suite, router.join(self._namespace(name)), router, boot, init)

    def destroy(self, *hosts: Host) -> None:
        """Remove hosts before the end of the run."""
        for host in hosts:
            self.hosts.remove(host)
        together(*(host.destroy for host in hosts))

    def save_logs(self, title: str) -> Path:
        """Keep the console and the journal of every host, and return where."""
        folder = logs() / self.run / title
        folder.mkdir(parents=True, exist_ok=True)
        together(*(_saving(host, folder) for host in self.hosts))
        return folder

    def _public_host(self, name: str, suite: str, boot: bool) -> Host:
        link = Link(self._namespace(name), "eth0", self.network.public)
        return self._host(name, suite, link, None, boot)

    def _host(
        self,
        name: str,
        suite: str,
        link: Link,
        router: Router | None,
        boot: bool,
        init: Sequence[str] = (),
    ) -> Host:
        machine = self._namespace(name)
        cgroup = Cgroup(hierarchies()[0] / GROUPS / self.run / name)
        layers = [besides(suite), tree(suite)] if init else [tree(suite)]
        container = Container(self.folder / name, layers, machine, cgroup, init)
        host = Host(name, suite, container, link, self.names, router)
        self.hosts.append(host)
        host.create()
        if boot:
            host.boot()
        return host

    def _namespace(self, name: str) -> str:
        if name in self.names:
            raise ValueError(f"This run already has a host named {name!r}.")
        return self.network.namespace(name)


def clean() -> list[str]:
    """Remove the runs whose owner has died, and return their names."""
    dead = [folder for folder in state().glob(f"{PREFIX}-*") if not _owned(folder)]
    for folder in dead:
        remove(folder)
    return [folder.name for folder in dead]


def remove(folder: Path) -> None:
    """Remove whatever a run has made, found by name."""
    groups = [Cgroup(top / GROUPS / folder.name) for top in hierarchies()]
    groups[0].kill()
    for group in groups:
        group.remove()
    remove_namespaces(folder.name)
    for host in folder.glob("*/"):
        remove_traces(f"{folder.name}-{host.name}")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        point = line.split()[1]
        if point.startswith(f"{folder}/"):
            run("umount", point)
    shutil.rmtree(folder)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other runs from starting and ending meanwhile."""
    state().mkdir(parents=True, exist_ok=True)
    with (state() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _own(folder: Path) -> IO[str]:
    """Make a run's folder with a lock on it that the kernel drops when this process dies."""
    folder.mkdir()
    owner = (folder / "owner").open("w")
    fcntl.flock(owner, fcntl.LOCK_EX)
    owner.write(f"{os.getpid()}\n")
    owner.flush()
    return owner


def _owned(folder: Path) -> bool:
    """Tell whether the process that started a run is alive."""
    try:
        with (folder / "owner").open() as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _saving(host: Host, folder: Path) -> Callable[[], None]:
    def save() -> None:
        (folder / f"{host.name}.console.log").write_text(host.container.console_tail(10000))
        with suppress(Exception):
            # A journal is missing when the host never came up; the console tells why.
            (folder / f"{host.name}.journal.log").write_text(host.journal())

    return save
