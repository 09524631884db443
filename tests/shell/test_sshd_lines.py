"""Lines of sshd_config: which of them are about our account."""

from __future__ import annotations

from pathlib import Path

import scitex_ssh
from tests.shell.shells import Shell

CAUSES = Path(scitex_ssh.__file__).parent / "plan/shell/causes.sh"
LINES = """\
me tunnel tunnel users
sshd_config.d/a.conf:1:Match User gate
sshd_config.d/a.conf:2:    AllowTcpForwarding no
sshd_config.d/b.conf:1:AllowTcpForwarding yes
sshd_config.d/b.conf:2:match user=t*l,!tun* address 10.0.0.0/8
sshd_config.d/b.conf:3:PermitListen 1
sshd_config.d/b.conf:4:Match Address 10.0.0.0/8 User "bob,tunn?l"
sshd_config.d/b.conf:5:  PermitListen 2
sshd_config.d/b.conf:6:Match Group staff,us*rs
sshd_config.d/b.conf:7:PermitListen 3
sshd_config.d/b.conf:8:Match Group !users,staff
sshd_config.d/b.conf:9:PermitListen 4
sshd_config.d/b.conf:10:Match all
sshd_config.d/b.conf:11:PermitListen 5
sshd_config.d/b.conf:12:Match User tunne.
sshd_config.d/b.conf:13:PermitListen 6
sshd_config:1:PermitOpen any
"""


def test_a_block_for_others_is_no_cause(shell: Shell) -> None:
    """By account and group, patterns and their negation; a block ends with its file."""
    answer = shell.run(f". {CAUSES}\nmeant_for_us <<'END'\n{LINES}END\n")
    assert answer.stderr == ""
    assert [line.rpartition(":")[2].strip() for line in answer.stdout.splitlines()] == [
        "AllowTcpForwarding yes",
        "PermitListen 2",
        "PermitListen 3",
        "PermitListen 5",
        "PermitOpen any",
    ]
