"""Wrong input ends a script at once: one error with its next move, its exit status, nothing touched."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from scitex_ssh.backends import local
from scitex_ssh.backends.shell import baked, generic_program, generic_scripts
from scitex_ssh.errors import CATALOGUE
from scitex_ssh.model import Tunnel
from tests.shell.sandbox import tree
from tests.shell.shells import Answer, Shell, prelude

GENERIC = generic_program()
# An account that owns nothing; whoever is not root is one already.
NOBODY = 65534 if os.geteuid() == 0 else None
COMPLETE = ("-p", "2222", "-b", "u@gw", "-s", "/no/such/key")

SETUP: list[tuple[str, tuple[str, ...]]] = [
    ("missing-field", ()),
    ("missing-field", ("-p", "2222")),
    ("missing-field", ("-p", "2222", "-b", "u@gw")),
    ("missing-field", ("-b", "u@gw", "-s", "/k")),
    ("missing-field", ("-p", "2222", "-s", "/k", "--dry-run")),
    ("bad-port", ("-p", "")),
    ("bad-port", ("--port=",)),
    ("bad-port", ("-p", "0")),
    ("bad-port", ("-p", "65536")),
    ("bad-port", ("-p", "-1")),
    ("bad-port", ("-p", "022")),
    ("bad-port", ("-p", "+22")),
    ("bad-port", ("-p", "0x16")),
    ("bad-port", ("-p", " 2222")),
    ("bad-port", ("-p", "2222\n")),
    ("bad-port", ("-p", "ssh")),
    ("bad-port", ("-p", "$(touch pwned)")),
    ("bad-port", ("-p", "\u0662\u0662")),
    ("bad-port", ("-p=2222",)),
    ("bad-port", ("-p", "-b", "u@gw")),
    ("bad-port", ("--port=22 22",)),
    ("bad-port", ("-pp",)),
    ("bad-port", ("-p", "99999999999999999999")),
    ("bad-port", ("-b", "gw:0")),
    ("bad-port", ("-b", "gw:")),
    ("bad-port", ("--target", "localhost:70000")),
    ("port-privileged", (*COMPLETE, "-p", "80")),
    ("bad-destination", ("-b", "")),
    ("bad-destination", ("-b", "-oProxyCommand=touch pwned")),
    ("bad-destination", ("-b-oProxyCommand=touch",)),
    ("bad-destination", ("-b", "u@fd95::1:22")),
    ("bad-destination", ("-b", "u@[fd95::1")),
    ("bad-destination", ("-b", "gw\nProxyCommand touch pwned")),
    ("bad-destination", ("-b", "$(touch pwned)@gw")),
    ("bad-destination", ("-b", "`touch pwned`")),
    ("bad-destination", ("-b", "a b")),
    ("bad-destination", ("-b", "ssh://u@gw")),
    ("bad-destination", ("--bastion=u@",)),
    ("bad-destination", ("-b", "\udcff")),
    ("bad-key-path", ("-s", "")),
    ("bad-key-path", ("-s", "~root/k")),
    ("bad-key-path", ("-s", "/a/")),
    ("bad-key-path", ("-s", "/a\nb")),
    ("bad-key-path", ("-s", "/a\u2028b")),
    ("bad-key-path", ("-s", "/a\udcff")),
    ("bad-key-path", ("--secret-key=",)),
    ("bad-target", ("--target", "localhost")),
    ("bad-target", ("--target", ":22")),
    ("bad-target", ("--target", "[::1]")),
    ("bad-target", ("--target", "-L:22")),
    ("bad-user", ("--user", "")),
    ("bad-user", ("--user", "a b")),
    ("bad-user", ("--user", "0")),
    ("bad-user", (*COMPLETE, "--user", "no-such-user-here")),
    ("bad-engine", ("--engine", "")),
    ("bad-engine", ("--engine=mosh",)),
    ("bad-keepalive", ("--keepalive", "5")),
    ("bad-keepalive", ("--keepalive=",)),
    ("bad-keepalive", ("--keepalive", "0x5")),
    ("usage", ("-p",)),
    ("usage", (*COMPLETE, "--keepalive")),
    ("usage", ("-x",)),
    ("usage", ("2222",)),
    ("usage", ("",)),
    ("usage", ("--",)),
    ("usage", ("--frobnicate",)),
    ("usage", ("--frobnicate=1",)),
    ("usage", ("--frob\nnicate\x1b[31m",)),
    ("usage", (*COMPLETE, "--dry-run=no")),
    ("usage", (*COMPLETE, "--yes=no")),
    ("usage", (*COMPLETE, "--accept-new-host-key=no")),
    ("usage", (*COMPLETE, "--accept-listening=0")),
    ("usage", (*COMPLETE, "--host-key-fingerprint", "")),
    (
        "usage",
        (
            *COMPLETE,
            "--host-key-fingerprint=",
        ),
    ),
    ("usage", (*COMPLETE, "--host-key-fingerprint", "MD5:00")),
    ("usage", (*COMPLETE, "--must-exist")),
]
REMOVE: list[tuple[str, tuple[str, ...]]] = [
    ("missing-field", ()),
    ("missing-field", ("--dry-run",)),
    ("bad-port", ("-p", "x")),
    ("bad-port", ("-p", "2222;touch pwned")),
    ("bad-port", ("--port=../../etc",)),
    ("usage", ("--port",)),
    ("usage", ("2222",)),
    ("usage", ("-p", "2222", "-s", "key")),
    ("usage", ("-p", "2222", "-n", "lab")),
    ("bad-destination", ("-p", "2222", "-b", "-oProxyCommand=x")),
    ("usage", ("-p", "2222", "--user", "root")),
    ("usage", ("-p", "2222", "--dry-run=1")),
]
STATUS: list[tuple[str, tuple[str, ...]]] = [
    ("bad-port", ("-p", "x")),
    ("bad-port", ("-p", "*")),
    ("bad-port", ("--port=0",)),
    ("usage", ("-p",)),
    ("usage", ("--dry-run",)),
    ("usage", ("--json",)),
    ("usage", ("2222",)),
    ("usage", ("-n", "lab", "-p", "2222")),
    ("no-such-tunnel", ("-p", "59999")),
]
COMMANDS: list[tuple[str, tuple[str, ...]]] = [
    ("usage", ()),
    ("usage", ("",)),
    ("usage", ("frobnicate",)),
    ("usage", ("Setup",)),
    ("usage", ("-p", "2222")),
    ("usage", ("--setup",)),
    ("usage", ("tunnel",)),
    ("usage", ("tunnel", "frobnicate")),
    ("usage", ("setup", "setup")),
    ("usage", ("up\x1b[31m\n",)),
]
MISUSES = [
    *((slug, ("setup", *arguments)) for slug, arguments in SETUP),
    *((slug, ("remove", *arguments)) for slug, arguments in REMOVE),
    *((slug, ("status", *arguments)) for slug, arguments in STATUS),
    *COMMANDS,
]


class Place:
    """A folder of an account that may write nowhere else, and the few places a program could touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mine").write_text("mine")
        if NOBODY is not None:
            for parent in (folder, folder.parent, folder.parent.parent):
                parent.chmod(0o755)
            os.chown(folder, NOBODY, NOBODY)

    def run(self, shell: Shell, program: str, *arguments: str, **environment: str) -> Answer:
        """The program, as that account, in that folder."""
        env = {"HOME": str(self.folder), "TMPDIR": str(self.folder), **environment}
        return shell.run(program, *arguments, cwd=self.folder, env=env, user=NOBODY)

    def seen(self) -> tuple[object, ...]:
        """What is there: here, in /tmp, and where tunnels live."""
        owner = os.geteuid() if NOBODY is None else NOBODY
        mine = {path.name for path in Path("/tmp").glob("scitex-ssh.*") if path.lstat().st_uid == owner}
        tunnels = Path("/etc/scitex-ssh/tunnels")
        return tree(self.folder), mine, sorted(tunnels.glob("*")) if tunnels.exists() else None


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An account's folder."""
    return Place(tmp_path)


