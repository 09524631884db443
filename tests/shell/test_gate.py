"""A bastion's program as any sh runs it, on a plain account: asked, and told nonsense."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from scitex_ssh.bastion import bastion_program
from scitex_ssh.model import Port
from scitex_ssh.model.fleet import Wish, allocate
from scitex_ssh.plan.report import Guest, read_line
from scitex_ssh.render.authorized_keys import PublicKey, line
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


def test_who_may_not_be_root_is_told_what_goes_without(shell: Shell) -> None:
    """What would be written, and how an account does without; whether sudo refuses or there is none."""
    answer = shell.run(bastion_program(), "list", user=65534 if os.geteuid() == 0 else None)
    assert answer.status in (3, 10), answer
    assert "writing to /etc/ssh needs root" in answer.stderr
    assert "--plain" in answer.stderr


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


def test_the_roster_of_many_is_read_in_one_go(shell: Shell, tmp_path: Path) -> None:
    """Each host with its ports, those that somebody listens on, its keys and their prints, told by name."""
    other = PublicKey.parse(KEY.replace("IGu0", "IGu1"))
    own = PublicKey.parse(KEY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = Port(taken.getsockname()[1])
        hosts = {
            "lab1": (line("lab1", [port], own),),
            "lab2": (line("lab2", [Port(20002), port], own), line("lab2", [Port(20002), port], other)),
            "none": (),
        }
        for name, lines in hosts.items():
            (tmp_path / f"t-{name}").write_text("".join(f"{each}\n" for each in lines))
        stand = f"make_work; plain=0 keys_folder={tmp_path}; word=status gate_list; echo $exit_status; exit"
        said = shell.run(bastion_program(f"machine=1; {stand}"), env={"TMPDIR": str(tmp_path)})
        shown = shell.run(bastion_program(f"machine=0; {stand}"), env={"TMPDIR": str(tmp_path)})
    assert (said.stderr, shown.stderr) == ("", "")
    *lines, status = said.stdout.splitlines()
    assert [read_line(each) for each in lines] == [
        Guest("lab1", (port,), (port,), (str(own),), (own.fingerprint,), "t-lab1"),
        Guest(
            *("lab2", (20002, port), (port,)),
            *((str(own), str(other)), (own.fingerprint, other.fingerprint), "t-lab2"),
        ),
        Guest("none", (), (), (), (), "t-none"),
    ]
    # One of them does not hold all of its ports.
    assert status == "50"
    rows = [each.split() for each in shown.stdout.splitlines()]
    assert rows == [
        ["NAME", "PORTS", "HELD", "KEYS"],
        ["lab1", f"{port}", f"{port}", own.fingerprint],
        ["lab2", f"20002,{port}", f"{port}", own.fingerprint, other.fingerprint],
        ["none", "-"],
        ["50"],
    ]
