"""Debian trees, built once and kept, that the hosts of the lab are laid over."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .command import run

SUITES = ("bullseye", "bookworm", "trixie")

# Debian's public default, used when the machine's own apt knows no Debian mirror.
DEFAULT_MIRROR = "http://deb.debian.org/debian"

PACKAGES = (
    "autossh",
    "ca-certificates",
    "cron",
    "curl",
    "dbus",
    "iproute2",
    "iputils-ping",
    "libpam-systemd",
    "netcat-openbsd",
    "nftables",
    "openssh-client",
    "openssh-server",
    "procps",
    "psmisc",
    "python3",
    "rsync",
    "screen",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tmux",
)

# What a host in a namespace has no use for, and would spend its boot on.
MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
)

# Each host makes its own identity: one found in the tree would be shared by all.
FINISH = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
systemctl mask {" ".join(MASKED_UNITS)}
systemctl enable ssh.service
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/machine-id
apt-get clean
rm -rf /var/lib/apt/lists/*
mkdir -p /var/log/journal
"""

# What some machines have besides, laid over the tree or copied: files alone, which nothing sets up.
BESIDES = ("busybox-static", "git", "libeinfo1", "librc1", "openrc", "runit")
BESIDES_FILES = f"""
set -eu
cd /tmp
apt-get -qq update
apt-get -qq -o APT::Sandbox::User=root download {" ".join(BESIDES)}
# /bin and /sbin are links.
for package in *.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C /
    rm "$package"
done
apt-get clean
rm -rf /var/lib/apt/lists/*
"""

# The file by which each package the machine needs is known to be there.
REQUIRED = {
    "debian-archive-keyring": "share/keyrings/debian-archive-keyring.gpg",
    "debootstrap": "sbin/debootstrap",
    "iproute2": "bin/ip",
    "nftables": "sbin/nft",
    "systemd-container": "bin/systemd-nspawn",
}


class Requirements(NamedTuple):
    """The packages the machine needs, and those of them that it lacks."""

    needed: tuple[str, ...]
    missing: tuple[str, ...]


def requirements() -> Requirements:
    """Return the apt packages the lab needs on this machine."""
    return Requirements(tuple(REQUIRED), tuple(name for name in REQUIRED if not _present(name)))


def _present(package: str) -> bool:
    file = REQUIRED[package]
    return any((prefix / file).exists() for prefix in (Path("/usr"), Path("/")))


def cache() -> Path:
    """Return the folder that keeps the trees."""
    return Path(os.environ.get("SCITEX_SSH_LAB_CACHE", "/var/cache/scitex-ssh-lab"))


def version() -> str:
    """Return a name for the content of a tree, which changes when its making does."""
    recipe = "\n".join([*PACKAGES, FINISH])
    return hashlib.sha256(recipe.encode()).hexdigest()[:10]


def tree(suite: str) -> Path:
    """Return the tree of a Debian suite, built now if there is none yet."""
    if suite not in SUITES:
        raise ValueError(f"No Debian suite {suite!r} in the lab; there are {', '.join(SUITES)}.")
    # With the version in its name, a new tree never replaces one that a host lies on.
    path = cache() / f"{suite}-{version()}"
    if path.is_dir():
        return path
    with _building(suite):
        if not path.is_dir():
            _build(suite, path)
    return path


def besides(suite: str) -> Path:
    """Return the files of other inits and of git, fetched if they are not there, as a layer over the tree."""
    below = tree(suite)
    path = cache() / _layer(below.name)
    with _building(suite):
        if not path.is_dir():
            _fetch(below, path)
    return path


def _layer(below: str) -> str:
    return f"{below}-besides-{hashlib.sha256(BESIDES_FILES.encode()).hexdigest()[:10]}"


def _fetch(below: Path, path: Path) -> None:
    beside, work = cache() / f".{path.name}.building", cache() / f".{path.name}.work"
    _discard(work)
    _discard(beside)
    work.mkdir()
    # Whatever the cache is on, an overlay can be on this.
    run("mount", "-t", "tmpfs", "tmpfs", str(work))
    for part in ("upper", "work", "root"):
        (work / part).mkdir()
    layers = f"lowerdir={below},upperdir={work}/upper,workdir={work}/work"
    run("mount", "-t", "overlay", "overlay", "-o", layers, str(work / "root"))
    shutil.copy("/etc/resolv.conf", work / "root/etc/resolv.conf")
    run("chroot", str(work / "root"), "sh", "-c", BESIDES_FILES)
    run("cp", "-a", str(work / "upper"), str(beside))
    _discard(work)
    beside.rename(path)


def prune() -> list[Path]:
    """Remove the trees of former recipes, and return what was removed."""
    trees = [f"{suite}-{version()}" for suite in SUITES]
    wanted = {*trees, *map(_layer, trees)}
    stale = [
        path
        for suite in SUITES
        for path in cache().glob(f"{suite}-*")
        if path.is_dir() and path.name not in wanted
    ]
    for path in stale:
        shutil.rmtree(path)
    return stale


@contextmanager
def _building(suite: str) -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(suite: str, path: Path) -> None:
    beside = cache() / f".{suite}.building"
    packages = cache() / "packages" / suite
    packages.mkdir(parents=True, exist_ok=True)
    _discard(beside)
    run(
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        f"--cache-dir={packages}",
        suite,
        str(beside),
        mirror(suite),
    )
    run("chroot", str(beside), "sh", "-c", FINISH)
    (beside / "etc/machine-id").touch()
    beside.rename(path)


def _discard(path: Path) -> None:
    # A build that was killed may have left /proc mounted inside.
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        point = line.split()[1]
        if f"{point}/".startswith(f"{path}/"):
            run("umount", "--lazy", point)
    if path.exists():
        shutil.rmtree(path)


def mirror(suite: str) -> str:
    """Return the first mirror known to this machine that holds the suite."""
    chosen = os.environ.get("SCITEX_SSH_LAB_MIRROR")
    if chosen:
        return chosen
    for uri in [*apt_uris(Path("/etc/apt")), DEFAULT_MIRROR]:
        if _holds(uri, suite):
            return uri
    raise RuntimeError(f"No mirror of this machine holds Debian {suite}. Next: set SCITEX_SSH_LAB_MIRROR.")


def _holds(uri: str, suite: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/dists/{suite}/Release", timeout=20) as answer:
            return f"Codename: {suite}".encode() in answer.read(4096)
    except (OSError, ValueError):
        return False


def apt_uris(folder: Path) -> list[str]:
    """Return the web mirrors of an apt configuration, each once, in its order."""
    found: list[str] = []
    for file in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*"))]:
        if file.suffix == ".list" and file.is_file():
            found += _one_line_uris(file.read_text())
        elif file.suffix == ".sources":
            found += _deb822_uris(file.read_text())
    web = (uri.rstrip("/") for uri in found if uri.startswith(("http://", "https://")))
    return list(dict.fromkeys(web))


def _one_line_uris(text: str) -> list[str]:
    """Return the URIs of `deb [options] URI suite components` lines."""
    uris = []
    for line in text.splitlines():
        kind, _, rest = line.partition("#")[0].strip().partition(" ")
        if kind == "deb":
            uris += rest.rpartition("]")[2].split()[:1]
    return uris


def _deb822_uris(text: str) -> list[str]:
    """Return the URIs of enabled `Types: deb` stanzas."""
    uris = []
    for stanza in text.split("\n\n"):
        fields = _fields(stanza)
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0")
        if enabled and "deb" in fields.get("types", "").split():
            uris += fields.get("uris", "").split()
    return uris


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()
    return fields
