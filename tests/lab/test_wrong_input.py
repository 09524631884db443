"""What cannot be right is refused in a sentence, before anything is touched."""

from __future__ import annotations

import json
from shlex import quote

import pytest

from .hosts import PASSWORD
from .tunnels import PYZ, SCRIPTS, Traces, Wanted, as_alice, cli, done, refused, same, traces, verified
from .world import KEY, World

GOOD = f"-p 2222 -b tunnel@bastion -s ~/{KEY}"
NO_PORT = f"-b tunnel@bastion -s ~/{KEY}"
NO_BASTION = f"-p 2222 -s ~/{KEY}"
NO_KEY = "-p 2222 -b tunnel@bastion"
LONG = "a" * 5000

# The words after `scitex-ssh`, as typed into a shell, and the error that they lead to.
CASES = [
    # The command itself
    ("nonsense", "usage"),
    ("setup --nonsense", "usage"),
    ("setup -p", "usage"),
    ("setup extra " + GOOD, "usage"),
    ("setup", "missing-field"),
    ("remove", "missing-field"),
    ("tunnel nonsense", "usage"),
    ("status -p 2222 --dry-run", "usage"),
    ("explain no-such-slug", "usage"),
    # Ports
    *(
        (f"setup {NO_PORT} -p {port}", "bad-port")
        for port in (
            *("0", "65536", "-1", "22x", "' 2222'", "0x22", "99999999999999999999"),
            *("02222", "+2222", "2222.0", "''", "٢٢٢٢", "ssh"),
        )
    ),
    (f"setup {NO_PORT} -p 22", "port-privileged"),
    ("status -p x", "bad-port"),
    ("remove -p x", "bad-port"),
    ("remove -p 2222", "no-such-tunnel"),
    ("tunnel remove -p 2222", "no-such-tunnel"),
    ("remove -p 2222 --dry-run", "no-such-tunnel"),
    ("status -p 2222", "no-such-tunnel"),
    # Bastions
    *(
        (f"setup {NO_BASTION} -b {quote(bastion)}", "bad-destination")
        for bastion in (
            *("tunnel@", "@bastion", "tunnel@-oProxyCommand=id", "-oProxyCommand=id", "a b@bastion"),
            *("tunnel@bast ion", "tunnel@bastion;id", "tunnel@$(id)", "tunnel@bastion\n", "tunnel@fd00::1"),
            *("tunnel@[fd00::1", "tunnel@[::g]", "tunnel@300.1.1.1", "tunnel@bastión", "tunnel@%h"),
            *("tunnel@a..b", f"tunnel@{LONG}", "-l@bastion", "tunnel@1.2.3", "\x1b[31m@bastion"),
        )
    ),
    (f"setup {NO_BASTION} -b tunnel@bastion:0", "bad-port"),
    (f"setup {NO_BASTION} -b tunnel@bastion:", "bad-port"),
    (f"setup {NO_BASTION} -b tunnel@bastion:ssh", "bad-port"),
    (f"setup {NO_BASTION}", "missing-field"),
    # Keys
    (f"setup {NO_KEY}", "missing-field"),
    (f"setup {NO_KEY} -s ''", "bad-key-path"),
    (f"setup {NO_KEY} -s '~carol/key'", "bad-key-path"),
    (f"setup {NO_KEY} -s '/home/alice/.ssh/'", "bad-key-path"),
    (f"setup {NO_KEY} -s $'/home/alice/a\\nb'", "bad-key-path"),
    (f"setup {NO_KEY} -s /{LONG}", "bad-key-path"),
    (f"setup {NO_KEY} -s ~/nowhere", "key-missing"),
    (f"setup {NO_KEY} -s nowhere/key", "key-missing"),
    (f"setup {NO_KEY} -s ~/wrong/dangling", "key-missing"),
    (f"setup {NO_KEY} -s /root/.ssh/id", "key-missing"),
    (f"setup {NO_KEY} -s ~/.ssh", "key-invalid"),
    (f"setup {NO_KEY} -s /dev/null", "key-invalid"),
    (f"setup {NO_KEY} -s ~/wrong/empty", "key-invalid"),
    (f"setup {NO_KEY} -s ~/wrong/garbage", "key-invalid"),
    (f"setup {NO_KEY} -s ~/wrong/cut", "key-invalid"),
    (f"setup {NO_KEY} -s ~/{KEY}.pub", "key-public"),
    (f"setup {NO_KEY} -s ~/wrong/unreadable", "key-unreadable"),
    (f"setup {NO_KEY} -s ~/wrong/open", "key-too-open"),
    (f"setup {NO_KEY} -s ~/wrong/locked", "key-locked"),
    (f"setup {NO_KEY} -s ~/wrong/locked-pem", "key-locked"),
    # The rest of a tunnel
    *(
        (f"setup {GOOD} {flag} {value}", slug)
        for flag, slug, values in (
            ("--target", "bad-target", ("localhost", "''", ":22", "a_b:c:22")),
            ("--target", "bad-port", ("localhost:0", "localhost:", "h:65536")),
            ("--user", "bad-user", ("nosuchuser", "''", "'a b'", "../etc", "-x", "0")),
            ("--engine", "bad-engine", ("mosh", "''", "SSH")),
            ("--keepalive", "bad-keepalive", ("0x2", "5", "5x", "''", "9999x9999")),
        )
        for value in values
    ),
    (f"setup {GOOD} --host-key-fingerprint ''", "usage"),
    (f"setup {GOOD} --host-key-fingerprint nonsense", "usage"),
]