def assert_one_error(answer: Answer, slug: str) -> None:
    """One error block and nothing else: a sentence, the next move, the slug; and its status."""
    lines = answer.stderr.split("\n")
    assert lines[2:] == [f"  [{slug}]", ""], answer.stderr
    assert re.fullmatch(r"scitex-ssh: [ -~]+\.", lines[0])
    assert re.fullmatch(r"  Next: [ -~]+\.", lines[1])
    # A fact that nobody gave reads "?"; inside quotes it stands for what cannot be shown.
    assert not re.search(r"(?<![\w?'\[])\?", answer.stderr)
    assert (answer.stdout, answer.status) == ("", int(CATALOGUE[slug].status))


@pytest.mark.parametrize(("slug", "arguments"), MISUSES, ids=[ascii(each[1]) for each in MISUSES])
def test_wrong_input_is_one_error_and_touches_nothing(
    shell: Shell, place: Place, slug: str, arguments: tuple[str, ...]
) -> None:
    """The flags are judged before the machine, and the first fault ends it."""
    before = place.seen()
    assert_one_error(place.run(shell, GENERIC, *arguments), slug)
    assert place.seen() == before


def test_there_are_enough_ways_to_be_wrong() -> None:
    """Each slug of the flags is met, and each word is misused."""
    assert {slug for slug, _ in MISUSES} >= {"usage", "missing-field", "port-privileged"} | {
        f"bad-{what}" for what in ["port", "destination", "key-path", "target", "user", "engine", "keepalive"]
    }
    assert len(MISUSES) >= 40


