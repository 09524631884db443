"""How a gateway is told what to do: the variables of ssh-tunnel-gateway 0.4.3, and its own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scitex_ssh.errors import error
from scitex_ssh.gateway import ports

STATE = "/var/lib/scitex-ssh-gateway"
# For all that sshd and systemd start, which have no environment of a shell.
FILE = Path("/etc/scitex-ssh/gateway.env")
_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


@dataclass(frozen=True)
class Settings:
    """One gateway.

    Attributes:
        database: a URL of SQLAlchemy.
        api_keys: shared keys, each of which may enrol machines.
        host, port: where HTTP is served.
        ssh_user: the account of this bastion that holds the tunnels.
        enrol_user: the account over which machines enrol by SSH.
        jump_user: the account through which people reach them.
        public_host: the bastion's name or address as machines and people write it.
        bind: the address on which tunnels listen.
        server_keys: make keys for agents of ssh-tunnel-gateway, which have none of their own.
        authorized_keys: the file in which the keys' lines are kept, where sshd does not ask for them.
        bastion: what this machine is called among the bastions that share a database.
        open_page: show the page to those who are not signed in, wherever they come from.
    """

    database: str
    api_keys: tuple[str, ...] = ()
    api_key_header: str = "X-API-Key"
    host: str = "127.0.0.1"
    port: int = 12000
    ssh_user: str = "tunnel"
    jump_user: str = "tunnel"
    public_host: str = ""
    enrol_user: str = "enrol"
    ssh_port: int = 22
    bind: str = "localhost"
    first: int = ports.FIRST
    last: int = ports.LAST
    lease_days: int = 7
    approve: bool = False
    server_keys: bool = False
    authorized_keys: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    plain_http: bool = False
    proxy: str = ""
    bastion: str = ""
    open_page: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str], **flags: object) -> Settings:
        """From the environment; a flag that is not None goes first.

        Raises:
            SSHError: ``gateway-settings``, naming the variable.
        """
        read = _Reader(environment)
        state = read.text("STATE_DIR", STATE)
        keys = [*read.list("API_KEY"), *read.list("API_KEYS")]
        user = read.text("SSH_USER", "tunnel")
        restricted = read.yes("TUNNEL_KEY_RESTRICTIONS", True)
        if not restricted:
            raise error("gateway-settings", name="TUNNEL_KEY_RESTRICTIONS", why="keys are always restricted")
        keys_file = read.text("AUTHORIZED_KEYS_PATH", "")
        values: dict[str, object] = {
            "database": read.text("SCITEX_SSH_GATEWAY_DATABASE", f"sqlite:///{state}/gateway.db"),
            "api_keys": tuple(dict.fromkeys(keys)),
            "api_key_header": read.text("API_KEY_HEADER", "X-API-Key"),
            "host": read.text("SERVER_HOST", "127.0.0.1"),
            "port": read.number("SERVER_PORT", 12000, 1, 65535),
            "ssh_user": user,
            "jump_user": read.text("SSH_JUMP_USER", user),
            "enrol_user": read.text("SCITEX_SSH_GATEWAY_ENROL_USER", "enrol"),
            "public_host": read.text("SSH_PUBLIC_HOST", ""),
            "ssh_port": read.number("SCITEX_SSH_GATEWAY_SSH_PORT", 22, 1, 65535),
            "bind": read.text("AGENT_REVERSE_BIND_HOST", "localhost"),
            "first": read.number("PORT_RANGE_START", ports.FIRST, 1024, 65535),
            "last": read.number("PORT_RANGE_END", ports.LAST, 1024, 65535),
            "lease_days": read.number("LEASE_TTL_DAYS", 7, 1, 36500),
            "approve": read.yes("SCITEX_SSH_GATEWAY_APPROVE", False),
            "server_keys": read.yes("SCITEX_SSH_GATEWAY_SERVER_KEYS", False),
            "bastion": read.text("SCITEX_SSH_GATEWAY_BASTION", ""),
            "open_page": read.yes("SCITEX_SSH_GATEWAY_OPEN_PAGE", False),
            "certificate": read.path("SCITEX_SSH_GATEWAY_TLS_CERT"),
            "certificate_key": read.path("SCITEX_SSH_GATEWAY_TLS_KEY"),
            "plain_http": read.yes("SCITEX_SSH_GATEWAY_PLAIN_HTTP", False),
            "proxy": read.text("SCITEX_SSH_GATEWAY_PROXY", ""),
            "authorized_keys": Path(keys_file) if keys_file else None,
        }
        made = cls(**{**values, **{name: value for name, value in flags.items() if value is not None}})  # type: ignore[arg-type]  # the flags of the command have these types
        made._check()
        return made

    @property
    def loopback(self) -> bool:
        """HTTP is served to this machine only."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def jump_host(self) -> str | None:
        """The bastion as people write it, where it is known."""
        known = self.host not in ("0.0.0.0", "::") and not self.loopback
        return self.public_host or (self.host if known else None)

    def pool(self) -> ports.Pool:
        """The ports that may be given out on this machine."""
        return ports.Pool.here(self.first, self.last)

    def _check(self) -> None:
        for name, value in (("AGENT_REVERSE_BIND_HOST", self.bind), ("SSH_PUBLIC_HOST", self.public_host)):
            if not value.isascii() or set(value) & set("\"', \t\n\\"):
                raise error("gateway-settings", name=name, why=f"{value!a} is no host")
        if self.bastion and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", self.bastion):
            why = f"{self.bastion!a} is no name of letters, digits, '.', '-' and '_'"
            raise error("gateway-settings", name="SCITEX_SSH_GATEWAY_BASTION", why=why)
        if any(len(key) < 8 for key in self.api_keys):
            why = "a key of less than 8 characters can be guessed"
            raise error("gateway-settings", name="API_KEY", why=why)
        if bool(self.certificate) != bool(self.certificate_key):
            why = "a certificate needs its key, and a key its certificate"
            raise error("gateway-settings", name="--tls-cert and --tls-key", why=why)


def environment(given: Mapping[str, str], path: Path = FILE) -> dict[str, str]:
    """The variables of the gateway's file, with those of the caller before them.

    Raises:
        SSHError: ``file-failed`` when the file is there and cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return dict(given)
    except (OSError, UnicodeDecodeError) as problem:
        raise error(
            "file-failed", path=path, why=str(getattr(problem, "strerror", problem)).lower()
        ) from problem
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {**{name.strip(): value.strip().strip("\"'") for name, value in pairs}, **given}


@dataclass(frozen=True)
class _Reader:
    """Variables, read as what they must be."""

    environment: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.environment.get(name, "").strip() or default

    def list(self, name: str) -> list[str]:
        return [word.strip() for word in self.environment.get(name, "").split(",") if word.strip()]

    def path(self, name: str) -> Path | None:
        word = self.text(name, "")
        return Path(word) if word else None

    def yes(self, name: str, default: bool) -> bool:
        word = self.text(name, "").lower()
        if word and word not in _YES | _NO:
            # A slip must not leave a door open that somebody meant to shut.
            raise error("gateway-settings", name=name, why=f"{word!a} is neither yes nor no")
        return word in _YES if word else default

    def number(self, name: str, default: int, low: int, high: int) -> int:
        word = self.text(name, str(default))
        if not word.isascii() or not word.isdigit() or not low <= int(word) <= high:
            why = f"{word!a} is no whole number from {low} to {high}"
            raise error("gateway-settings", name=name, why=why)
        return int(word)