@pytest.fixture(scope="module")
def wrong(equipped: World) -> Traces:
    """Give files that are no keys for a tunnel, and how the workstation looks with them."""
    equipped.workstation.sh(
        f"""
        set -eu
        mkdir -p ~/wrong && cd ~/wrong
        ln -s /nowhere dangling
        : >empty
        echo "no key at all" >garbage
        head -c 200 ~/{KEY} >cut
        cp ~/{KEY} open
        cp ~/{KEY} unreadable
        ssh-keygen -q -t ed25519 -N 'pass phrase' -f locked
        ssh-keygen -q -t rsa -m PEM -N 'pass phrase' -f locked-pem
        chmod 600 empty garbage cut
        chmod 644 open
        chmod 000 unreadable
        """,
        user="alice",
    )
    return traces(equipped.workstation)


def _id(case: object) -> str:
    return ascii(case)[1:-1].replace(GOOD, "GOOD")[-60:]


# The oldest Python and the oldest shell, and the newest.
@pytest.mark.suites("bullseye", "trixie")
@pytest.mark.parametrize(("words", "slug"), CASES, ids=_id)
def test_wrong_words_are_refused(words: str, slug: str, wrong: Traces, equipped: World) -> None:
    """One sentence with the cause, the next move and the slug; the documented status; no change."""
    result = equipped.workstation.sh(f"{PYZ} {words}", user="alice", check=False)
    assert result.stdout == ""
    refused(result, slug)
    assert len(result.stderr) < 700
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("words", ["setup {0}", "script setup {0}", "tunnel setup {0}"])
def test_wrong_surroundings_are_refused(words: str, wrong: Traces, equipped: World) -> None:
    """A bad value is as bad in the environment as in a flag, and in every command."""
    for variable, value, slug in (
        ("SCITEX_SSH_BASTION_SERVER", "tunnel@-oProxyCommand=id", "bad-destination"),
        ("SCITEX_SSH_SECRET_KEY_PATH", "~carol/key", "bad-key-path"),
    ):
        env = {"SCITEX_SSH_BASTION_SERVER": "tunnel@bastion", "SCITEX_SSH_SECRET_KEY_PATH": f"~/{KEY}"}
        line = f"{PYZ} {words.format('-p 2222')}"
        refused(equipped.workstation.sh(line, user="alice", check=False, env={**env, variable: value}), slug)


def test_wrong_words_changed_nothing(wrong: Traces, equipped: World) -> None:
    """After all of them the workstation is as it was."""
    same(traces(equipped.workstation), wrong)


@pytest.mark.suites("bullseye")
def test_the_generic_script_refuses_the_same(wrong: Traces, equipped: World) -> None:
    """Where there is no Python to say it, the same sentence and the same status."""
    for words, slug in CASES:
        command, _, flags = words.partition(" ")
        if command not in ("setup", "remove") or slug == "usage":
            continue
        script = equipped.workstation.sh(
            f"sh '{SCRIPTS}/{command}-autossh-service.sh' {flags}", user="alice", check=False
        )
        refused(script, slug)
    same(traces(equipped.workstation), wrong)


# Machines and people


