"""A command as it is sent: any login shell passes it on untouched, and it ends with its caller."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from scitex_ssh.errors import InputError

LIFELINE = "lifeline"
PARENT = "parent"

# One argument is at most 128 KiB on Linux, and the login shell gets all of this as one.
_LONGEST = 120_000


def wrapped(command: str, watch: str) -> str:
    """What ssh is given so that ``command`` runs on the far side until it, or its caller, ends.

    Args:
        watch: `LIFELINE` where stdin is not the command's, `PARENT` where it is.

    Raises:
        InputError: ``usage`` for a command that cannot be sent.
    """
    return program(_source(), command, watch)


def program(source: str, *arguments: str) -> str:
    """``source`` as a POSIX sh program with arguments, in words that every login shell reads alike."""
    for text in arguments:
        sendable(text)
    # csh breaks on a newline in quotes and fish unescapes backslashes there; \0ooo passes both.
    start = 'n=$#; while [ $n -gt 0 ]; do a=$(printf %b. "$1"); shift; set -- "$@" "${a%.}"; n=$((n-1)); done'
    text = " ".join(
        [
            "exec sh -c",
            f"'{start}; p=$1; shift; eval \"$p\"'",
            "scitex-ssh",
            *(f"'{_octal(each)}'" for each in (source, *arguments)),
        ]
    )
    if len(text) > _LONGEST:
        why = "the command is longer than what one command line can hold"
        raise InputError("usage", why=why, command="scitex-ssh exec")
    return text


def sendable(text: str) -> str:
    """The same text, which a command line can hold; `InputError` ``usage`` for another."""
    why = "a command cannot hold the character NUL" if "\0" in text else ""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        why = "the command holds half a character, which no encoding has"
    if why:
        raise InputError("usage", why=why, command="scitex-ssh exec")
    return text


def _octal(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(
        chr(byte) if re.match(rb"[A-Za-z0-9 _./:=,@%+-]", bytes([byte])) else f"\\0{byte:03o}" for byte in raw
    )


@cache
def _source() -> str:
    text = files("scitex_ssh.remote").joinpath("exec.sh").read_text(encoding="utf-8")
    return "\n".join(line.strip() for line in text.splitlines() if line and not line.startswith("#"))
