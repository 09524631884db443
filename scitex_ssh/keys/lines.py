"""The line of a key in an ``authorized_keys`` elsewhere, changed by a small program that is run there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from scitex_ssh.errors import InputError, error
from scitex_ssh.keys.told import Say
from scitex_ssh.model.text import shown
from scitex_ssh.remote.session import Stdin, run
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.wrap import program

_MARK = "scitex-ssh key "


def edit(way: Way, say: Say, word: str, *arguments: str, dry_run: bool = False) -> bool:
    """Run ``lines.sh`` on the host with a word and its arguments; False where there is no line of the key.

    Raises:
        SSHError: where the host cannot be reached, or ``authorize-failed``.
    """
    text = program(_source(), word, "1" if dry_run else "0", *arguments)
    kind, title = _answer(way, [text], b"")
    if kind == "missing":
        return False
    say(kind, f"{way.host}: {title}")
    return True


def output(way: Way, words: Sequence[str], stdin: bytes) -> str:
    """What a command on the host prints; a person at the terminal may type a password for it.

    Raises:
        SSHError: where the host cannot be reached.
    """
    out, err = bytearray(), bytearray()
    way = _asking(way)
    _, problem = run(way, words, stdin=Stdin(data=stdin), out=out.extend, err=err.extend)
    if problem is not None:
        raise problem
    return out.decode("utf-8", "replace")


def _answer(way: Way, words: Sequence[str], stdin: bytes) -> tuple[str, str]:
    # A login may print words of its own before and after.
    for line in output(way, words, stdin).splitlines():
        if line.startswith(_MARK):
            kind, _, title = line[len(_MARK) :].partition(" ")
            if kind == "failed":
                raise error("authorize-failed", host=way.host, why=title)
            return kind, title
    raise error("authorize-failed", host=way.host, why="it runs no command for us")


def _asking(way: Way) -> Way:
    """The same way, with ssh free to ask where somebody is there to answer."""
    if os.environ.get("SSH_ASKPASS_REQUIRE") != "force":
        try:
            os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
        except OSError:
            return way
    return replace(way, options=(*way.options, "-o", "BatchMode=no"))


def with_key(way: Way, key: Path) -> Way:
    """The same way, with one more key to log in with.

    Raises:
        InputError: ``bad-key-path`` for a path that ssh reads otherwise.
    """
    text = str(key)
    if '"' in text or "${" in text:
        raise InputError("bad-key-path", value=shown(text), why="ssh does not read it as it is")
    # ssh reads percent signs of a path as its own.
    return replace(way, options=(*way.options, "-o", 'IdentityFile="{}"'.format(text.replace("%", "%%"))))


@cache
def _source() -> str:
    return files("scitex_ssh.keys").joinpath("lines.sh").read_text(encoding="utf-8")
