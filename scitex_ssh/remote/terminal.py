"""A terminal on another machine, and one that can be come back to."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scitex_ssh.errors import InputError, error
from scitex_ssh.model.text import shown
from scitex_ssh.remote import gate
from scitex_ssh.remote.results import SSH_FAILED
from scitex_ssh.remote.session import end
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.wrap import program

# tmux takes a prefix for a name unless told not to; new-session -A joins or makes the very one.
_SESSION = """\
if command -v tmux >/dev/null 2>&1; then exec tmux new-session -A -s "$1"; fi
if command -v screen >/dev/null 2>&1; then exec screen -x -R -S "$1"; fi
echo "scitex-ssh: there is neither tmux nor screen here, so no session can be come back to." >&2
exit 127
"""


def attach(
    host: object,
    command: str | None = None,
    *,
    session: str | None = None,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    consent: bool = True,
) -> int:
    """Open a terminal on another machine, and return what it ended with (255: ssh itself failed).

    This is a person's session: it has the forwards and the shared connections of ``~/.ssh/config``.

    Args:
        host: a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``.
        command: what to run there instead of the login shell.
        session: the name of a session of tmux (or else screen) to come back to, or to begin.
        ssh_opts: flags for ssh; they win over everything.
        jump: hosts on the way, the nearest first, parted by commas.
        consent: False refuses where no policy allows it, as for a caller who may not decide that.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    way = permitted(host, command, session, ssh_opts, jump, consent)
    with way.opened(automatic=False) as folder:
        # Its words are for the person at the terminal: no log.
        words = [
            "ssh",
            "-t",
            *way.flags,
            "-F",
            str(folder.config),
            *way.host.arguments,
            *_words(command, session),
        ]
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(words)
        except FileNotFoundError as problem:
            raise error("ssh-missing", program="ssh", package="openssh-client") from problem
        try:
            with _deaf():
                status = process.wait()
        finally:
            # A signal that ends us ends it.
            end(process)
    return status if status >= 0 else SSH_FAILED


def permitted(
    host: object,
    command: str | None,
    session: str | None,
    ssh_opts: Sequence[str],
    jump: str | None,
    consent: bool,
) -> Way:
    """The way of a terminal that may be opened; nothing is connected to.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    if command is not None and session is not None:
        why = "a session and a command cannot both be attached to"
        raise InputError("usage", why=why, command="scitex-ssh attach")
    # "." and ":" part a window from a session for tmux.
    if session is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", session, re.ASCII):
        why = f"{shown(session)} is no name of a session: letters, digits, '_' and '-' are"
        raise InputError("usage", why=why, command="scitex-ssh attach")
    way = Way.of(host, ssh_opts, jump)
    gate.check("attach", way, consent)
    return way


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C is for ssh, and for the far side, while it has the terminal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _words(command: str | None, session: str | None) -> list[str]:
    if session is None:
        return [] if command is None else [command]
    return [program(_SESSION, session)]
