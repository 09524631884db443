"""A key is let in on another machine: in full, restricted, or for a tunnel only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from scitex_ssh.api import Result, Tell
from scitex_ssh.bastion import bastion_program
from scitex_ssh.errors import InputError, error
from scitex_ssh.keys.answers import ACCEPTED, answer
from scitex_ssh.keys.lines import edit, output
from scitex_ssh.keys.local import file_path, private, public, public_half
from scitex_ssh.keys.told import saying, silent, told
from scitex_ssh.model import Port
from scitex_ssh.model.host import HostName
from scitex_ssh.model.text import control_character, shown
from scitex_ssh.plan.report import read_line
from scitex_ssh.remote import gate
from scitex_ssh.remote.effective import effective
from scitex_ssh.remote.way import Way
from scitex_ssh.remote.wrap import program
from scitex_ssh.render.authorized_keys import PublicKey

# As sshd(8) reads them: a name, or a name and a value in quotes in which a quote is escaped.
_OPTION = re.compile(r'[A-Za-z0-9-]+(="([^"\\]|\\.)*")?')


def authorize(
    host: object,
    key: object = None,
    *,
    options: Sequence[str] = (),
    ports: Iterable[object] = (),
    name: object = None,
    ssh_opts: Sequence[str] = (),
    jump: str | None = None,
    dry_run: bool = False,
    consent: bool = True,
    tell: Tell = silent,
) -> Result:
    """Put a key into ``authorized_keys`` of the account at ``host``, once, and see that it lets in.

    Where the key's line is there, it stays; with other options than those that are asked for, it gets
    these. Where a person is at the terminal, ssh may ask for a password. The file is replaced whole.

    Args:
        host: a ``Host`` of ``~/.ssh/config``, or ``[user@]host[:port]``.
        key: the path of either half; by default the first key that ssh would offer to the host.
        options: of the line, as sshd(8) has them: ``['restrict', 'from="192.0.2.0/24"']``.
        ports: instead, the key may hold and dial these ports (1024 to 65535) of the host, and do nothing
            else; the line is the one that ``scitex-ssh bastion authorize --plain`` writes there.
        name: with ports, what the host calls this machine; by default its host name.
        ssh_opts: flags for ssh; they win over everything.
        jump: hosts on the way, the nearest first, parted by commas.
        dry_run: change nothing; say what would change.
        consent: False refuses where no policy allows ``exec`` on the host.
        tell: called with each step as soon as it is known.

    Raises:
        InputError: for what cannot be right.
        PolicyError: where the policy forbids it.
    """
    wanted = [_option(each) for each in options]
    held = [Port(port, "a tunnel") for port in ports]
    if wanted and held:
        why = "a key for ports has the options of a tunnel's key, and no others"
        raise InputError("usage", why=why, command="scitex-ssh key authorize")
    if name is not None and not held:
        why = "a name is for a key that holds ports"
        raise InputError("usage", why=why, command="scitex-ssh key authorize")
    way = Way.of(host, ssh_opts, jump)
    gate.check("exec", way, consent)

    def work(tell: Tell) -> None:
        say = saying(tell)
        path = _default(way) if key is None else file_path(key)
        half, comment = public_half(path)
        if held:
            _for_ports(
                way,
                half,
                held,
                HostName(name or os.uname().nodename.partition(".")[0].lower()),
                dry_run,
                tell,
            )
        else:
            edit(way, say, "add", half.blob, ",".join(wanted), str(half), comment, dry_run=dry_run)
        if dry_run:
            return
        secret = private(path)
        if not secret.is_file():
            say("ok", f"not tried: the private half of {half.fingerprint} is not here")
            return
        prove(way, secret, half)
        say("ok", f"{way.host} lets {secret} in")

    return told(work, tell)


def prove(way: Way, secret: Path, half: PublicKey) -> None:
    """Return where the host lets the key in; a forced command of its line is not run.

    Raises:
        ReachError: ``key-not-proven``, or why the host cannot be reached.
    """
    if answer(way, str(secret), half).verdict not in ACCEPTED:
        raise error("key-not-proven", host=way.host, key=secret)


def _for_ports(
    way: Way, half: PublicKey, ports: Sequence[Port], name: HostName, dry_run: bool, tell: Tell
) -> None:
    flags = ["--machine", "--plain", f"--name={name}", f"--key={half}", *(f"--port={each}" for each in ports)]
    words = [program('exec sh -s -- authorize "$@"', *flags, *(["--dry-run"] if dry_run else []))]
    heard = False
    for text in output(way, words, bastion_program().encode()).splitlines():
        line = read_line(text)
        if line is not None:
            heard = True
            tell(line)
    if not heard:
        raise error("authorize-failed", host=way.host, why="it runs no command for us")


def _default(way: Way) -> Path:
    """The first key that ssh would offer and that has a public half, or can tell it."""
    for name in effective(way).get("identityfile", []):
        path = Path(name).expanduser()
        if path.is_file() or public(path).is_file():
            return path
    raise error("missing-field", what="key", how="-k; scitex-ssh key new makes one")


def _option(text: str) -> str:
    if control_character(text) or not _OPTION.fullmatch(text):
        raise InputError("bad-key-option", value=shown(text))
    return text
