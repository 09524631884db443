"""Hosts of the lab: machines with users, keys and trust between them."""

from __future__ import annotations

from shlex import quote
from typing import Literal

from .container import Container
from .machine import Machine
from .names import Names
from .network import Link, Router

# The password of every account that has one.
PASSWORD = "correct horse"

Sudo = Literal["nopasswd", "password"]


class Host(Machine):
    """A machine that people work on."""

    def __init__(
        self,
        name: str,
        suite: str,
        container: Container,
        link: Link,
        names: Names,
        router: Router | None = None,
    ) -> None:
        super().__init__(name, suite, container, link)
        self.names = names
        self.router = router

    @property
    def public_address(self) -> str:
        """The IPv4 address under which the internet sees the host."""
        return str(self.router.wan.address) if self.router else self.address

    def create(self) -> None:
        """Make the host, known to all others by its name."""
        super().create()
        self.names.add(self)

    def destroy(self) -> None:
        """Remove the host, with its home when nobody else lives there."""
        self.names.discard(self)
        super().destroy()
        if self.router:
            self.router.leave()

    # Accounts

    def add_user(self, name: str, sudo: Sudo | None = None, shell: str = "/bin/bash") -> None:
        """Add an account unless it is there, with PASSWORD as its password when its sudo asks for one."""
        # '*' is a password that never matches; '!' would lock the account for keys as well.
        self._files(
            f"id {name} >/dev/null 2>&1 || useradd --create-home --shell {quote(shell)} --password '*' {name}"
        )
        if sudo == "password":
            self._files("chpasswd", f"{name}:{PASSWORD}\n")
        if sudo:
            tag = "NOPASSWD:" if sudo == "nopasswd" else ""
            self.write(f"/etc/sudoers.d/{name}", f"{name} ALL=(ALL:ALL) {tag}ALL\n", mode="440")

    def home(self, user: str) -> str:
        """Return a user's home folder."""
        return self._files(f"getent passwd {user}").stdout.split(":")[5]

    # Keys

    def make_key(self, user: str, path: str, type: str = "ed25519") -> str:
        """Make a key pair without passphrase, and return the public key."""
        script = f"""
        set -eu
        path={quote(path)}
        install -d -m 700 -o {user} -g "$(id -g {user})" "$(dirname "$path")"
        ssh-keygen -q -t {type} -N '' -C {user}@{self.name} -f "$path"
        chown {user}: "$path" "$path.pub"
        cat "$path.pub"
        """
        return self._files(script).stdout.strip()

    def authorize(self, user: str, public_key: str, options: str = "") -> None:
        """Let a key log in as a user, under the options of authorized_keys(5)."""
        self._append(user, "authorized_keys", f"{options} {public_key}".strip())

    def host_keys(self) -> list[str]:
        """Return the host's public keys, each as `type base64`."""
        lines = self._files("cat /etc/ssh/ssh_host_*_key.pub").stdout.splitlines()
        return [" ".join(line.split()[:2]) for line in lines]

    def trust(self, user: str, other: Host, port: int = 22) -> None:
        """Make another host known to a user, under its name and its addresses."""
        names = [other.name, other.address, other.address6, f"ip6-{other.name}"]
        if port != 22:
            names = [f"[{name}]:{port}" for name in names]
        for key in other.host_keys():
            self._append(user, "known_hosts", f"{','.join(names)} {key}")

    def _append(self, user: str, name: str, line: str) -> None:
        """Append a line to a file in a user's .ssh folder."""
        script = f"""
        set -eu
        folder={quote(self.home(user))}/.ssh
        install -d -m 700 -o {user} -g "$(id -g {user})" "$folder"
        cat >>"$folder/{name}"
        chown {user}: "$folder/{name}"
        chmod 600 "$folder/{name}"
        """
        self._files(script, f"{line}\n")

    # Python

    def remove_python(self) -> None:
        """Make this a host without any Python."""
        self._files("rm -rf /usr/bin/python* /usr/lib/python3*")

    def minimise_python(self) -> None:
        """Leave what Debian's python3-minimal has: an interpreter without most of its library."""
        self._files(
            """
            set -eu
            cat /var/lib/dpkg/info/libpython3.*-stdlib*.list | while read -r path; do
                if [ -f "$path" ]; then rm "$path"; fi
            done
            find /usr/lib/python3* -name __pycache__ -prune -exec rm -r {} +
            # Python takes an empty folder for a package.
            find /usr/lib/python3* -depth -type d -empty -delete
            """
        )
