"""Ssh's words about the way to a host, as an error of the catalogue."""

from __future__ import annotations

import re

from scitex_ssh.errors import SSHError, error
from scitex_ssh.plan.causes import cause
from scitex_ssh.remote.way import Way


def failure(way: Way, words: str) -> SSHError:
    """The error that ``words`` tell: what ssh, and the ssh of a jump host, said before it gave up."""
    slug = cause(words)
    host = str(way.host)
    if slug == "host-key-changed" and "IDENTIFICATION HAS CHANGED" not in words:
        # With nobody there to ask, ssh's "ask" is a refusal of what it does not know.
        slug = "host-key-unknown"
    # What reads otherwise where there is no tunnel and no bastion.
    if slug == "key-not-accepted":
        return error("login-refused", host=host)
    if slug == "host-key-unknown":
        return error("known-key-missing", host=host)
    if slug == "host-key-changed":
        return error("known-key-differs", host=host)
    if slug in ("port-refused", "socket-refused", "local-port-taken", "identity-clash", "ssh-failed"):
        return error("remote-unreachable", host=host, why=_last(words))
    # What failed may be a host on the way.
    named = re.search(r"(?:Could not resolve hostname|connect to host) (\S+?):? (?:port (\d+): )?", words)
    if named:
        host = named[1]
    port = (named and named[2]) or way.host.port or 22
    return error(slug, host=host, port=port, login=str(way.host), why=_last(words))


def _last(words: str) -> str:
    lines = [line.strip() for line in words.replace("\r", "\n").splitlines()]
    lines = [line for line in lines if line and not line.startswith(("debug", "OpenSSH_"))]
    return lines[-1].rstrip(".") if lines else "it ended without a word"
