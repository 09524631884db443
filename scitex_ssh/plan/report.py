"""What a program says with ``--machine``, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Union

from scitex_ssh.errors import SSHError, error

LEVELS = ("verified", "listening", "running", "down")


@dataclass(frozen=True)
class Event:
    """What became of one step.

    ``kind`` is ``ok``, ``changed``, ``would-change``, ``failed`` or ``restored``.
    """

    tunnel: str
    kind: str
    title: str


@dataclass(frozen=True)
class Diff:
    """One line of what a dry run would change."""

    tunnel: str
    line: str


@dataclass(frozen=True)
class Proof:
    """What was seen of a tunnel that set-up was asked for.

    ``level`` is one of `LEVELS`, ``target`` that of the first forward, ``says`` what all of them do, in
    words.
    """

    tunnel: str
    level: str
    bastion: str
    target: str
    says: str


@dataclass(frozen=True)
class Observation:
    """What is so of one tunnel.

    Attributes:
        tunnel: its name; the port on the bastion unless it was given another.
        level: one of `LEVELS`.
        facts: ``cause`` (a slug or ""), ``detail`` (words), ``bastion``, ``target`` (of the first forward),
            ``forwards`` ("KIND LISTEN TARGET" with commas between), ``levels`` (one each), ``keeper``,
            ``user``, ``pid`` of what keeps it and ``started`` (Unix time, or ""), ``since`` (Unix time of
            the last change, or ""), ``uptime``
            (seconds since it connected, or ""), ``error`` (the last one, in words) with ``error_at``,
            ``next_retry`` (Unix time, where it waits for one), ``restarts`` (a number), ``engine``, ``key``,
            ``jumps`` (hosts on the way with commas between them), ``proxy`` (before the first, or ""),
            ``take_back`` (``hold``, ``plain`` or ""), ``adopted`` (``yes`` or "").
    """

    tunnel: str
    level: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Check:
    """One check of doctor.

    Attributes:
        name: its stable name (``key``, ``host-key``, ``proof``...).
        title: what is checked, in words.
        verdict: ``ok``, ``failed``, ``warning`` or ``not-reached``.
        evidence: what was seen.
        slug: the error that was found, or "".
        sentence: its words, with the facts of this case.
        next_move: what to do about it.
        tunnel: the name of the tunnel, or "" where a way alone was examined.
    """

    name: str
    title: str
    verdict: str
    evidence: str
    slug: str
    sentence: str
    next_move: str
    tunnel: str = ""

    @property
    def text(self) -> str:
        """It in words, the verdict first, on as many lines as it takes."""
        lines = [f"{self.verdict.ljust(12)} {self.title.ljust(42)} {self.evidence}".rstrip()]
        if self.slug:
            indent = " " * 13
            lines += [f"{indent}{self.sentence}", f"{indent}Next: {self.next_move} [{self.slug}]"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Guest:
    """A host that a bastion knows.

    Attributes:
        name: its name.
        ports: the ports that its key may hold.
        holds: those of them that somebody listens on.
        keys: its public keys, each ``type base64``.
        prints: their fingerprints.
        account: the account that it logs in as.
    """

    name: str
    ports: tuple[int, ...]
    holds: tuple[int, ...]
    keys: tuple[str, ...]
    prints: tuple[str, ...]
    account: str

    def as_dict(self) -> dict[str, object]:
        """All of it as JSON types."""
        return {
            "name": self.name,
            "account": self.account,
            "ports": list(self.ports),
            "holds": list(self.holds),
            "keys": list(self.keys),
            "fingerprints": list(self.prints),
        }


@dataclass(frozen=True)
class HostKey:
    """A host key of the machine that was looked at."""

    type: str
    blob: str


@dataclass(frozen=True)
class Kept:
    """Which keeper ``auto`` took for a tunnel, and what that one survives, in words."""

    tunnel: str
    keeper: str
    survives: str


@dataclass(frozen=True)
class Caution:
    """What is not as good as it could be, in the words of the catalogue; nothing failed."""

    tunnel: str
    problem: SSHError


Line = Union[Event, Diff, Proof, Observation, Check, Guest, HostKey, Kept, Caution, SSHError]


@dataclass
class Report:
    """Everything that one run said, and its exit status."""

    lines: list[Line] = field(default_factory=list)
    status: int = 0

    @property
    def events(self) -> list[Event]:
        """The events, in order."""
        return [line for line in self.lines if isinstance(line, Event)]

    @property
    def diff(self) -> list[Diff]:
        """The lines of the diff, in order."""
        return [line for line in self.lines if isinstance(line, Diff)]

    @property
    def errors(self) -> list[SSHError]:
        """The errors, in order."""
        return [line for line in self.lines if isinstance(line, SSHError)]

    @property
    def proofs(self) -> list[Proof]:
        """What set-up proved."""
        return [line for line in self.lines if isinstance(line, Proof)]

    @property
    def observations(self) -> list[Observation]:
        """What status saw."""
        return [line for line in self.lines if isinstance(line, Observation)]

    @property
    def guests(self) -> list[Guest]:
        """The hosts that a bastion knows."""
        return [line for line in self.lines if isinstance(line, Guest)]

    @property
    def host_keys(self) -> list[str]:
        """The host keys of a bastion, each ``type base64``."""
        return [f"{line.type} {line.blob}" for line in self.lines if isinstance(line, HostKey)]

    @property
    def changed(self) -> bool:
        """True when something was changed (or would be, in a dry run)."""
        return any(event.kind in ("changed", "would-change") for event in self.events)

    @property
    def checks(self) -> list[Check]:
        """What doctor checked."""
        return [line for line in self.lines if isinstance(line, Check)]

    @property
    def keepers(self) -> list[Kept]:
        """The keepers that were chosen."""
        return [line for line in self.lines if isinstance(line, Kept)]

    @property
    def cautions(self) -> list[Caution]:
        """What was warned of."""
        return [line for line in self.lines if isinstance(line, Caution)]

    def as_dict(self) -> dict[str, object]:
        """All of it as JSON types."""
        return {
            "status": self.status,
            "changed": self.changed,
            "events": [_event(event) for event in self.events],
            "diff": [_diff(line) for line in self.diff],
            "proofs": [_proof(proof) for proof in self.proofs],
            "tunnels": [_observation(seen) for seen in self.observations],
            "checks": [_check(check) for check in self.checks],
            "hosts": [guest.as_dict() for guest in self.guests],
            "keepers": [_kept(kept) for kept in self.keepers],
            "warnings": [_error(caution.problem) for caution in self.cautions],
            "errors": [_error(problem) for problem in self.errors],
            "stdout": "\n".join(f"{event.kind} {event.title}" for event in self.events),
            "stderr": "\n".join(str(problem) for problem in self.errors),
        }

    def to_json(self) -> dict[str, object]:
        """What pyinfra's own command prints of it, as a fact."""
        return {**self.as_dict(), "host_keys": self.host_keys}


