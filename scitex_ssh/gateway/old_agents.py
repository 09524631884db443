"""Keys for agents of ssh-tunnel-gateway 0.4.3, which have none of their own."""

from __future__ import annotations

import base64
import os
import threading

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from scitex_ssh.render.authorized_keys import PublicKey

_N, _R, _P = 2**14, 8, 1
# Few registrations in one process need a second key of the cipher: 2^32 random nonces are its limit.
_derived: dict[str, tuple[bytes, AESGCM]] = {}
_lock = threading.Lock()


def key_pair() -> tuple[bytes, PublicKey]:
    """A new key: the private half as a file of ssh, and the public half.

    Ed25519, where 0.4.3 made RSA: the agent only writes it to a file for ssh, and making it takes a
    thousandth of the time.
    """
    made = Ed25519PrivateKey.generate()
    private = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = made.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private, PublicKey.parse(public.decode("ascii"))


def sealed(private: bytes, api_key: str) -> dict[str, object]:
    """The private half as the agent expects it: AES-GCM under scrypt of the API key."""
    salt, cipher = _cipher(api_key)
    nonce = os.urandom(12)
    parts = {"salt_b64": salt, "nonce_b64": nonce, "ciphertext_b64": cipher.encrypt(nonce, private, None)}
    texts = {name: base64.b64encode(part).decode("ascii") for name, part in parts.items()}
    return {"kdf": "scrypt", **texts, "n": _N, "r": _R, "p": _P}


def _cipher(api_key: str) -> tuple[bytes, AESGCM]:
    """The salt and the cipher of an API key, derived once: it is slow on purpose."""
    with _lock:
        if api_key not in _derived:
            salt = os.urandom(16)
            key = Scrypt(salt=salt, length=32, n=_N, r=_R, p=_P).derive(api_key.encode("utf-8"))
            _derived[api_key] = salt, AESGCM(key)
        return _derived[api_key]
