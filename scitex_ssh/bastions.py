"""The Python API of a bastion: this machine lets hosts hold ports of it."""

from __future__ import annotations

from collections.abc import Iterable

from scitex_ssh.api import Result, Tell
from scitex_ssh.backends import local
from scitex_ssh.bastion import bastion_program
from scitex_ssh.model import Port
from scitex_ssh.model.host import HostName
from scitex_ssh.plan.report import Line
from scitex_ssh.render.authorized_keys import PublicKey

__all__ = ["authorize", "hosts", "revoke", "setup", "status"]


def _silent(line: Line) -> None:
    """Nobody listens."""


def setup(*, hosts: int = 100, plain: bool = False, dry_run: bool = False, tell: Tell = _silent) -> Result:
    """Make this machine a bastion: sshd's part is checked, told, and proven by a fresh login.

    Args:
        hosts: how many hosts there will be.
        plain: this is an account without root; there is nothing to set up then.
        dry_run: change nothing; the result holds the diff.
        tell: called with each line of the report as soon as it is known.
    """
    return _run("setup", [f"--hosts={hosts}", *_flags(plain, dry_run)], tell)


def authorize(
    name: object,
    ports: Iterable[object] = (),
    key: object = None,
    *,
    keep: bool = False,
    plain: bool = False,
    dry_run: bool = False,
    tell: Tell = _silent,
) -> Result:
    """Let the host ``name`` hold these ports with this public key, and nothing else.

    Args:
        ports: without one, those that it has, or a free one that is chosen.
        key: one line ``ssh-ed25519 AAAA...``; by default the one that it has.
        keep: what the host has stays, too; else its sessions are ended when its line changes.
        plain: with a line in this account's own authorized_keys, without root.
    """
    flags = [
        f"--name={HostName(name)}",
        *(f"--port={Port(port, 'a host of a bastion')}" for port in ports),
        *([] if key is None else [f"--key={PublicKey.parse(key)}"]),
        *(["--keep"] if keep else []),
    ]
    return _run("authorize", [*flags, *_flags(plain, dry_run)], tell)


def revoke(name: object, *, plain: bool = False, dry_run: bool = False, tell: Tell = _silent) -> Result:
    """Take a host's key away, end its sessions, and see its ports free."""
    return _run("revoke", [f"--name={HostName(name)}", *_flags(plain, dry_run)], tell)


def hosts(*, plain: bool = False) -> Result:
    """The hosts that this bastion knows: ``result["hosts"]``."""
    return _run("list", _flags(plain, False), _silent)


def status(*, plain: bool = False) -> Result:
    """The same; the exit status is 50 when one does not hold its ports, 10 when this is no bastion."""
    return _run("status", _flags(plain, False), _silent)


def _flags(plain: bool, dry_run: bool) -> list[str]:
    return [*(["--plain"] if plain else []), *(["--dry-run"] if dry_run else [])]


def _run(word: str, flags: Iterable[str], tell: Tell) -> Result:
    report = local.run_program(bastion_program(), [word, "--machine", *flags], tell)
    return Result(report.status, report)
