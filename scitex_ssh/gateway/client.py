"""The machine's side: a key of its own, and a port of a gateway for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from scitex_ssh.errors import CATALOGUE, InputError, SSHError, error
from scitex_ssh.gateway import over_http
from scitex_ssh.gateway.old_servers import OldServer
from scitex_ssh.model import Destination, Port
from scitex_ssh.model.ssh_host import Host
from scitex_ssh.model.text import shown
from scitex_ssh.render.authorized_keys import PublicKey

_SECONDS = 30
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True)
class Granted:
    """What a gateway gave: everything that a set-up needs.

    Attributes:
        port: of the bastion.
        bastion: ``user@host:port`` of the tunnel.
        key: the path of the private key.
        name: what the gateway calls this machine.
        old: the server, where it is one that has to be reminded of this machine.
        fingerprints: of the bastion's host keys, where the gateway was known to be itself when it told them.
    """

    port: int
    bastion: str
    key: str
    name: str
    fingerprints: tuple[str, ...] = ()
    old: OldServer | None = None


def enrol(
    url: str,
    token: str = "",
    *,
    name: str | None = None,
    key: Path | None = None,
    accept_new_host_key: bool = False,
    over_ssh: str | None = None,
) -> Granted:
    """Enrol this machine at a gateway, or let it come back: its key is made here and stays here.

    Args:
        url: ``ssh://[user@]host[:port]`` or ``https://host[:port]``.
        token: a join token; a machine that the gateway knows needs none.
        over_ssh: with HTTP, a host of ssh from which the gateway is reached.
        key: the private key; by default one of this gateway's own in ``~/.ssh``, made when it is not there.
    """
    parts = split(url)
    if over_ssh is not None:
        Host.parse(over_ssh)
        if parts.scheme == "ssh":
            why = "ssh:// is over SSH already; --over-ssh is for http:// and https://"
            raise InputError("usage", why=why, command="scitex-ssh setup")
    path = key or Path.home() / ".ssh" / f"scitex-ssh-{parts.hostname}"
    public = own_key(path)
    said: dict[str, object] = {
        "token": token,
        "name": name or _hostname(),
        "login": os.environ.get("SUDO_USER") or os.environ.get("USER") or "",
        "host_keys": _host_keys(),
    }
    if parts.scheme == "ssh":
        answer = _by_ssh(url, path, said, accept_new_host_key)
    else:
        answer = _by_http(url, path, public, said, over_ssh)
    granted = _granted(answer, str(parts.hostname), parts.port if parts.scheme == "ssh" else None, path)
    return replace(granted, fingerprints=_fingerprints(answer, parts.scheme, over_ssh))


def _fingerprints(answer: dict[str, Any], scheme: str, over_ssh: str | None) -> tuple[str, ...]:
    """Of the host keys that a gateway told; those of the one that ssh has just spoken to are known."""
    if scheme == "ssh" or (scheme == "http" and over_ssh is None):
        return ()
    try:
        return tuple(PublicKey.parse(key).fingerprint for key in answer["bastion"]["host_keys"])
    except (KeyError, TypeError, SSHError):
        return ()


def own_key(path: Path) -> PublicKey:
    """The public half of the key, which is made when it is not there."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)])
    return PublicKey.parse(_run(["ssh-keygen", "-y", "-P", "", "-f", str(path)]))


def _by_ssh(url: str, key: Path, said: dict[str, object], accept_new: bool) -> dict[str, Any]:
    there = Destination.parse(url[len("ssh://") :].rstrip("/"))
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": "15",
        "StrictHostKeyChecking": "accept-new" if accept_new else "yes",
        "ControlPath": "none",
        "ClearAllForwardings": "yes",
    }
    command = ["ssh", *(f"-o{name}={value}" for name, value in options.items()), "-i", str(key)]
    command += ["-p", str(there.port), *(["-l", there.user] if there.user else []), "--", there.host, "enrol"]
    try:
        done = subprocess.run(
            command, input=json.dumps(said), capture_output=True, text=True, timeout=4 * _SECONDS
        )
    except subprocess.TimeoutExpired as problem:
        raise error("gateway-unreachable", url=url, why="it does not answer") from problem
    except FileNotFoundError as problem:
        raise error("ssh-missing", program="ssh", package="openssh-client") from problem
    answer = _json(done.stdout)
    if answer is None:
        raise error("gateway-unreachable", url=url, why=_last(done.stderr))
    return _checked(answer)


