"""What may be done from this machine: the one question that every caller asks before it acts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from scitex_ssh import config, config_edit
from scitex_ssh.config import ACTIONS, Config
from scitex_ssh.errors import InputError, PolicyError
from scitex_ssh.model.text import shown

__all__ = ["Answer", "allow", "answer", "check", "deny"]


@dataclass(frozen=True)
class Answer:
    """What the policy says of one action and one host.

    Attributes:
        action: one of ``tunnels``, ``exec``, ``copy``, ``attach``, ``forward``.
        host: the name that was asked for.
        verdict: ``allow``, ``deny``, or ``unset`` where no file says anything.
        path: the file that decided, or "".
        where: the place in that file (``hosts.lab1.exec``), or "".
        system: the administrator's file decided.
    """

    action: str
    host: str
    verdict: str
    path: str = ""
    where: str = ""
    system: bool = False


def check(action: str, host: str, *aliases: str, consent: bool = False) -> None:
    """Return where the action is allowed; where it is not, nothing may be touched.

    Args:
        action: ``tunnels``, ``exec``, ``copy``, ``attach`` or ``forward``.
        host: the name of the machine that is acted on: for ``tunnels`` this one (see `this_host`), for
            the others the one at the other end, as the user names it.
        aliases: more names of the same machine (the address that the name stands for); a deny of any
            of them counts.
        consent: somebody who may say so said yes to this very call (``--yes``, an answered question).
            It stands in for a policy that says nothing, and never for one that says no.

    Raises:
        PolicyError: ``policy-denied``, ``policy-unset``, ``policy-broken``, ``policy-unreadable``.
    """
    found = answer(action, host, *aliases)
    if found.verdict == "deny":
        who = "the administrator of this machine" if found.system else "its owner"
        raise PolicyError(
            "policy-denied", action=action, host=host, path=found.path, place=found.where, who=who
        )
    if found.verdict == "unset" and not consent:
        raise PolicyError("policy-unset", action=action, host=host)


def answer(action: str, host: str, *aliases: str) -> Answer:
    """What the two files say together; `PolicyError` where one of them cannot be understood.

    In a file, the entry of a host beats its default. Of the two files the administrator's wins, but for
    a deny of the caller's own: whoever acts may always forbid himself more.
    """
    assert action in ACTIONS, action
    names = tuple(plain(name) for name in (host, *aliases))
    # Both are read, so that a broken one is seen even where the other decides.
    files = (config.system(), config.user())
    verdicts = [said(file, action, names) for file in files]
    for verdict in ("deny", "allow"):
        for file, (found, where) in zip(files, verdicts):
            if found == verdict:
                return Answer(action, host, verdict, str(file.path), where, file.system)
    return Answer(action, host, "unset")


def allow(action: str, host: str | None = None, *, system: bool = False) -> Answer:
    """Allow an action on a host, or on every host that has no answer of its own; what is so then.

    Args:
        action: ``tunnels``, ``exec``, ``copy``, ``attach`` or ``forward``.
        system: in the administrator's file, which wins, and not in the caller's own.

    Raises:
        InputError: for what is no action or no name of a host.
        PolicyError: for a file that is not as it must be.
        SSHError: ``config-by-hand`` where the line cannot be put into the file.
    """
    put(action, "allow", host, system=system)
    return answer(action, host or "?")


def deny(action: str, host: str | None = None, *, system: bool = False) -> Answer:
    """Deny an action on a host, or on every host that has no answer of its own; as `allow`."""
    put(action, "deny", host, system=system)
    return answer(action, host or "?")


def check_host(host: str) -> None:
    """Refuse what is no name of a host, by ``usage``; it may stand with its user, and in brackets."""
    if not config.is_host(plain(host)):
        raise InputError("usage", why=f"{shown(host)} is not the name of a host", command="scitex-ssh policy")


def put(action: str, verdict: str, host: str | None, *, system: bool = False) -> tuple[Path, bool]:
    """Write a verdict into a file; the file, and whether it was changed. Errors are those of `allow`."""
    if action not in ACTIONS:
        why = f"{shown(action)} is not one of {', '.join(ACTIONS)}"
        raise InputError("usage", why=why, command="scitex-ssh policy")
    if host is not None:
        check_host(host)
    path = config.SYSTEM if system else config.user_path()
    return path, config_edit.put(path, action, verdict, host=host, system=system)


def said(file: Config, action: str, names: tuple[str, ...]) -> tuple[str, str]:
    """The verdict of one file, or "", and its place."""
    entries = list(file.entries(action, names))
    hosts = [entry for entry in entries if entry[1].startswith("hosts.")]
    # Several names of one machine may have several entries: a deny of any counts.
    return min(hosts or entries or [("", "")], key=lambda entry: entry[0] != "deny")


def this_host() -> tuple[str, ...]:
    """The names of this machine, the short one first."""
    full = os.uname().nodename.lower()
    short = full.partition(".")[0]
    return (short, full) if short != full else (short,)


def plain(name: str) -> str:
    """The name of a host as the files are searched for it: no user, no brackets, small letters."""
    return name.rpartition("@")[2].strip("[]").rstrip(".").lower()
