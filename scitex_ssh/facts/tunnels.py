"""What pyinfra sees of the tunnels of a host, each in one round trip."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from gzip import GzipFile
from io import BytesIO

from pyinfra.api import FactBase, QuoteString, StringCommand

from scitex_ssh import __version__
from scitex_ssh.errors import InputError
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Tunnel
from scitex_ssh.plan.program import Binding, bind, body, ending
from scitex_ssh.plan.report import Report, read_line

# The longest argument that Linux gives to a program (MAX_ARG_STRLEN: 32 pages, at least 128 KiB), less what
# sudo and the words around a command take. A login's command is one argument of its shell.
LONGEST = (128 - 4) * 1024


@dataclass(frozen=True)
class Program:
    """A program for some tunnels, as one remote command; its text stays out of pyinfra's logs."""

    word: str
    bindings: tuple[Binding, ...] = field(repr=False, default=())
    flags: tuple[str, ...] = ()

    def command(self, *more: str) -> StringCommand:
        """The command that runs it, with these flags besides its own."""
        own = ending(f'main {self.word} "$@"', self.bindings)
        flags = [QuoteString(flag) for flag in (*self.flags, *more)]
        return StringCommand("sh", "-c", QuoteString(unpacking(_body(), own)), "scitex-ssh", *flags)


@cache
def _body() -> str:
    return body(PLANS, FRAGMENTS, extra=("main",), version=__version__, bare=True)


def too_long(where: str, tunnels: Iterable[Tunnel]) -> InputError | None:
    """The error of a host whose tunnels are more than one command can tell."""
    # With room for the host keys of a bastion, new ones beside the old.
    size = len(Program("setup", tuple(map(bind, tunnels))).command().get_raw_value()) + 3072
    return InputError("tunnels-too-long", where=where, size=size, most=LONGEST) if size > LONGEST else None


def unpacking(text: str, own: str = "") -> str:
    """A short program that is the same as ``text`` and then ``own``, which differs from host to host.

    Packed, since one argument of a command holds 128 KiB and no more, and the program grows.
    """
    packed = _packed(text) + (_base64(_gzip(own)) if own else "")
    missing = r"error\t\tssh-missing\tprogram=gzip or base64\tpackage=gzip\n"
    return (
        f"program_text=$(printf %s {packed} | base64 -d | gzip -dc)\n"
        f"[ -n \"$program_text\" ] || {{ printf '{missing}'; exit 10; }}\n"
        'eval "$program_text"'
    )


# Packed once, and not for each of a hundred hosts: it takes longer than all the rest.
@cache
def _packed(text: str) -> str:
    # So long that another part can follow: gzip reads one after the other as one, base64 only up to a "=".
    packed = _gzip(text)
    return _base64(packed if len(packed) % 3 == 0 else _gzip(text, name="-" * (2 - len(packed) % 3 or 3)))


def _gzip(text: str, name: str = "") -> bytes:
    out = BytesIO()
    with GzipFile(name, "wb", fileobj=out, mtime=0) as file:
        file.write(text.encode())
    return out.getvalue()


def _base64(packed: bytes) -> str:
    return base64.b64encode(packed).decode()


class Drift(FactBase[Report]):
    """What a program would change on the host, each tunnel's proof included; nothing is changed."""

    @staticmethod
    def default() -> Report:
        """Nothing was said."""
        return Report()

    def command(self, program: Program) -> StringCommand:
        """One round trip."""
        return StringCommand(program.command("--machine", "--dry-run"), "||", "true")

    def process(self, output: Iterable[str]) -> Report:
        """The report; lines that are not ours are passed over."""
        return _report(output)


class Tunnels(FactBase[list[Mapping[str, object]]]):
    """The tunnels of the host and what is so of each, as ``scitex-ssh status --json`` lists them.

    .. code:: python

        [{"tunnel": "2222", "port": 2222, "level": "verified", "bastion": "tunnel@gw", ...}]
    """

    @staticmethod
    def default() -> list[Mapping[str, object]]:
        """No tunnels."""
        return []

    def command(self) -> StringCommand:
        """One round trip."""
        return StringCommand(Program("status").command("--machine"), "||", "true")

    def process(self, output: Iterable[str]) -> list[Mapping[str, object]]:
        """One mapping a tunnel; lines that are not ours are passed over."""
        seen = _report(output).as_dict()["tunnels"]
        assert isinstance(seen, list)
        return seen


def _report(output: Iterable[str]) -> Report:
    lines = (read_line(text) for text in output)
    return Report([line for line in lines if line is not None])
