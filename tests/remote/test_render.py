"""A tunnel in another form: as set-up writes it and as ssh understands it."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scitex_ssh import demo
from scitex_ssh.cli.entry import run
from scitex_ssh.errors import InputError
from scitex_ssh.model import Tunnel
from scitex_ssh.render.argv import argv
from tests.remote.there import There

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/flags.json"))
# What the folder of the tunnel is for, and by hand is the caller's.
BY_HAND = {"identityfile", "userknownhostsfile", "globalknownhostsfile", "user", "host"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with nothing in it but a key, and no defaults."""
    for name in ("SCITEX_SSH_BASTION_SERVER", "SCITEX_SSH_SECRET_KEY_PATH", "SCITEX_SSH_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    demo._key(tmp_path / "key")
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints that must succeed."""
    status = run(list(words))
    said = capsys.readouterr()
    assert (status, said.err) == (0, "")
    return said.out


def described(home: Path, *more: str) -> list[str]:
    return ["-p", "2222", "-b", "tunnel@gw.example.com:443", "-s", str(home / "key"), *more]


def known(there: There) -> list[str]:
    """Flags by which ssh knows the host there, since our own known_hosts does not."""
    return ["-o", f"UserKnownHostsFile={there.folder}/known_hosts", "-o", "HostKeyAlias=there"]


def understood(words: list[str]) -> dict[str, list[str]]:
    """What ssh makes of a command line, a list of values a setting."""
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        said.setdefault(name, []).append(value)
    return {name: sorted(values) for name, values in said.items() if name not in BY_HAND}


@pytest.mark.parametrize("case", CASES)
def test_the_command_says_what_the_tunnels_own_configuration_says(case: str) -> None:
    """ssh itself understands the same by the flags as by the file that set-up writes."""
    flags = json.loads((GOLDEN / case / "flags.json").read_text("utf-8"))
    tunnel = Tunnel.of(flags.pop("port", None), flags.pop("bastion"), flags.pop("key"), **flags)
    words, file, host = argv(tunnel), str(GOLDEN / case / "ssh_config"), "tunnel"
    for number in range(len(tunnel.jumps), -1, -1):
        by_file, by_hand = (
            understood([ssh, "-G", *rest])
            for ssh, *rest in (["ssh", *(["-N"] if host == "tunnel" else []), "-F", file, host], words)
        )
        through, by_folder = (each.pop("proxycommand", [""])[0] for each in (by_hand, by_file))
        if number:
            # What the last host is reached through is one more ssh: the same of that one.
            assert by_folder.endswith(f" jump-{number}")
            words, host = [*shlex.split(through.replace("%%", "%"))], f"jump-{number}"
            del words[words.index("-W") : words.index("-W") + 2]
        else:
            assert through == by_folder
        assert by_hand == by_file


@pytest.mark.parametrize("name", ["a b", "100%", "%h", "it's", 'a"b', "back\\slash", "$(id)"])
def test_a_key_of_any_name_is_the_one_that_ssh_reads(there: There, name: str, tmp_path: Path) -> None:
    """It logs in with it; with the key away, it has no other."""
    key = tmp_path / name
    shutil.copy(there.folder / "key", key)
    ssh, *rest = argv(Tunnel.of(2222, f"{getpass.getuser()}@127.0.0.1:{there.port}", str(key)))
    rest.remove("-N")
    words = [ssh, *known(there), "-o", "ClearAllForwardings=yes", *rest, "true"]
    assert subprocess.run(words, timeout=20).returncode == 0
    key.unlink()
    gone = subprocess.run(words, timeout=20, capture_output=True, text=True)
    assert gone.returncode == 255
    assert "Permission denied" in gone.stderr


def test_a_key_that_no_flag_can_name_is_refused() -> None:
    """ssh would put a variable in its place."""
    with pytest.raises(InputError) as refusal:
        argv(Tunnel.of(2222, "u@gw", "/a/${HOME}"))
    assert refusal.value.slug == "bad-key-path"


@pytest.mark.parametrize("hops", [0, 2])
def test_the_command_makes_the_tunnel(
    hops: int, there: There, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run as it is printed, it opens the forward at once; what answers behind it is the bastion's sshd."""
    (port,) = demo._free_ports(1)
    login = f"{getpass.getuser()}@127.0.0.1:{there.port}"
    flags = ["-b", login, "-s", str(there.folder / "key")]
    if hops:
        key = tmp_path / "a hop's 100% key"
        shutil.copy(there.folder / "key", key)
        flags += ["-J", ",".join([login] * hops), "--jump-key", str(key)]
    line = told(capsys, "render", "-L", f"{port}:127.0.0.1:{there.port}", *flags)
    assert line.count("ssh ") == hops + 1
    hosts = " ".join(known(there))
    process = subprocess.Popen(["sh", "-c", "exec " + line.replace("ssh -", f"ssh {hosts} -")])
    try:
        demo._wait_for_port(port, process, there.folder / "log")  # type: ignore[arg-type]
        seen = subprocess.run(
            ["ssh-keyscan", "-t", "ed25519", "-p", str(port), "127.0.0.1"], capture_output=True, text=True
        )
        blob = (there.folder / "host_key.pub").read_text().split()[1]
        assert blob in seen.stdout
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize(("form", "file"), [("ssh-config", "ssh_config"), ("json", "tunnel.json")])
def test_a_file_is_what_set_up_would_write(
    form: str, file: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dry run of set-up shows the same text, line for line."""
    flags = described(home, "--keeper", "nohup", "-R", "0:localhost:80", "-n", "lab1")
    status = run(["setup", *flags, "--dry-run", "--json"])
    lines = [each["line"] for each in json.loads(capsys.readouterr().out)["diff"]]
    assert status == 0
    (begin,) = (number for number, line in enumerate(lines) if line.startswith("+++") and f"/{file} " in line)
    wanted = []
    for line in lines[begin + 1 :]:
        if line.startswith("---"):
            break
        wanted += [line[1:]] if line.startswith("+") else []
    assert wanted
    assert told(capsys, "render", *flags, "--as", form).splitlines() == wanted


def test_a_unit_and_a_crontab_are_their_keepers(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same text as everywhere, for whoever asks."""
    unit = told(capsys, "render", *described(home), "--as", "unit")
    golden = (GOLDEN / "plain/unit").read_text("utf-8")
    assert unit == golden.replace("User=alice", f"User={getpass.getuser()}")
    user = told(capsys, "render", *described(home, "--keeper", "systemd-user"), "--as", "unit")
    assert "\nUser=" not in user
    assert "ConditionHost=" in user
    lines = told(capsys, "render", *described(home), "--as", "crontab").splitlines()
    assert lines[1:3] == [
        f"{when} /bin/sh {home}/config/scitex-ssh/tunnels/2222/start" for when in ("@reboot", "* * * * *")
    ]


def test_one_that_stands_is_known_by_its_port_or_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its folder says all that the flags said; what does not stand is no tunnel."""
    forwards = ["-R", "[::1]:8080:web:80", "-R", "1080", "-L", "9000:db:1", "-D", "9001", "-R", "2300:/run/a"]
    flags = described(home, "--keeper", "nohup", "-n", "lab1", "--keepalive", "fast", *forwards)
    folder = home / "config/scitex-ssh/tunnels/lab1"
    folder.mkdir(parents=True)
    for form, file in (("ssh-config", "ssh_config"), ("json", "tunnel.json")):
        (folder / file).write_text(told(capsys, "render", *flags, "--as", form))
    for form in ("argv", "ssh-config", "json", "unit"):
        wanted = told(capsys, "render", *flags, "--as", form)
        assert told(capsys, "render", "-n", "lab1", "--as", form) == wanted
        assert told(capsys, "render", "-p", "2222", "--as", form) == wanted
    assert run(["render", "-p", "2223"]) == 1
    assert capsys.readouterr().err.endswith("[no-such-tunnel]\n")


def test_of_two_bastions_each_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, described or found by the port that both have."""
    flags = described(home, "-b", "gw2", "--keeper", "nohup")
    lines = told(capsys, "render", *flags).splitlines()
    assert [line.split()[-1] for line in lines] == ["gw.example.com", "gw2"]
    ends = [
        line for line in told(capsys, "render", *flags, "--as", "argv").splitlines() if line.startswith("gw")
    ]
    assert ends == ["gw.example.com", "gw2"]
    for name, bastion in (("2222", "tunnel@gw.example.com:443"), ("2222-2", "gw2")):
        folder = home / "config/scitex-ssh/tunnels" / name
        folder.mkdir(parents=True)
        alone = ["-p", "2222", "-n", name, "-b", bastion, "-s", str(home / "key"), "--keeper", "nohup"]
        for form, file in (("ssh-config", "ssh_config"), ("json", "tunnel.json")):
            (folder / file).write_text(told(capsys, "render", *alone, "--as", form))
    wanted = told(capsys, "render", *flags, "--as", "ssh-config")
    assert wanted.count("# bastion: ") == 2
    assert told(capsys, "render", "-p", "2222", "--as", "ssh-config") == wanted
    assert told(capsys, "render", "-n", "2222-2", "--as", "ssh-config") in wanted


def test_nothing_is_touched(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file comes, goes or changes, in any form; not when it is refused either."""
    with _unchanged(home):
        for form in ("argv", "shell", "unit", "crontab", "ssh-config", "json"):
            told(capsys, "render", *described(home), "--as", form)
        assert run(["render", *described(home, "-s", str(home / "away")), "--as", "ssh-config"]) == 10
        assert capsys.readouterr().err.endswith("[key-missing]\n")


def test_it_is_told_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object; the words as a list, where there are words."""
    said = json.loads(told(capsys, "render", *described(home), "--as", "argv", "--json"))
    assert (said["command"], said["argv"][0], said["argv"][-1]) == ("render", "ssh", "gw.example.com")
    assert told(capsys, "render", *described(home), "--as", "argv").splitlines() == said["argv"]
    assert "argv" not in json.loads(told(capsys, "render", *described(home), "--as", "unit", "--json"))


@contextmanager
def _unchanged(folder: Path) -> Iterator[None]:
    def seen() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns)
            for path in [folder, *folder.rglob("*"), Path("/etc/scitex-ssh"), Path("/etc/systemd/system")]
            if os.path.lexists(path)
        }

    before = seen()
    yield
    assert seen() == before
