"""Which of the keys a server accepts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scitex_ssh.errors import error
from scitex_ssh.keys.local import agent, file_path, private, public, public_half
from scitex_ssh.remote import gate
from scitex_ssh.remote.effective import effective
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.words import failure
from scitex_ssh.render.authorized_keys import PublicKey

# The login was completed with it; or the server would take it, but its private half is locked or not here.
ACCEPTED = ("accepted", "locked")


@dataclass(frozen=True)
class Answer:
    """What a server says to one key.

    Attributes:
        key: its path, or its comment in the agent.
        fingerprint: ``SHA256:...``.
        verdict: ``accepted``: it logs in. ``locked``: the server would take it, but its private half needs
            a passphrase, or is not here. ``refused``.
    """

    key: str
    fingerprint: str
    verdict: str

    def as_dict(self) -> dict[str, str]:
        """All of it as JSON types."""
        return {"key": self.key, "fingerprint": self.fingerprint, "verdict": self.verdict}


def check(
    host: object,
    keys: Iterable[object] = (),
    *,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    consent: bool = True,
) -> list[Answer]:
    """Try keys at a server, one login each; no command is run there, not even a forced one.

    A server may slow down whoever fails often, so each key costs a little goodwill.

    Args:
        host: a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``.
        keys: paths of either half; by default those that ssh would offer: of the configuration, and of
            the agent.
        ssh_opts: flags for ssh; they win over everything.
        jump: hosts on the way, the nearest first, parted by commas.
        consent: False refuses where no policy allows ``exec`` on the host.

    Raises:
        SSHError: for what cannot be right or allowed, and where the host cannot be reached.
    """
    way = Way.of(host, ssh_opts, jump)
    gate.check("exec", way, consent)
    named = [(str(path), public_half(path)[0]) for path in map(file_path, keys)]
    found = [answer(way, name, half) for name, half in (named or _offered(way))]
    if not found:
        raise error("missing-field", what="key", how="its path; scitex-ssh key new makes one")
    return found


def _offered(way: Way) -> list[tuple[str, PublicKey]]:
    """What ssh would offer: the keys of the configuration that are there, then those of the agent."""
    found: dict[str, tuple[str, PublicKey]] = {}
    for name in effective(way).get("identityfile", []):
        path = Path(name).expanduser()
        if path.is_file() or public(path).is_file():
            half = public_half(path)[0]
            found.setdefault(half.fingerprint, (str(path), half))
    for line in agent().values():
        half = PublicKey.parse(line)
        found.setdefault(half.fingerprint, (" ".join(line.split()[2:]) or "agent", half))
    return list(found.values())


def answer(way: Way, name: str, half: PublicKey) -> Answer:
    """Offer one key; `SSHError` where the server cannot be asked."""
    with way.opened() as folder:
        # By names of ours, so that nothing in a path means anything to ssh. One of the agent has no file.
        offered = folder.path / "offered"
        public(offered).write_text(f"{half}\n", encoding="utf-8")
        secret = private(Path(name))
        if secret.is_file():
            offered.symlink_to(secret.absolute())
        only = ("PreferredAuthentications=publickey", "IdentitiesOnly=yes", "LogLevel=DEBUG1")
        command = ["ssh", *(word for each in only for word in ("-o", each)), "-i", str(offered), *way.flags]
        # A forward to nowhere in place of a session: a session would run the forced command of the key.
        command += ["-W", "localhost:1", *folder.arguments, *way.host.arguments]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as problem:
            raise error("ssh-missing", program="ssh", package="openssh-client") from problem
        log = folder.words()
    verdict = _verdict(log, half.fingerprint)
    if verdict:
        return Answer(name, half.fingerprint, verdict)
    words = "".join(line + "\n" for line in log.splitlines() if not line.startswith("debug"))
    why = failure(way, words + done.stderr)
    if why.slug != "login-refused":
        raise why
    return Answer(name, half.fingerprint, "refused")


def _verdict(log: str, fingerprint: str) -> str:
    """What the words of ssh say of one key; "" where they do not say that it was taken."""
    taken = re.escape(fingerprint)
    if re.search(
        rf"Server accepts key: .*{taken}(?:(?!Server accepts key|Offering)[\s\S])*Authenticated to ", log
    ):
        return "accepted"
    if re.search(rf"Server accepts key: .*{taken}", log):
        return "locked"
    # Another key of the configuration logged in, so this one was refused before it.
    return "refused" if "Authenticated to " in log else ""