@pytest.mark.parametrize(
    ("slug", "environment"),
    [
        ("bad-destination", {"SCITEX_SSH_BASTION_SERVER": "-oProxyCommand=touch pwned"}),
        ("bad-key-path", {"SCITEX_SSH_BASTION_SERVER": "u@gw", "SCITEX_SSH_SECRET_KEY_PATH": "~x/k"}),
        ("missing-field", {"SCITEX_SSH_BASTION_SERVER": "", "SCITEX_SSH_SECRET_KEY_PATH": "/k"}),
        ("missing-field", {"SCITEX_SSH_BASTION_SERVER": "u@gw", "SCITEX_SSH_SECRET_KEY_PATH": ""}),
    ],
)
def test_the_environment_is_judged_like_flags(
    shell: Shell, place: Place, slug: str, environment: dict[str, str]
) -> None:
    """A wrong value of a variable is refused as it would be in a flag; an empty one is none."""
    before = place.seen()
    assert_one_error(place.run(shell, GENERIC, "setup", "-p", "2222", **environment), slug)
    assert place.seen() == before


@pytest.mark.parametrize(
    "arguments",
    [
        COMPLETE,
        ("-p2222", "-bu@gw", "-s/no/such/key"),
        ("--port=2222", "--bastion=u@gw", "--secret-key=/no/such/key"),
        ("--port", "2222", "--bastion", "u@[fd95::1]:2200", "--secret-key", "/no/such/key", "--yes"),
        (*COMPLETE, "--target", "[::1]:80", "--engine", "ssh", "--keepalive=7x3", "--dry-run"),
        (*COMPLETE, "--keeper", "nohup"),
        (*COMPLETE, "--host-key-fingerprint", "SHA256:" + "A" * 43, "--accept-listening"),
        ("-p", "1", *COMPLETE),
        ("-p", "2222"),
    ],
    ids=" ".join,
)
def test_right_input_gets_past_the_flags(shell: Shell, place: Place, arguments: tuple[str, ...]) -> None:
    """Flags in each of their forms are taken: what is then missing is the machine or the key."""
    environment = {"SCITEX_SSH_BASTION_SERVER": "u@gw", "SCITEX_SSH_SECRET_KEY_PATH": "/no/such/key"}
    before = place.seen()
    # By itself it would look for a keeper first, and a machine may have none for this account.
    answer = place.run(shell, GENERIC, "setup", *arguments, "--keeper", "nohup", **environment)
    assert_one_error(answer, "key-missing")
    assert place.seen() == before


