"""The line of a tunnel's key in an authorized_keys file: hold one's own ports, dial them, nothing else."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from scitex_ssh.errors import InputError
from scitex_ssh.model.port import Port
from scitex_ssh.model.text import shown
from scitex_ssh.render.take_back import one_line, source
from scitex_ssh.render.template import Template

# `permits` is `permits()` of the ports, `session` the path of `session()` on the bastion. The words of the
# forced command are the line's own: what a client asks for can only choose among them.
LINE = Template(
    'restrict,port-forwarding,@permits@,command="exec @session@ @ports@ @key_id@" @public@ scitex-ssh-@name@'
)
# Root's, for all accounts of a bastion.
SESSION = "/usr/local/lib/scitex-ssh/session"

_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


@dataclass(frozen=True)
class PublicKey:
    """A public key, without what stands behind it in its file.

    Attributes:
        type: ``ssh-ed25519`` and so on.
        blob: the key in base64.
    """

    type: str
    blob: str

    @classmethod
    def parse(cls, text: object) -> PublicKey:
        """Read one line of a ``.pub`` file; `InputError` ``bad-public-key``."""
        if not isinstance(text, str):
            raise _bad(text, "it is not text")
        if "PRIVATE KEY" in text:
            # Not shown: it would be in every log.
            raise InputError(
                "bad-public-key", value="what was given", why="it is a private key, keep it secret"
            )
        words = text.split()
        if "\n" in text.strip() or len(words) < 2 or words[0] not in _TYPES:
            raise _bad(text, "one line 'ssh-ed25519 AAAA...' is needed, without options")
        if not re.fullmatch(r"[A-Za-z0-9+/]{16,16000}={0,2}", words[1], re.ASCII) or not _holds(*words[:2]):
            raise _bad(text, "its base64 part is damaged")
        return cls(words[0], words[1])

    @property
    def id(self) -> str:
        """The MD5 fingerprint without colons, by which a tunnel's session names its key."""
        return hashlib.md5(base64.b64decode(self.blob), usedforsecurity=False).hexdigest()

    @property
    def fingerprint(self) -> str:
        """The fingerprint as ``ssh-keygen -l`` shows it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.type} {self.blob}"


def line(name: str, ports: Iterable[Port], key: PublicKey, session: str = SESSION) -> str:
    """The line (without its line break) that lets ``key`` hold and dial these ports, and nothing else.

    Args:
        name: the host's name, for the comment.
        ports: at least one; the first is the one that a client means which names none of them.
        session: where the text of `session` is on the bastion; a path without spaces or quotes.
    """
    ports = list(ports)
    assert ports, "a key without a port is a key without a use"
    return LINE.fill(
        {
            "permits": permits(ports),
            "session": session,
            "ports": ",".join(map(str, ports)),
            "key_id": key.id,
            "public": str(key),
            "name": name,
        }
    )


def permits(ports: Iterable[int]) -> str:
    """The options that name the ports: to listen on, and to dial for the proof."""
    return ",".join(f'permitlisten="localhost:{port}",permitopen="localhost:{port}"' for port in ports)


def session() -> str:
    """The program that such a line runs: a POSIX sh file, to be owned by root and executable (755)."""
    text = files("scitex_ssh.render").joinpath("session.sh").read_text(encoding="utf-8")
    return text.replace("@take_back@", one_line(source()))


def _bad(text: object, why: str) -> InputError:
    return InputError("bad-public-key", value=shown(text), why=why)


def _holds(kind: str, blob: str) -> bool:
    """True when the base64 part is whole, and of the kind that stands before it."""
    try:
        raw = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return False
    length = int.from_bytes(raw[:4], "big")
    return raw[4 : 4 + length] == kind.encode()
