"""How the proof's own ssh exchanges keys."""

from __future__ import annotations

import pytest

from tests.shell.shells import Shell, prelude

QUICK = "-o KexAlgorithms=^curve25519-sha256"


@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("OpenSSH_7.9p1 Debian-10", ""),
        ("OpenSSH_8.4p1 Debian-5", ""),
        ("OpenSSH_9.2p1 Debian-2", QUICK),
        ("OpenSSH_10.0p2 Debian-7", ""),
        ("OpenSSH_for_Windows_9.5p1", ""),
    ],
)
def test_keys_are_exchanged_quickly_where_that_is_not_the_default(
    shell: Shell, version: str, option: str
) -> None:
    """Older ones prefer curve25519 anyhow, newer ones mlkem768, which costs nothing."""
    answer = shell.run(f"{prelude()}\nssh() {{ echo '{version}' >&2; }}\nfind_quick; echo \"$quick\"")
    assert (answer.stdout, answer.stderr) == (f"{option}\n", "")
