"""A server of ssh-tunnel-gateway 0.4.3, which makes the machine's key and forgets who does not call."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scitex_ssh.errors import error

EVERY = 3600.0
Send = Callable[[str, bytes, dict[str, str]], bytes]


@dataclass(frozen=True)
class OldServer:
    """What is needed to be remembered by it."""

    url: str
    api_key: str
    agent_id: str
    send: Send

    def ask(self, action: str) -> dict[str, Any]:
        """One of its two actions; ``gateway-answer`` for no answer of it, ``gateway-token`` for a no."""
        headers = {"Content-Type": "application/json", "X-API-Key": self.api_key}
        body = json.dumps({"action": action, "agent_id": self.agent_id}).encode()
        try:
            answer = json.loads(self.send(self.url.rstrip("/") + "/", body, headers))
        except ValueError as problem:
            raise error("gateway-answer", url=self.url, why="it is no JSON") from problem
        if not isinstance(answer, dict) or "detail" in answer:
            why = answer.get("detail") if isinstance(answer, dict) else "it is no object"
            slug = "gateway-token" if str(why).endswith("API key") else "gateway-answer"
            raise error(slug, url=self.url, why=str(why).lower())
        return answer

    def register(self, key: Path) -> dict[str, Any]:
        """Get a port and a key, which goes where ours would be; the answer as ours would be."""
        said = self.ask("register")
        try:
            private = _opened(said["encrypted_private_key"], self.api_key)
            _keep(key, private)
            host = said.get("ssh_jump_host")
            bastion = {"user": said["ssh_user"], "host": host, "port": 22, "host_keys": []}
            return {"port": int(said["port_b"]), "name": said["agent_id"], "bastion": bastion}
        except (KeyError, TypeError, ValueError) as problem:
            why = f"{type(problem).__name__} in it"
            raise error("gateway-answer", url=self.url, why=why) from problem

    def remind(self, every: float = EVERY) -> Callable[[], None]:
        """Give a sign of life now and then, for as long as the process lives; returns what ends it."""
        stop = threading.Event()

        def call() -> None:
            while not stop.wait(every):
                # One that is lost is made up for by the next: the lease is of days.
                try:
                    self.ask("heartbeat")
                except (OSError, ValueError):
                    continue

        threading.Thread(target=call, name="heartbeat", daemon=True).start()
        return stop.set


def _opened(sealed: dict[str, Any], api_key: str) -> bytes:
    """The private half of the key: AES-GCM under scrypt of the API key."""
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError as problem:
        raise error("gateway-packages", why=str(problem)) from problem
    salt, nonce, body = (base64.b64decode(sealed[f"{part}_b64"]) for part in ("salt", "nonce", "ciphertext"))
    n, r, p = (int(sealed[name]) for name in "nrp")
    # What it takes is the server's to choose, up to what this machine has.
    if n * r > 2**20 or p > 16:
        raise ValueError("scrypt")
    derived = Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(api_key.encode())
    try:
        return AESGCM(derived).decrypt(nonce, body, None)
    except InvalidTag as problem:
        raise ValueError("key") from problem


def _keep(path: Path, private: bytes) -> None:
    """Put the key there, whole or not at all, for its owner alone."""
    beside = path.with_name(path.name + ".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(private)
    beside.replace(path)
    path.with_name(path.name + ".pub").unlink(missing_ok=True)
