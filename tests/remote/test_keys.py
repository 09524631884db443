"""Keys: made, let in elsewhere, tried, renewed; host keys: trusted and forgotten. Each at a real sshd."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest

import scitex_ssh
from scitex_ssh import keys
from scitex_ssh.errors import InputError, SSHError, TunnelError
from scitex_ssh.keys.lines import with_key
from scitex_ssh.keys.local import public_half
from scitex_ssh.keys.told import Say
from scitex_ssh.model import Port
from scitex_ssh.remote.way import Way
from scitex_ssh.render.authorized_keys import line
from tests.remote.terminal import terminal
from tests.remote.there import There, standing

# The package shows the function under the module's name.
rotation = import_module("scitex_ssh.keys.rotate")


@pytest.fixture(scope="module")
def host() -> Iterator[There]:
    """Give a host whose account has a home of its own."""
    if not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"):
        pytest.skip("sshd is not installed (package openssh-server)")
    with standing(account=True) as there:
        yield there


@pytest.fixture
def account(host: There) -> There:
    """Give the same with nothing in its home."""
    shutil.rmtree(host.authorized.parent, ignore_errors=True)
    return host


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Give a new key, in a path that ssh and shells could read otherwise."""
    path = tmp_path / "a 100%h $(id) 'key"
    keys.new(path, comment="new one")
    return path


def mode(path: Path) -> int:
    """The mode of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(each.name for each in folder.iterdir())


def events(result: scitex_ssh.Result) -> list[str]:
    """What became of the steps."""
    return [each.kind for each in result.raise_for_error().report.events]


def cli(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end, with nobody to ask."""
    argv = [sys.executable, "-m", "scitex_ssh", "key", *map(str, words)]
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )


# Local keys


