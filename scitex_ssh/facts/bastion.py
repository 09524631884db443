"""What pyinfra sees of a bastion, and of the key of a host, each in one round trip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pyinfra.api import FactBase, QuoteString, StringCommand

from scitex_ssh.bastion import bastion_program
from scitex_ssh.facts.tunnels import Program, unpacking
from scitex_ssh.plan.report import Report, read_line
from scitex_ssh.render.tunnel_key import key_program


@dataclass(frozen=True)
class Gate:
    """A word for a bastion's program with its flags, as one remote command."""

    word: str
    flags: tuple[str, ...] = field(repr=False, default=())

    def command(self, *more: str) -> StringCommand:
        """The command that runs it, with these flags besides its own."""
        flags = [QuoteString(flag) for flag in (*self.flags, *more)]
        return StringCommand(
            "sh", "-c", QuoteString(unpacking(bastion_program())), "scitex-ssh", self.word, *flags
        )


def in_turn(parts: Iterable[Sequence[str]], most: int = 64 * 1024) -> Iterator[list[str]]:
    """The flags of hosts, each host's whole, in as many commands as they need: one takes some hundreds."""
    flags: list[str] = []
    length = 0
    for part in parts:
        # Quotes are quoted anew for each shell on the way: ssh's, sudo's and ours.
        size = sum(len(flag) + (40 if " " in flag else 1) for flag in part)
        if flags and length + size > most:
            yield flags
            flags, length = [], 0
        flags, length = [*flags, *part], length + size
    if flags:
        yield flags


class BastionDrift(FactBase[Report]):
    """What a word for a bastion would change there; nothing is changed."""

    @staticmethod
    def default() -> Report:
        """Nothing was said."""
        return Report()

    def command(self, gate: Gate) -> StringCommand:
        """One round trip."""
        return StringCommand(gate.command("--machine", "--dry-run"), "||", "true")

    def process(self, output: Iterable[str]) -> Report:
        """The report; lines that are not ours are passed over."""
        lines = (read_line(text) for text in output)
        return Report([line for line in lines if line is not None])


class Bastion(BastionDrift):
    """A bastion's hosts, its own host keys, and what set-up would change there.

    .. code:: python

        report.guests  # [Guest(name="lab1", ports=(27891,), holds=(27891,), keys=..., ...)]
        report.host_keys  # ["ssh-ed25519 AAAA...", ...]
        report.changed  # True where set-up has something to do
    """

    def command(self, hosts: int = 100, plain: bool = False) -> StringCommand:  # type: ignore[override]  # pyinfra's facts differ in their arguments
        """One round trip."""
        flags = (f"--hosts={hosts}", *(("--plain",) if plain else ()))
        return StringCommand(Gate("look", flags).command("--machine"), "||", "true")


class TunnelKey(FactBase[str]):
    """The public half of the key of a host's tunnels, or "" where there is none yet."""

    @staticmethod
    def default() -> str:
        """There is none."""
        return ""

    def command(self, key: str, user: str = "") -> StringCommand:
        """One round trip."""
        return key_command("show", key, user)

    def process(self, output: Iterable[str]) -> str:
        """The line of the key; stray words are passed over."""
        return _public(output)


@dataclass(frozen=True)
class Seen:
    """What was seen of a host.

    Attributes:
        public: the public half of the key of its tunnels, or "".
        user: the account that keeps them.
        host_keys: its own host keys, each ``type base64``.
        drift: what set-up would change, where it was asked.
    """

    public: str = ""
    user: str = ""
    host_keys: tuple[str, ...] = ()
    drift: Report = field(default_factory=Report)

    def to_json(self) -> dict[str, object]:
        """What pyinfra's own command prints of it."""
        told = {"public": self.public, "user": self.user, "host_keys": list(self.host_keys)}
        return {**told, "drift": self.drift.to_json()}


class Standing(FactBase[Seen]):
    """A host's key, its host keys, and what a program for its tunnels would change there: all in one."""

    @staticmethod
    def default() -> Seen:
        """Nothing was said."""
        return Seen()

    def command(self, key: str, user: str, program: Program | None) -> StringCommand:
        """One round trip."""
        look = key_command("look", key, user)
        if program is None:
            return StringCommand(look, "||", "true")
        return StringCommand(look, ";", program.command("--machine", "--dry-run"), "||", "true")

    def process(self, output: Iterable[str]) -> Seen:
        """What was said; lines that are not ours are passed over."""
        lines = list(output)
        report = Report([line for line in map(read_line, lines) if line is not None])
        user = next((text.partition("\t")[2].strip() for text in lines if text.startswith("login\t")), "")
        return Seen(_public(lines), user, tuple(report.host_keys), report)


def key_command(word: str, key: str, user: str, comment: str = "scitex-ssh") -> StringCommand:
    """The command of one word about a host's key: what it makes never leaves the host."""
    words = [QuoteString(each) for each in (word, key, user, comment)]
    return StringCommand("sh", "-c", QuoteString(key_program()), "scitex-ssh", *words)


def _public(output: Iterable[str]) -> str:
    for line in output:
        kind, _, public = line.partition("\t")
        if kind == "public":
            return public.strip()
    return ""
