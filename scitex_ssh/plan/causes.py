"""What ssh's words mean, for Python; ssh_cause in shell/bastion.sh knows the same of a tunnel's ssh."""

from __future__ import annotations

# The slug of an error, and the words by which it is known. The first that fits decides. `*` stands for
# anything, `^` at the front for the beginning of all that was said.
CAUSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("host-key-changed", ("REMOTE HOST IDENTIFICATION HAS CHANGED",)),
    ("host-key-unknown", ("host key is known for",)),
    ("host-key-changed", ("Host key verification failed",)),
    ("account-expired", ("account has expired", "assword has expired", "assword change required")),
    ("key-not-accepted", ("Permission denied (", "Too many authentication failures")),
    ("bastion-unresolved", ("Could not resolve hostname",)),
    ("identity-clash", ("^identity-clash",)),
    ("socket-refused", ("remote port forwarding failed for listen path",)),
    ("port-refused", ("remote port forwarding failed",)),
    (
        "local-port-taken",
        ("ould not request local forwarding", "cannot listen to port", "bind *ddress already in use"),
    ),
    ("bastion-refused", ("port *: Connection refused",)),
    # Said by sshd itself to whom it turns away.
    ("bastion-full", ("Exceeded MaxStartups",)),
    ("bastion-penalty", ("Not allowed at this time",)),
    (
        "bastion-not-ssh",
        (
            "banner line 0: ",
            "imed out during banner exchange",
            "banner line contains invalid",
            "invalid format",
            "Bad packet length",
        ),
    ),
    ("bastion-timeout", ("onnection timed out", "peration timed out")),
    ("bastion-unroutable", ("No route to host", "etwork is unreachable", "annot assign requested address")),
    ("bastion-closed", ("onnection closed by", "onnection reset by")),
)
OTHERWISE = "ssh-failed"


def cause(words: str) -> str:
    """The slug of the error that ssh's words tell."""
    for slug, patterns in CAUSES:
        if any(_fits(pattern, words) for pattern in patterns):
            return slug
    return OTHERWISE


def _fits(pattern: str, words: str) -> bool:
    place = 0
    if pattern.startswith("^"):
        return words.startswith(pattern[1:])
    for part in pattern.split("*"):
        found = words.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True