def read_line(text: str) -> Line | None:
    """The value of one line; None for a line that is not ours (a tool's stray word)."""
    kind, *fields = text.rstrip("\n").split("\t")
    if kind == "event" and len(fields) == 3:
        return Event(*fields)
    if kind == "diff" and len(fields) >= 2:
        return Diff(fields[0], "\t".join(fields[1:]))
    if kind == "result" and len(fields) == 5:
        return Proof(*fields)
    if kind == "error" and len(fields) >= 2:
        return _problem(*fields)
    if kind == "keeper" and len(fields) == 3:
        return Kept(*fields)
    if kind == "warning" and len(fields) >= 2:
        return Caution(fields[0], _problem(*fields))
    if kind == "tunnel" and len(fields) >= 2:
        facts = _facts(fields[1:])
        return Observation(fields[0], facts.pop("level", "down"), facts)
    if kind == "host" and len(fields) >= 2:
        return _guest(fields[0], _facts(fields[1:]))
    if kind == "host-key" and len(fields) == 2:
        return HostKey(*fields)
    if kind == "check" and len(fields) >= 2:
        facts = {**_facts(fields[1:]), "tunnel": fields[0]}
        names = ("name", "title", "verdict", "evidence", "slug", "sentence", "next", "tunnel")
        return Check(*(facts.get(name, "") for name in names))
    return None