def test_a_new_key_is_its_owners_alone(tmp_path: Path) -> None:
    """Both halves have their modes, whatever the umask; the folder is made, and nothing else is left."""
    path = tmp_path / "deep" / "id"
    before = os.umask(0)
    try:
        made = keys.new(path, comment="for the lab")
    finally:
        os.umask(before)
    assert (mode(path.parent), mode(path), made.mode) == (0o700, 0o600, 0o600)
    assert mode(path.with_name("id.pub")) == 0o644
    assert (made.type, made.comment, made.locked) == ("ED25519", "for the lab", False)
    assert names(path.parent) == ["id", "id.pub"]
    assert keys.list_keys(path.parent) == [made]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Neither half, and a half that is in the way leaves none of the other."""
    path = tmp_path / "id"
    keys.new(path)
    text = path.read_bytes()
    done = cli("new", path)
    assert (done.returncode, path.read_bytes()) == (1, text)
    assert done.stderr.endswith("[key-exists]\n")
    other = tmp_path / "other"
    other.with_name("other.pub").write_text("mine\n")
    with pytest.raises(TunnelError, match="never overwritten"):
        keys.new(other)
    assert not other.exists()
    assert other.with_name("other.pub").read_text() == "mine\n"


def test_rsa_is_long_enough(tmp_path: Path) -> None:
    """For servers that know no ed25519."""
    made = keys.new(tmp_path / "old", kind="rsa")
    assert (made.type, made.bits) == ("RSA", 4096)


@pytest.mark.parametrize(
    "words",
    [
        *(("new", "x", "-t", "dsa"), ("new", "x", "-C", "a\nb"), ("new", "x/"), ("new", "x", "--passphrase")),
        # Nobody gives a private key away for the name of its file.
        ("new", "x.pub"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    """With status 2, and nothing is made."""
    command, name, *rest = words
    done = cli(command, f"{tmp_path}/{name}", *rest)
    assert done.returncode == 2, done.stderr
    assert names(tmp_path) == []


def test_a_passphrase_is_asked_for_on_the_terminal(tmp_path: Path) -> None:
    """By ssh-keygen, which takes it from there: nobody else sees it."""
    argv = [sys.executable, "-m", "scitex_ssh", "key", "new", f"{tmp_path}/id", "--passphrase"]
    with terminal(*argv) as screen:
        for asked in (r"\(empty for no passphrase\): ", "again: "):
            screen.expect(asked)
            screen.type("four secret words here\n")
        screen.expect("SHA256:")
        assert screen.end() == 0
    (made,) = keys.list_keys(tmp_path)
    assert made.locked


def test_the_list_tells_what_is_wrong(tmp_path: Path) -> None:
    """Modes, passphrases, and keys that an agent holds; what is no key is left out."""
    keys.new(tmp_path / "good")
    locked = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", str(tmp_path / "locked")]
    subprocess.run(locked, check=True)
    keys.new(tmp_path / "open")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "config").write_text("Host *\n")
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    env = dict(
        part.split("=", 1)
        for part in agent.replace("\n", "").split("; ")
        for part in part.split(";")
        if "=" in part
    )
    try:
        subprocess.run(["ssh-add", "-q", str(tmp_path / "good")], check=True, env={**os.environ, **env})
        said = json.loads(cli("list", "--json", tmp_path, env=env).stdout)
        table = cli("list", tmp_path, env=env).stdout
    finally:
        os.kill(int(env["SSH_AGENT_PID"]), 15)
    seen = {
        Path(each["path"]).name: (each["locked"], each["in_agent"], each["mode"]) for each in said["keys"]
    }
    assert seen == {
        "good": (False, True, "600"),
        "locked": (True, False, "600"),
        "open": (False, False, "644"),
    }
    for words in ("in the agent", "passphrase", "open to others"):
        assert words in table


def test_fix_puts_right_what_ssh_refuses(tmp_path: Path) -> None:
    """A dry run tells it and changes nothing; the second run has nothing to do."""
    folder = tmp_path / "ssh"
    keys.new(folder / "id")
    wanted = (folder / "id.pub").read_text()
    (folder / "id.pub").unlink()
    (folder / "id").chmod(0o644)
    (folder / "authorized_keys").write_text("")
    (folder / "authorized_keys").chmod(0o666)
    folder.chmod(0o777)
    assert set(events(keys.fix(folder, dry_run=True))) == {"would-change"}
    assert (mode(folder), mode(folder / "id")) == (0o777, 0o644)
    assert events(keys.fix(folder)) == ["changed"] * 4
    assert (mode(folder), mode(folder / "id"), mode(folder / "authorized_keys")) == (0o755, 0o600, 0o644)
    assert (folder / "id.pub").read_text().split()[:2] == wanted.split()[:2]
    assert events(keys.fix(folder)) == ["ok"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """It is no folder without keys."""
    for command in ("list", "fix"):
        done = cli(command, tmp_path / "none")
        assert (done.returncode, done.stderr.endswith("[file-failed]\n")) == (1, True)


# Keys on another machine


def test_a_key_is_let_in_once(account: There, key: Path) -> None:
    """Its line is added to what is there, is tried, and is not added again."""
    account.authorized.parent.mkdir(mode=0o700)
    account.authorized.write_text("# mine\nssh-ed25519 AAAA other")
    account.authorized.chmod(0o640)
    assert [each.verdict for each in keys.check("there", [key], ssh_opts=account.opts)] == ["refused"]
    assert events(keys.authorize("there", key, ssh_opts=account.opts, dry_run=True)) == ["would-change"]
    assert account.authorized.read_text() == "# mine\nssh-ed25519 AAAA other"
    assert events(keys.authorize("there", key, ssh_opts=account.opts)) == ["changed", "ok"]
    line = key.with_name(key.name + ".pub").read_text()
    assert account.authorized.read_text() == f"# mine\nssh-ed25519 AAAA other\n{line}"
    assert mode(account.authorized) == 0o640
    assert events(keys.authorize("there", key, ssh_opts=account.opts)) == ["ok", "ok"]
    assert account.authorized.read_text().count(line.split()[1]) == 1
    assert names(account.authorized.parent) == ["authorized_keys"]
    assert [each.verdict for each in keys.check("there", [key], ssh_opts=account.opts)] == ["accepted"]


def test_the_first_key_of_an_account(account: There, key: Path) -> None:
    """The folder and the file are made with the modes that sshd wants; through a jump host, too."""
    assert events(keys.authorize("behind", key, ssh_opts=account.opts)) == ["changed", "ok"]
    assert (mode(account.authorized.parent), mode(account.authorized)) == (0o700, 0o600)


def test_options_of_a_line(account: There, key: Path) -> None:
    """They stand before the key; other ones take their place; none leave those that somebody gave it."""
    restricted = ["restrict", 'command="echo \\"two  words\\"; true"']

    def prefix(result: scitex_ssh.Result) -> str:
        result.raise_for_error()
        (found,) = account.authorized.read_text().splitlines()
        return found.partition(" ssh-ed25519 ")[0]

    assert prefix(keys.authorize("there", key, options=restricted, ssh_opts=account.opts)) == ",".join(
        restricted
    )
    way = with_key(Way.of("there"), key).flags + account.opts
    # The key of the configuration is offered after it.
    assert scitex_ssh.exec_remote("there", "id", ssh_opts=way, plain=True).stdout == "two  words\n"
    assert prefix(keys.authorize("there", key, ssh_opts=account.opts)) == ",".join(restricted)
    assert prefix(keys.authorize("there", key, options=["restrict"], ssh_opts=account.opts)) == "restrict"
    again = keys.authorize("there", key, options=["restrict"], ssh_opts=account.opts)
    assert events(again) == ["ok", "ok"]
    twice = account.authorized.read_text() * 2
    account.authorized.write_text(twice)
    assert prefix(keys.authorize("there", key, options=["restrict"], ssh_opts=account.opts)) == "restrict"


def test_a_forced_command_is_not_run_by_a_check(account: There, key: Path, tmp_path: Path) -> None:
    """Neither by authorize, which tries the key; a login would run it, as the twin shows."""
    ran = tmp_path / "ran"
    forced = [f'command="touch {ran}"']
    assert events(keys.authorize("there", key, options=forced, ssh_opts=account.opts)) == ["changed", "ok"]
    assert [each.verdict for each in keys.check("there", [key], ssh_opts=account.opts)] == ["accepted"]
    assert not ran.exists()
    way = with_key(Way.of("there"), key).flags + account.opts
    scitex_ssh.exec_remote("there", "id", ssh_opts=way, plain=True)
    assert ran.exists()


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (("--restrict", "a b"), "bad-key-option"),
        (("--restrict", 'command="x'), "bad-key-option"),
        (("--restrict", 'from="a"\nssh-ed25519'), "bad-key-option"),
        (("--restrict", "restrict", "-p", "2222"), "usage"),
        (("-p", "none"), "bad-port"),
        (("--name", "lab1"), "usage"),
        (("-k", "/no/such/key"), "key-missing"),
    ],
)
def test_what_cannot_be_authorized(account: There, key: Path, words: tuple[str, ...], slug: str) -> None:
    """Nothing is changed there, not even connected to where that can be known before."""
    named = () if "-k" in words else ("-k", key)
    done = cli("authorize", "-F", account.config, *named, *words, "there")
    assert done.stderr.endswith(f"[{slug}]\n"), done.stderr
    assert not account.authorized.exists()


def test_what_is_no_public_key_is_not_shown(account: There, key: Path) -> None:
    """A private key that was taken for a public one is refused without a word of it."""
    wrong = key.with_name("wrong.pub")
    wrong.write_bytes(key.read_bytes())
    done = cli("authorize", "-F", account.config, "-k", wrong, "there")
    assert done.stderr.endswith("[bad-public-key]\n")
    assert key.read_text().splitlines()[1] not in done.stderr + done.stdout


def test_a_file_that_cannot_be_written(account: There, key: Path) -> None:
    """The cause is named, and the file is as it was."""
    account.authorized.parent.mkdir()
    account.authorized.mkdir()
    done = cli("authorize", "-F", account.config, "-k", key, "there")
    assert done.returncode == 1
    assert done.stderr.endswith("[authorize-failed]\n"), done.stderr
    assert names(account.authorized.parent) == ["authorized_keys"]


def test_a_key_that_sshd_does_not_heed(account: There, key: Path) -> None:
    """A line that is there and does not let in is no success."""
    done = cli("authorize", "-F", account.config, "-k", key, "--restrict", 'from="192.0.2.1"', "there")
    assert done.returncode == 21
    assert done.stderr.endswith("[key-not-proven]\n"), done.stderr


def test_two_at_once_lose_no_line(account: There, tmp_path: Path) -> None:
    """The file is changed by one at a time."""
    made = [tmp_path / f"k{number}" for number in range(6)]
    for path in made:
        keys.new(path)
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda path: keys.authorize("there", path, ssh_opts=account.opts), made))
    assert [events(each) for each in done] == [["changed", "ok"]] * 6
    text = account.authorized.read_text()
    assert [text.count(public_half(path)[0].blob) for path in made] == [1] * 6


def test_check_tells_each_key(account: There, key: Path, tmp_path: Path) -> None:
    """In three words and two statuses; a key with a passphrase is told apart from one that is refused."""
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(locked)], check=True)
    keys.authorize("there", locked.with_name("locked.pub"), ssh_opts=account.opts)
    done = cli("check", "--json", "-F", account.config, "there", key, locked, account.folder / "key")
    said = json.loads(done.stdout)
    assert [each["verdict"] for each in said["keys"]] == ["refused", "locked", "accepted"]
    assert (done.returncode, said["success"]) == (0, True)
    assert cli("check", "-F", account.config, "there", key).returncode == 21
    (own,) = keys.check("there", ssh_opts=account.opts)
    assert (own.key, own.verdict) == (str(account.folder / "key"), "accepted")
    done = cli("check", "nowhere.invalid", key)
    assert done.stderr.endswith("[bastion-unresolved]\n")


# A new key in the place of an old one


def test_a_key_is_renewed(account: There, key: Path) -> None:
    """The new one is at its path with the line's options; the old one is beside, and not let in any more."""
    keys.authorize("there", key, options=["restrict", "pty"], ssh_opts=account.opts).raise_for_error()
    old, former = public_half(key)[0], key.with_name(key.name + ".old")
    done = cli("rotate", "-F", account.config, "-k", key, "there", "there2")
    assert done.returncode == 0, done.stderr
    new = public_half(key)[0]
    assert (new != old, public_half(former)[0]) == (True, old)
    assert (mode(key), mode(former)) == (0o600, 0o600)
    assert account.authorized.read_text() == f"restrict,pty {new} new one\n"
    verdicts = [each.verdict for each in keys.check("there", [key, former], ssh_opts=account.opts)]
    assert verdicts == ["accepted", "refused"]
    assert names(key.parent) == sorted([key.name, f"{key.name}.pub", former.name, f"{former.name}.pub"])
    for path in (key, former):
        secret = path.read_text().splitlines()[1]
        assert secret not in done.stdout + done.stderr
    again = cli("rotate", "-F", account.config, "-k", key, "there")
    assert again.stderr.endswith("[old-key-kept]\n")
    assert public_half(key)[0] == new


