"""What sshd asks at each login (AuthorizedKeysCommand): the line of one key. Quick: no package is loaded."""

from __future__ import annotations

import os
import sqlite3
import sys
from shlex import quote

from scitex_ssh.errors import SSHError
from scitex_ssh.gateway import keys
from scitex_ssh.gateway.settings import Settings, environment
from scitex_ssh.render.authorized_keys import PublicKey

_QUESTION = "SELECT name, port, bind FROM machines WHERE fingerprint = ? AND bastion = ? AND state = 'active'"


def main(arguments: list[str]) -> int:
    """Print the line for ``USER TYPE KEY`` (%u %t %k of sshd_config(5)), or nothing."""
    if len(arguments) != 3:
        print("usage: USER TYPE KEY", file=sys.stderr)
        return 2
    user, kind, body = arguments
    try:
        key = PublicKey.parse(f"{kind} {body}")
        settings = Settings.of(environment(os.environ))
        said = _enrol(key) if user == settings.enrol_user else _tunnel(settings, user, key)
    except SSHError as problem:
        print(f"scitex-ssh gateway: {problem.sentence}", file=sys.stderr)
        # sshd takes what was printed so far, which is nothing: the login is refused.
        return 1
    if said:
        print(said)
    return 0


def _enrol(key: PublicKey) -> str:
    """Any key may ask to be enrolled: by this login it has proven that it is the caller's own."""
    command = f"exec {quote(sys.executable)} -m scitex_ssh.gateway.over_ssh {key}"
    return f'restrict,command="{command}" {key}'


def _tunnel(settings: Settings, user: str, key: PublicKey) -> str:
    if user != settings.ssh_user:
        return ""
    found = _sqlite(settings, key) if settings.database.startswith("sqlite:///") else _other(settings, key)
    return keys.line(found[0], found[1], key, found[2]) if found else ""


def _sqlite(settings: Settings, key: PublicKey) -> tuple[str, int, str] | None:
    path = settings.database[len("sqlite:///") :]
    with sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=10) as db:
        found: tuple[str, int, str] | None = db.execute(
            _QUESTION, (key.fingerprint, settings.bastion)
        ).fetchone()
    return found


def _other(settings: Settings, key: PublicKey) -> tuple[str, int, str] | None:
    from sqlalchemy import text

    from scitex_ssh.gateway.tables import engine

    with engine(settings.database).connect() as db:
        named = _QUESTION.replace("?", ":print", 1).replace("?", ":bastion")
        row = db.execute(text(named), {"print": key.fingerprint, "bastion": settings.bastion}).first()
        return None if row is None else (row[0], row[1], row[2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
