"""What a gateway gives a machine: asked for when all else is known to be right, and allowed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

import scitex_ssh
from scitex_ssh.errors import error

if TYPE_CHECKING:
    from scitex_ssh.gateway.client import Granted

# Where a gateway has not answered yet: any will do to see whether the rest is right.
_ANY = (65535, "user@gateway.invalid", "~/key")
_DESCRIBING = (
    *("target", "user", "engine", "keeper", "keepalive", "name", "remote", "local", "dynamic"),
    *("remote_socket", "jump", "jump_key", "proxy"),
)


def options(command: Any) -> Any:
    """The flags that say which gateway, and how it is reached."""
    for option in reversed(
        [
            click.option(
                "--gateway",
                metavar="URL",
                help="Ask this gateway for a port and a bastion: ssh://enrol@bastion or "
                "https://gw.example.com:12000.",
            ),
            click.option(
                "--over-ssh",
                metavar="HOST",
                help="With http:// or https://: reach the gateway from this Host of ~/.ssh/config.",
            ),
            click.option(
                "--token-file", metavar="FILE", help="A join token for the gateway; - is standard input."
            ),
            click.option(
                "--machine",
                metavar="NAME",
                help="What the gateway calls this machine.  [default: its host name]",
            ),
        ]
    ):
        command = option(command)
    return command


def enrolled(
    asked: Mapping[str, Any], key: str | None, flags: Mapping[str, Any], yes: bool, terminal: bool, name: str
) -> Granted:
    """Enrol this machine; nothing is made or sent before the flags and the policy are known to permit it.

    Args:
        asked: the values of `options`.
        key: the private key that was asked for, or None for one of the gateway's own.
        flags: the other flags of the tunnel to be.
        terminal: somebody can be asked.
        name: of the command, for errors.
    """
    from scitex_ssh import api, gateways

    api.described(*_ANY, **{field: flags[field] for field in _DESCRIBING if field in flags})
    consent = _consent(yes, terminal)
    granted = gateways.enrol(
        str(asked["gateway"]),
        _token(asked["token_file"], name),
        name=asked["machine"],
        key=key or None,
        accept_new_host_key=flags["accept_new_host_key"],
        over_ssh=asked["over_ssh"],
        consent=consent,
    )
    if granted.old is not None and name != "scitex-ssh agent":
        why = "it is ssh-tunnel-gateway, which forgets who does not call; scitex-ssh agent calls"
        raise error("gateway-answer", url=granted.old.url, why=why)
    print(f"Enrolled as {granted.name}: port {granted.port} of {granted.bastion}.", file=sys.stderr)
    return granted


def trust(granted: Granted, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that say whom to trust: what the gateway told in a safe way, where none was given."""
    if flags["accept_new_host_key"] or flags.get("host_key_fingerprint"):
        return {}
    return {"host_key_fingerprint": granted.fingerprints}


def _consent(yes: bool, terminal: bool) -> bool:
    """Whether somebody says yes to this very call."""
    names = scitex_ssh.policy.this_host()
    unset = scitex_ssh.policy.answer("tunnels", *names).verdict == "unset"
    if unset and terminal and not yes:
        from scitex_ssh.cli import consent

        return consent.asked("tunnels", names[0])
    return yes


def _token(path: str | None, name: str) -> str:
    from scitex_ssh.cli.gateway import read_token

    try:
        return read_token(path)
    except (OSError, UnicodeDecodeError) as problem:
        why = str(getattr(problem, "strerror", None) or "it is no text").lower()
        raise error("file-failed", path=path, why=why) from problem
