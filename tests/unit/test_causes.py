"""What ssh said, and what it means."""

from __future__ import annotations

import pytest

from scitex_ssh.plan.causes import CAUSES, OTHERWISE, cause

# Words as the ssh of Debian 11, 12 and 13 says them, and what they mean.
SAID = [
    ("ssh: Could not resolve hostname gw: Name or service not known\r\n", "bastion-unresolved"),
    ("ssh: connect to host 192.0.2.1 port 22: Connection refused\r\n", "bastion-refused"),
    ("ssh: connect to host 192.0.2.1 port 22: Connection timed out\r\n", "bastion-timeout"),
    ("ssh: connect to host 192.0.2.1 port 22: No route to host\r\n", "bastion-unroutable"),
    ("Connection timed out during banner exchange\r\n", "bastion-not-ssh"),
    ("kex_exchange_identification: Connection closed by remote host\r\n", "bastion-closed"),
    ("Exceeded MaxStartups\r\n", "bastion-full"),
    ("Not allowed at this time\r\n", "bastion-penalty"),
    ("a@h: Permission denied (publickey).\r\n", "key-not-accepted"),
    (
        "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
        "host-key-changed",
    ),
    ("No ED25519 host key is known for gw and you have requested strict checking.\n", "host-key-unknown"),
    ("Host key verification failed.\r\n", "host-key-changed"),
    ("Your password has expired.\n", "account-expired"),
    ("Error: remote port forwarding failed for listen port 2222\n", "port-refused"),
    ("Error: remote port forwarding failed for listen path /run/s\n", "socket-refused"),
    ("bind [127.0.0.1]:8080: Address already in use\n", "local-port-taken"),
    ("Could not request local forwarding.\n", "local-port-taken"),
    ("identity-clash: another machine", "identity-clash"),
    ("he said identity-clash", OTHERWISE),
    ("", OTHERWISE),
    ('port 22: and then: Connection refused; $HOME `id` "*" \\', "bastion-refused"),
    ("Connection refused, port 22", OTHERWISE),
]


@pytest.mark.parametrize(("words", "slug"), SAID)
def test_python_knows_the_cause(words: str, slug: str) -> None:
    """The first pattern that fits decides."""
    assert cause(words) == slug


def test_every_cause_has_a_saying() -> None:
    """No row of the table goes untried."""
    assert {slug for slug, _ in CAUSES} == {slug for _, slug in SAID} - {OTHERWISE}