def _problem(tunnel: str, slug: str, *fields: str) -> SSHError:
    facts = {name: text for name, text in _facts(fields).items() if name not in ("slug", "where")}
    return error(slug, **{"tunnel": tunnel, **facts})


def _guest(name: str, facts: Mapping[str, str]) -> Guest:
    def numbers(fact: str) -> tuple[int, ...]:
        found = (_whole(text) for text in facts.get(fact, "").split(","))
        return tuple(number for number in found if number is not None)

    keys = tuple(key for key in facts.get("keys", "").split(";") if key)
    prints = tuple(facts.get("prints", "").split())
    return Guest(name, numbers("ports"), numbers("holds"), keys, prints, facts.get("account", ""))


def _facts(fields: Iterable[str]) -> dict[str, str]:
    return {name: text for name, _, text in (item.partition("=") for item in fields)}


def _event(event: Event) -> dict[str, object]:
    return {"tunnel": event.tunnel, "event": event.kind, "step": event.title}


def _diff(line: Diff) -> dict[str, object]:
    return {"tunnel": line.tunnel, "line": line.line}


def _proof(proof: Proof) -> dict[str, object]:
    return {
        "tunnel": proof.tunnel,
        "level": proof.level,
        "bastion": proof.bastion,
        "target": proof.target,
        "says": proof.says,
    }


def _observation(seen: Observation) -> dict[str, object]:
    facts = dict(seen.facts)
    forwards = _forwards(facts.get("forwards", ""), facts.get("levels", ""))
    return {
        "tunnel": seen.tunnel,
        "port": next((each["port"] for each in forwards if each["kind"] in ("remote", "socks")), None),
        "level": seen.level,
        "cause": facts.get("cause") or None,
        "detail": facts.get("detail", ""),
        "bastion": facts.get("bastion", ""),
        "jumps": [each for each in facts.get("jumps", "").split(",") if each],
        "proxy": facts.get("proxy") or None,
        "target": facts.get("target", ""),
        "forwards": forwards,
        "keeper": facts.get("keeper", ""),
        "engine": facts.get("engine", ""),
        "key": facts.get("key", ""),
        "user": facts.get("user", ""),
        "pid": _number(facts, "pid"),
        "started": _number(facts, "started"),
        "since": _number(facts, "since"),
        "restarts": _number(facts, "restarts") or 0,
        "uptime": _number(facts, "uptime"),
        "error": facts.get("error") or None,
        "error_at": _number(facts, "error_at"),
        "next_retry": _number(facts, "next_retry"),
        "take_back": facts.get("take_back") or None,
        "adopted": facts.get("adopted") == "yes",
    }


def _forwards(text: str, levels: str) -> list[dict[str, object]]:
    """The forwards of a tunnel, each with the level that was seen of it, if one was."""
    seen = dict(enumerate(levels.split()))
    listed: list[dict[str, object]] = []
    for number, each in enumerate(filter(None, text.split(","))):
        kind, listen, *target = [*each.split(" "), ""]
        listed.append(
            {
                "kind": kind,
                "listen": listen,
                "port": _whole(listen.rpartition(":")[2]),
                "target": (target or [""])[0] or None,
                "level": seen.get(number),
            }
        )
    return listed


def _kept(kept: Kept) -> dict[str, object]:
    return {"tunnel": kept.tunnel, "keeper": kept.keeper, "survives": kept.survives}


def _number(facts: dict[str, str], name: str) -> int | None:
    return _whole(facts.get(name, ""))


def _whole(text: str) -> int | None:
    """A number; None for what is none, or is longer than any time or port: a far machine may say anything."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _error(problem: SSHError) -> dict[str, object]:
    return {
        "slug": problem.slug,
        "sentence": problem.sentence,
        "next": problem.next_move,
        "facts": problem.facts,
        "status": int(problem.status),
    }


def _check(check: Check) -> dict[str, object]:
    return {
        "tunnel": check.tunnel or None,
        "name": check.name,
        "title": check.title,
        "verdict": check.verdict,
        "evidence": check.evidence,
        "slug": check.slug or None,
        "sentence": check.sentence or None,
        "next": check.next_move or None,
    }
