"""Whether a host answers, and which programs it has, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence

from scitex_ssh.errors import InputError
from scitex_ssh.model.text import control_character, shown
from scitex_ssh.remote import gate
from scitex_ssh.remote.results import ProbeResult
from scitex_ssh.remote.session import run
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.wrap import program

_MARK = "scitex-ssh probe"
# A login may print things of its own before and after.
_ASK = """\
for name; do
    if command -v "$name" >/dev/null 2>&1; then set -- "$@" yes; else set -- "$@" no; fi
    shift
done
echo "scitex-ssh probe" "$@"
"""


def probe_remote(
    host: object,
    *,
    requires: Sequence[str] = (),
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    timeout: float | None = None,
    multiplex: bool = False,
    consent: bool = True,
) -> ProbeResult:
    """See whether a host can be reached and has the programs that are asked for, in one round trip.

    Args:
        host: a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``.
        requires: names of programs (``["rsync", "apptainer"]``).
        ssh_opts: flags for ssh; they win over everything.
        jump: hosts on the way, the nearest first, parted by commas.
        timeout: seconds after which the host counts as not reachable.
        multiplex: keep the connection for the next call, until it was idle for a minute.
        consent: False refuses where no policy allows it, as for a caller who may not decide that.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    names = list(requires)
    for name in names:
        if not name or control_character(name):
            raise InputError(
                "usage", why=f"{shown(name)} is no name of a program", command="scitex-ssh probe"
            )
    way = Way.of(host, ssh_opts, jump)
    gate.check("exec", way, consent)
    out, err = bytearray(), bytearray()
    words = [program(_ASK, *names)]
    status, error = run(way, words, out=out.extend, err=err.extend, timeout=timeout, share=multiplex)
    text = out.decode("utf-8", "replace")
    answers = _answers(text, len(names))
    return ProbeResult(
        host=str(way.host),
        reachable=answers is not None,
        capabilities=dict(zip(names, answers or [])),
        returncode=status,
        stdout=text,
        stderr=err.decode("utf-8", "replace"),
        error=error,
    )


def _answers(text: str, count: int) -> list[bool] | None:
    for line in text.splitlines():
        if line == _MARK or line.startswith(_MARK + " "):
            said = line[len(_MARK) :].split()
            if len(said) == count:
                return [word == "yes" for word in said]
    return None
