"""A bastion's program as any sh runs it, on a plain account: asked, and told nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest

from scitex_ssh.bastion import bastion_program
from scitex_ssh.model.fleet import Wish, allocate
from tests.shell.shells import Shell

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGu0Ug8w5LhEYbPS9nLd8TVWhoQ2GCTQoLlNvAbfQVoB"


def test_a_dry_run_shows_the_line(shell: Shell, tmp_path: Path) -> None:
    """The steps that are due, the line as it would be, and the port that the fleet would choose, too."""
    words = ("authorize", "lab1", "-k", KEY, "--plain", "--dry-run")
    answer = shell.run(bastion_program(), *words, env={"TMPDIR": str(tmp_path)})
    ((port,),) = allocate({"lab1": [Wish()]}, {})[0].values()
    assert (answer.stderr, answer.status) == ("", 0)
    assert "would-change  file /" in answer.stdout
    assert f'+restrict,port-forwarding,permitlisten="localhost:{port}",permitopen=' in answer.stdout


def test_nothing_is_known_at_first(shell: Shell) -> None:
    """An account without hosts has an empty list, and that is no error."""
    answer = shell.run(bastion_program(), "list", "--plain", "--machine")
    assert (answer.stdout, answer.stderr, answer.status) == ("", "", 0)


@pytest.mark.parametrize(
    ("words", "slug", "status"),
    [
        ((), "usage", 2),
        (("frob",), "usage", 2),
        (("authorize",), "missing-field", 2),
        (("authorize", "lab1", "--plain"), "missing-field", 2),
        (("authorize", "-x"), "usage", 2),
        (("authorize", "../x", "-k", KEY), "bad-host", 2),
        (("authorize", "lab1$(id)", "-k", KEY), "bad-host", 2),
        (("authorize", "x" * 29, "-k", KEY), "bad-host", 2),
        (("authorize", "lab1", "-p", "0x16", "-k", KEY), "bad-port", 2),
        (("authorize", "lab1", "-p", "65536", "-k", KEY), "bad-port", 2),
        (("authorize", "lab1", "-k", f'command="id" {KEY}'), "bad-public-key", 2),
        (("authorize", "lab1", "-k", KEY[:-4]), "bad-public-key", 2),
        (("authorize", "lab1", "-k", "ssh-ed25519 *"), "bad-public-key", 2),
        (("authorize", "-p", "2222", "lab1"), "usage", 2),
        (("revoke", "lab1", "--plain"), "no-such-host", 1),
        (("setup", "--hosts", "many"), "usage", 2),
    ],
)
def test_misuse_is_told(shell: Shell, words: tuple[str, ...], slug: str, status: int) -> None:
    """One error each, with its slug and status, and nothing stray."""
    answer = shell.run(bastion_program(), *words)
    assert (answer.stdout, answer.status) == ("", status)
    assert answer.stderr.endswith(f"  [{slug}]\n")
    assert answer.stderr.count("Next: ") == 1