def test_each_script_stands_for_its_word(shell: Shell, place: Place) -> None:
    """The three scripts judge flags as the one program does, and name themselves."""
    for name in ("setup-autossh-service.sh", "remove-autossh-service.sh"):
        script = generic_scripts()[name]
        assert_one_error(place.run(shell, script, "-p", "x"), "bad-port")
        assert_one_error(place.run(shell, script), "missing-field")
        usage = place.run(shell, script, "--no-such-flag").stderr
        assert "see sh script --help." in usage


def test_an_error_for_a_program_is_one_line(shell: Shell, place: Place) -> None:
    """With --machine the error is one line of fields on stdout, whatever the value holds."""
    answer = place.run(shell, GENERIC, "setup", "--machine", "-b", "a\tb\nc")
    kind, tunnel, slug, *facts = answer.stdout.rstrip("\n").split("\t")
    assert (answer.stderr, answer.status) == ("", 2)
    assert (kind, tunnel, slug) == ("error", "", "bad-destination")
    assert [fact.partition("=")[0] for fact in facts] == ["value", "why"]


def test_status_of_nothing_is_no_error(shell: Shell, place: Place) -> None:
    """No tunnel is no trouble: words for people, nothing for programs, and the status is 0."""
    if Path("/etc/scitex-ssh/tunnels").exists():
        pytest.skip("there are tunnels on this machine")
    answer = place.run(shell, GENERIC, "status")
    assert answer == Answer("", "There is no tunnel on this machine.\n", 0)
    assert place.run(shell, GENERIC, "status", "--machine") == Answer("", "", 0)


def test_removing_what_is_not_there_says_so(shell: Shell, place: Place) -> None:
    """Neither root nor a dry run is needed to learn that there is no such tunnel."""
    for arguments in (("-p", "59999"), ("-p", "59999", "--dry-run")):
        answer = place.run(shell, GENERIC, "remove", *arguments)
        assert_one_error(answer, "no-such-tunnel")


BAKED: list[tuple[str, ...]] = [
    ("--frobnicate",),
    ("2222",),
    ("--dry-run=no",),
    ("--accept-new-host-key=no",),
]


@pytest.mark.parametrize("arguments", BAKED, ids=" ".join)
def test_a_baked_script_refuses_what_it_does_not_know(
    shell: Shell, place: Place, arguments: tuple[str, ...]
) -> None:
    """A script for known tunnels takes its own few flags and nothing else."""
    before = place.seen()
    script = baked("setup", [Tunnel.of(2222, "u@gw", "/no/such/key")])
    assert_one_error(place.run(shell, script, *arguments), "usage")
    assert place.seen() == before


@pytest.mark.parametrize("value", ["", "MD5:00", "SHA256:"])
def test_a_baked_script_refuses_a_fingerprint_that_is_none(shell: Shell, place: Place, value: str) -> None:
    """--host-key-fingerprint="$UNSET" must not mean: trust whoever answers."""
    script = baked("setup", [Tunnel.of(2222, "u@gw", "/no/such/key")])
    answer = place.run(shell, script, f"--host-key-fingerprint={value}")
    assert_one_error(answer, "usage")


def test_a_reader_that_has_enough_ends_nothing_half_way(shell: Shell, tmp_path: Path) -> None:
    """Of "setup | head" the program does all that it began, and ends as it would have."""
    script = tmp_path / "script"
    script.write_text(f"{prelude()}\nbegin\nevent ok one\nevent ok two\n: >done\nexit_status=23\nfinish\n")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as nobody:
        ended = subprocess.run(
            [*shell.command, script], cwd=tmp_path, stdout=nobody, env={"PATH": shell.path}
        )
    assert (ended.returncode, (tmp_path / "done").exists()) == (23, True)


def test_a_reader_of_the_command_that_has_enough_ends_nothing_half_way(tmp_path: Path) -> None:
    """It is no full disk either, as every other failure to write would be."""

    def tell(_: object) -> None:
        raise BrokenPipeError

    text = f"printf 'event\\t\\tok\\tone\\n'; printf 'event\\t\\tok\\ttwo\\n'; : >{tmp_path}/done; exit 23"
    report = local.run_program(text, [], tell)
    assert (report.status, len(report.events), (tmp_path / "done").exists()) == (23, 2, True)