def test_nothing_is_taken_away_before_the_new_key_is_proven(account: There, key: Path) -> None:
    """A host that has no line of the key, and one that is not reached: the old key lets in as before."""
    done = keys.rotate("there", key, ssh_opts=account.opts)
    assert done.error is not None
    assert (done.error.slug, key.with_name(key.name + ".old").exists()) == ("key-not-there", False)
    keys.authorize("there", key, ssh_opts=account.opts).raise_for_error()
    text, old = account.authorized.read_text(), public_half(key)[0]
    done = keys.rotate(["there", "nowhere.invalid"], key, ssh_opts=account.opts)
    assert done.error is not None
    assert done.error.slug == "bastion-unresolved"
    assert public_half(key)[0] == old
    assert account.authorized.read_text().startswith(text)
    assert [each.verdict for each in keys.check("there", [key], ssh_opts=account.opts)] == ["accepted"]
    # What was begun is gone on with.
    assert events(keys.rotate("there", key, ssh_opts=account.opts))[:2] == ["ok", "ok"]
    assert old.blob not in account.authorized.read_text()


@pytest.mark.parametrize("step", ["private", "public", "lines"])
def test_a_rotation_that_was_broken_off_goes_on(
    account: There, key: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before either half has changed its place, or the old line went; named by either half, as people do."""
    keys.authorize("there", key, ssh_opts=account.opts).raise_for_error()
    old, half = public_half(key)[0], key.with_name(key.name + ".pub")
    edit, replace = rotation.edit, Path.replace

    def edited(way: Way, say: Say, word: str, *arguments: str) -> bool:
        if step == "lines" and word == "drop":
            raise KeyboardInterrupt
        return edit(way, say, word, *arguments)

    def replaced(self: Path, target: Path) -> Path:
        if target == {"private": key, "public": half}.get(step):
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "edit", edited)
        patch.setattr(Path, "replace", replaced)
        with pytest.raises(KeyboardInterrupt):
            keys.rotate("there", key, ssh_opts=account.opts)
    assert old.blob in account.authorized.read_text()
    keys.rotate("there", half, ssh_opts=account.opts).raise_for_error()
    assert public_half(key)[0] != old
    assert old.blob not in account.authorized.read_text()
    assert names(key.parent) == sorted(f"{key.name}{end}" for end in ("", ".pub", ".old", ".old.pub"))
    assert {mode(key), mode(key.with_name(key.name + ".old"))} == {0o600}
    assert [each.verdict for each in keys.check("there", [key], ssh_opts=account.opts)] == ["accepted"]


def test_the_id_of_a_tunnels_key_follows_it(account: There, key: Path) -> None:
    """The forced command of a line for ports names its key, so the new line names the new one."""
    old = public_half(key)[0]
    account.authorized.parent.mkdir()
    account.authorized.write_text(f"{line('lab1', [Port(20022)], old, '/bin/true')}\n")
    # Such a key may not edit the file, so another one does.
    admin = ["-i", str(account.folder / "key"), *account.opts]
    keys.rotate("there", key, ssh_opts=admin).raise_for_error()
    new, text = public_half(key)[0], account.authorized.read_text()
    assert f'20022 {new.id}" {new}' in text
    assert text.count("permitlisten") == 1


# Host keys


@pytest.fixture
def known(account: There, tmp_path: Path) -> tuple[Path, list[str]]:
    """Give a file of known hosts with somebody else in it, and the flags that name it and the server."""
    path = tmp_path / "known_hosts"
    path.write_text("other ssh-ed25519 AAAA")
    config = tmp_path / "config"
    config.write_text(
        f"Host lab1\n  HostName 127.0.0.1\n  Port {account.port}\n"
        f"Host *\n  UserKnownHostsFile {path}\n  GlobalKnownHostsFile none\n"
    )
    return path, ["-F", str(config)]


def fingerprint(host: There) -> str:
    """That of the server's host key, by its own file."""
    command = ["ssh-keygen", "-l", "-f", str(host.folder / "host_key.pub")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]


def test_a_host_key_is_pinned_once_it_was_compared(account: There, known: tuple[Path, list[str]]) -> None:
    """Nobody there to say so: it is shown and not taken; then by its fingerprint, under name and port."""
    path, way = known
    done = cli("pin", *way, "lab1")
    assert done.returncode == 22
    assert fingerprint(account) in done.stderr
    assert done.stderr.endswith("[pin-unconfirmed]\n")
    wrong = cli("pin", *way, "--fingerprint", "SHA256:" + "A" * 43, "lab1")
    assert (wrong.returncode, wrong.stderr.endswith("[host-key-differs]\n")) == (22, True)
    assert path.read_text() == "other ssh-ed25519 AAAA"
    assert events(keys.pin("lab1", trust=True, ssh_opts=way, dry_run=True)) == ["would-change"]
    assert events(keys.pin("lab1", fingerprint=fingerprint(account), ssh_opts=way)) == ["changed"]
    blob = (account.folder / "host_key.pub").read_text().split()[1]
    lines = ["other ssh-ed25519 AAAA", f"[127.0.0.1]:{account.port} ssh-ed25519 {blob}"]
    assert path.read_text().splitlines() == lines
    assert events(keys.pin("lab1", ssh_opts=way)) == ["ok"]
    assert path.read_text().splitlines() == lines
    seen = [each.verdict for each in keys.check("lab1", [account.folder / "key"], ssh_opts=way)]
    assert seen == ["accepted"]


def test_a_person_is_asked_about_a_host_key(account: There, known: tuple[Path, list[str]]) -> None:
    """It is shown; a no leaves everything as it was, a yes takes what was shown."""
    path, way = known
    argv = [sys.executable, "-m", "scitex_ssh", "key", "pin", *way, "lab1"]
    for answer, status, lines in (("n", 22, 1), ("y", 0, 2)):
        with terminal(*argv, columns=300) as screen:
            screen.expect(re.escape(fingerprint(account)))
            screen.expect("Are these its own")
            screen.type(f"{answer}\n")
            assert screen.end() == status
        assert len(path.read_text().splitlines()) == lines


def test_hashed_names_are_found_and_forgotten(account: There, known: tuple[Path, list[str]]) -> None:
    """HashKnownHosts of the configuration is heeded; the others' lines stay as they are, with their mode."""
    path, way = known
    path.chmod(0o640)
    hashed = [*way, "-o", "HashKnownHosts=yes"]
    assert events(keys.pin("lab1", trust=True, ssh_opts=hashed)) == ["changed"]
    assert path.read_text().splitlines()[1].startswith("|1|")
    assert events(keys.pin("lab1", trust=True, ssh_opts=hashed)) == ["ok"]
    assert events(keys.forget("lab1", ssh_opts=way, dry_run=True)) == ["would-change"]
    assert events(keys.forget("lab1", ssh_opts=way)) == ["changed"]
    assert (path.read_text(), mode(path)) == ("other ssh-ed25519 AAAA\n", 0o640)
    assert events(keys.forget("lab1", ssh_opts=way)) == ["ok"]
    # Beside a lock or a copy, nothing is left.
    assert names(path.parent) == ["config", "known_hosts"]


def test_a_host_key_that_differs_is_not_replaced(account: There, known: tuple[Path, list[str]]) -> None:
    """Not even by --yes: it has to be forgotten first."""
    path, way = known
    text = f"[127.0.0.1]:{account.port} {(account.folder / 'key.pub').read_text()}"
    path.write_text(text)
    done = cli("pin", *way, "--yes", "lab1")
    assert (done.returncode, done.stderr.endswith("[known-key-differs]\n")) == (22, True)
    assert path.read_text() == text
    assert cli("forget", *way, "lab1").returncode == 0
    assert cli("pin", *way, "--yes", "lab1").returncode == 0
    assert fingerprint(account) in cli("pin", *way, "lab1").stdout


def test_a_host_key_over_a_jump_host(account: There, tmp_path: Path) -> None:
    """The jump host is known already; what is behind it becomes so."""
    path = tmp_path / "known_hosts"
    path.write_bytes((account.folder / "known_hosts").read_bytes())
    way = ["-o", f"UserKnownHostsFile={path}", "-o", "HostKeyAlias=deep", *account.opts]
    assert events(keys.pin("behind", trust=True, ssh_opts=way)) == ["changed"]
    assert path.read_text().splitlines()[-1].startswith("deep ssh-ed25519 ")


def test_pins_at_once_lose_no_line(account: There, known: tuple[Path, list[str]]) -> None:
    """The file is replaced by one at a time."""
    path, way = known

    def pin(number: int) -> scitex_ssh.Result:
        return keys.pin("lab1", trust=True, ssh_opts=["-o", f"HostKeyAlias=alias{number}", *way])

    with ThreadPoolExecutor() as pool:
        assert [events(each) for each in pool.map(pin, range(6))] == [["changed"]] * 6
    assert {line.split()[0] for line in path.read_text().splitlines()} == {
        "other",
        *(f"alias{n}" for n in range(6)),
    }


def test_without_known_hosts_there_is_nothing_to_pin(account: There, known: tuple[Path, list[str]]) -> None:
    """Where the configuration keeps none."""
    done = cli("pin", *known[1], "-o", "UserKnownHostsFile=none", "--yes", "lab1")
    assert (done.returncode, done.stderr.endswith("[no-known-hosts]\n")) == (10, True)
    with pytest.raises(InputError):
        keys.pin("lab1", fingerprint="SHA256:short")


def test_a_policy_forbids_to_touch_the_host(
    account: There, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may not be run there may not be written there."""
    config = tmp_path / "config.yaml"
    config.write_text("hosts: {there: {exec: deny}}\n")
    monkeypatch.setenv("SCITEX_SSH_CONFIG", str(config))
    for call in (
        lambda: keys.authorize("there", key, ssh_opts=account.opts),
        lambda: keys.check("there", [key], ssh_opts=account.opts),
        lambda: keys.rotate("there", key, ssh_opts=account.opts),
    ):
        with pytest.raises(SSHError) as caught:
            call()
        assert caught.value.slug == "policy-denied"
    assert not account.authorized.exists()