def test_a_user_without_sudo_is_told(equipped: World) -> None:
    """Not allowed, wanting a password where nobody can type it, or no sudo at all."""
    host = equipped.workstation
    for name, sudo in (("nora", None), ("paul", "password")):
        host.add_user(name, sudo=sudo)  # type: ignore[arg-type]
        equipped.bastion.authorize("tunnel", host.make_key(name, f"/home/{name}/{KEY}"))
        host.trust(name, equipped.bastion)
    before = traces(host)
    for name in ("nora", "paul"):
        refused(host.sh(f"{PYZ} setup {GOOD} --keeper systemd --yes", user=name, check=False), "sudo-denied")
        script = f"sh '{SCRIPTS}/setup-autossh-service.sh' {GOOD} --keeper systemd --yes"
        refused(host.sh(script, user=name, check=False), "sudo-denied")
    host.sh("chmod 755 /usr/bin/sudo && mv /usr/bin/sudo /usr/bin/.sudo")
    try:
        refused(cli(equipped, "setup", *Wanted().argv, "--keeper", "systemd"), "sudo-missing")
    finally:
        host.sh("mv /usr/bin/.sudo /usr/bin/sudo && chmod 4755 /usr/bin/sudo")
    same(traces(host), before)


def test_a_password_at_a_terminal_opens_the_way(desk: World) -> None:
    """Asked for once, at the terminal."""
    host = desk.workstation
    host.add_user("terry", sudo="password")
    desk.bastion.authorize("tunnel", host.make_key("terry", f"/home/terry/{KEY}"))
    host.trust("terry", desk.bastion)
    typed = f"script -qec {quote(f'{PYZ} setup {GOOD} --keeper systemd --yes')} /dev/null"
    # Typed when it is asked for: what comes sooner, sudo throws away.
    with host.popen(typed, user="terry") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        said = ""
        while "terry: " not in said:
            letter = running.stdout.read(1)
            assert letter, said
            said += letter
        running.stdin.write(f"{PASSWORD}\n")
        running.stdin.flush()
        said += running.stdout.read()
    assert said.count("Password of terry") == 1
    assert "Verified: " in said
    assert json.loads(host.read(f"{Wanted().folder}/tunnel.json"))["user"] == "terry"


def test_missing_programs_are_named(equipped: World) -> None:
    """With the package to install."""
    host = equipped.workstation
    for program, words in (("autossh", "--engine autossh"), ("ssh", "")):
        host.sh(f"mv /usr/bin/{program} /usr/bin/.{program}")
        try:
            result = host.sh(f"{PYZ} setup {GOOD} {words}", user="alice", check=False)
            refused(result, "ssh-missing")
            assert f"there is no {program}" in result.stderr
        finally:
            host.sh(f"mv /usr/bin/.{program} /usr/bin/{program}")


def test_a_machine_without_systemd_is_told(equipped: World) -> None:
    """Nothing is written where nothing could start it."""
    host = equipped.workstation
    script = (
        f"mount -t tmpfs none /run/systemd && su - alice -c {quote(f'{PYZ} setup {GOOD} --keeper systemd')}"
    )
    refused(host.sh(f"unshare -m sh -c {quote(script)}", check=False), "systemd-missing")


def test_root_without_a_caller_says_for_whom(desk: World) -> None:
    """~/ is then root's home, and root has no such key; --user names another."""
    words = "-p 2222 -b tunnel@bastion -s '~/nowhere'"
    refused(desk.workstation.sh(f"{PYZ} setup {words}", check=False), "key-missing")
    words = f"-p 2222 -b tunnel@bastion -s '~/{KEY}' --user alice"
    assert verified(done(desk.workstation.sh(f"{PYZ} setup {words}", check=False)))


def test_every_error_ends_in_one_json_object(wrong: Traces, equipped: World) -> None:
    """With --json, on standard output and nothing else anywhere."""
    for words, slug in CASES[:60:3]:
        if words.startswith("explain"):
            continue
        result = equipped.workstation.sh(f"{PYZ} {words} --json", user="alice", check=False)
        told = json.loads(result.stdout)
        assert ([problem["slug"] for problem in told["errors"]], told["success"]) == ([slug], False)
        assert (told["status"], result.stderr) == (result.status, "")


def test_a_reader_that_leaves_is_no_error(equipped: World) -> None:
    """`scitex-ssh --help-recursive | head -1` says nothing else."""
    for words in ("--help-recursive", "explain", f"script setup {GOOD}"):
        result = as_alice(equipped, "bash", "-c", f"{PYZ} {words.replace('~', '/home/alice')} | head -n 1")
        assert (result.status, result.stderr) == (0, ""), words