def _by_http(
    url: str, key: Path, public: PublicKey, said: dict[str, object], over_ssh: str | None
) -> dict[str, Any]:
    kept = key.with_name(key.name + ".secret")
    secret = kept.read_text().strip() if kept.exists() else ""
    body = json.dumps({**said, "public_key": str(public), "secret": secret}).encode()
    send = _send if over_ssh is None else partial(over_http.send, host=Host.parse(over_ssh))
    try:
        text = send(url.rstrip("/") + "/v1/enrol", body, _HEADERS)
    except (OSError, ValueError, HTTPException) as problem:
        why = str(getattr(problem, "reason", problem)) or type(problem).__name__
        raise error("gateway-unreachable", url=url, why=why) from problem
    answer = _json(text.decode("utf-8", "replace"))
    if answer is None:
        raise error("gateway-answer", url=url, why="it is no JSON")
    if answer == {"detail": "Not Found"}:
        # Of ours that would be a problem with a title: it is ssh-tunnel-gateway.
        old = OldServer(url, str(said["token"]), str(said["name"]), send)
        return {**old.register(key), "old": old}
    if answer.get("secret"):
        _keep(kept, str(answer["secret"]))
    if "detail" in answer:
        raise _told(str(answer.get("title")), answer.get("facts") or {}, str(answer["detail"]))
    return _checked(answer)


def _send(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=_SECONDS) as response:
            return bytes(response.read(1 << 20))
    except urllib.error.HTTPError as problem:
        return bytes(problem.read(1 << 20))


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    failure = answer.get("error")
    if isinstance(failure, dict):
        raise _told(str(failure.get("slug")), failure.get("facts") or {}, str(failure))
    if answer.get("state") == "pending":
        raise error("gateway-pending", name=answer.get("name"))
    return answer


def _told(slug: str, facts: object, words: str) -> SSHError:
    """The error that the gateway named; one of a newer gateway in its own words."""
    if slug in CATALOGUE and isinstance(facts, dict):
        return error(slug, **{str(name): shown(value)[1:-1] for name, value in facts.items()})
    return error("gateway-answer", url="the gateway", why=words)


def _granted(answer: dict[str, Any], host: str, port: int | None, key: Path) -> Granted:
    """What the answer holds; nothing of it is believed before it was looked at."""
    try:
        bastion = answer["bastion"]
        if port is None:
            host, port = bastion["host"] or host, int(bastion["port"])
        where = f"[{host}]" if ":" in host else host
        there = Destination.parse(f"{bastion['user']}@{where}:{port}")
        name, old = str(answer["name"]), answer.get("old")
        return Granted(Port(answer["port"]), str(there), str(key), name, old=old)
    except (KeyError, TypeError, ValueError) as problem:
        raise error("gateway-answer", url=host, why=f"{type(problem).__name__} in it") from problem


def split(url: str) -> SplitResult:
    """The parts of a gateway's address; `InputError` for what is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("ssh", "http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        good = False
    if not good:
        why = f"{shown(url)} is no gateway (ssh://enrol@bastion or https://gw.example.com:12000)"
        raise InputError("usage", why=why, command="scitex-ssh setup")
    if parts.scheme == "ssh":
        Destination.parse(url[len("ssh://") :].rstrip("/"))
    return parts


def _hostname() -> str:
    name = socket.gethostname().partition(".")[0]
    return (
        "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter in "-_"))
        or "machine"
    )


def _host_keys() -> list[str]:
    """This machine's own SSH host keys, so that the gateway can tell it from another."""
    found = []
    for path in sorted(Path("/etc/ssh").glob("ssh_host_*_key.pub")):
        try:
            found.append(str(PublicKey.parse(path.read_text(encoding="ascii"))))
        except (OSError, ValueError):
            continue
    return found[:5]


def _keep(path: Path, secret: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret + "\n")


def _json(text: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as problem:
        raise error("ssh-missing", program=command[0], package="openssh-client") from problem
    if done.returncode != 0:
        raise error("file-failed", path=command[-1], why=_last(done.stderr))
    return done.stdout


def _last(text: str) -> str:
    """The last line of what a program complained of."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ascii(lines[-1])[1:-1].rstrip(".") if lines else "it said nothing"
