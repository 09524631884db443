"""A new key in the place of an old one: let in beside it, proven, and only then the old one taken away."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from scitex_ssh.api import Result, Tell
from scitex_ssh.errors import error
from scitex_ssh.keys.authorize import prove
from scitex_ssh.keys.lines import edit, with_key
from scitex_ssh.keys.local import file_path, locked_key, new, private, public, public_half
from scitex_ssh.keys.told import Say, saying, silent, told
from scitex_ssh.remote import gate
from scitex_ssh.remote.way import Way


def rotate(
    hosts: object,
    key: object,
    *,
    kind: str = "ed25519",
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    consent: bool = True,
    tell: Tell = silent,
) -> Result:
    """Put a new key in the place of the one at ``key``, on all hosts that let it in.

    The new key is made beside (``KEY.new``). On each host its line, with the options of the old one, is put
    behind the old one's, and the new key must log in; until then nothing is taken away. Then the files
    change places (the old key is ``KEY.old``), and the old lines go. Where it was broken off, at whatever
    step, the same call goes on. A key with a passphrase is followed by one with a passphrase, which
    ssh-keygen asks for.

    Args:
        hosts: one, or several of them; each a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``.
        key: the path of either half.
        kind: ``ed25519``, or ``rsa`` (4096 bits).
        ssh_opts: flags for ssh. Where the key's line allows no commands, the key of one that may edit
            ``authorized_keys`` there: ``["-i", "admin_key"]``.
        jump: hosts on the way, the nearest first, parted by commas.
        consent: False refuses where no policy allows ``exec`` on the hosts.
        tell: called with each step as soon as it is known.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    each = [hosts] if isinstance(hosts, str) or not isinstance(hosts, Sequence) else list(hosts)
    ways = [Way.of(host, ssh_opts, jump) for host in each]
    place = private(file_path(key))
    beside, former = place.with_name(place.name + ".new"), place.with_name(place.name + ".old")
    for way in ways:
        gate.check("exec", way, consent)

    def work(tell: Tell) -> None:
        say = saying(tell)
        old, comment = public_half(place)
        if not place.is_file():
            raise error("key-missing", key=place)
        if former.exists() or public(former).exists():
            _go_on(ways, place, beside, former, say)
            return
        if beside.is_file():
            say("ok", f"key {beside}, of a rotation that was broken off")
        else:
            new(beside, kind=kind, comment=comment or None, passphrase=locked_key(place))
            say("changed", f"key {beside}")
        young, _ = public_half(beside)
        for way in ways:
            arguments = (old.blob, young.type, young.blob, old.id, young.id)
            if not edit(with_key(way, place), say, "swap", *arguments):
                raise error("key-not-there", host=way.host, key=place)
        for way in ways:
            prove(way, beside, young)
            say("ok", f"{way.host} lets the new key in")
        _change_places(place, beside, former, say)
        for way in ways:
            edit(with_key(way, place), say, "drop", old.blob)

    return told(work, tell)


def _go_on(ways: Sequence[Way], place: Path, beside: Path, former: Path, say: Say) -> None:
    """Do what is left of a rotation that was broken off when the new key had been proven.

    Raises:
        TunnelError: ``old-key-kept`` where nothing is left.
    """
    kinds = []

    def noting(kind: str, title: str) -> None:
        kinds.append(kind)
        say(kind, title)

    # The private half goes first, so that what is beside tells how far it came.
    if public(beside).exists() and former.exists() and (not beside.exists() or former.samefile(place)):
        _change_places(place, beside, former, noting)
    old, young = public_half(former)[0], public_half(place)[0]
    for way in ways:
        prove(way, place, young)
        edit(with_key(way, place), noting, "drop", old.blob)
    if "changed" not in kinds:
        raise error("old-key-kept", path=former)


def _change_places(place: Path, beside: Path, former: Path, say: Say) -> None:
    """At no moment is there no key at ``place``; what has changed already stays as it is."""
    for now, new_half, old_half in ((place, beside, former), (public(place), public(beside), public(former))):
        if not new_half.exists():
            continue
        if now.exists() and not old_half.exists():
            os.link(now, old_half)
        new_half.replace(now)
    say("changed", f"{place} is the new key, {former} the old one")
