"""Files to, from and between other machines, by a real sshd and its SFTP."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scitex_ssh
from scitex_ssh.errors import PolicyError, SSHError
from scitex_ssh.remote.copy import Spot
from scitex_ssh.remote.sync import Pair
from tests.remote.there import There

NAMES = [
    "plain",
    "two words",
    "-rf",
    "*.[a]?",
    "new\nline",
    "tab\t'quote\"",
    "$(id)`x`",
    "ünï",
    "a:b",
    "\udcff raw",
]


def left(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_goes_there_and_back(there: There, tmp_path: Path, name: str) -> None:
    """No name is taken for a pattern, a flag, a host or a command, and every byte arrives."""
    data = bytes(range(256)) * 700
    here, away, back = (tmp_path / each for each in ("here", "away", "back"))
    for folder in (here, away, back):
        folder.mkdir()
    (here / name).write_bytes(data)
    done = scitex_ssh.copy_files([f"{here}/{name}"], f"there:{away}", ssh_opts=there.opts, check=True)
    assert (done.files, done.sent) == (1, len(data))
    scitex_ssh.copy_files([f"there:{away}/{name}"], f"{back}/", ssh_opts=there.opts, check=True)
    assert (back / name).read_bytes() == data
    assert left(away) == left(back) == [name]


@settings(max_examples=10)
@given(data=st.binary(max_size=200), more=st.integers(0, 3))
def test_any_size_arrives(there: There, tmp_path: Path, data: bytes, more: int) -> None:
    """Also what is just below, at and above a block."""
    content = data + bytes(32768 * more)
    (tmp_path / "a").write_bytes(content)
    scitex_ssh.copy_files([f"there:{tmp_path}/a"], f"there2:{tmp_path}/b", ssh_opts=there.opts, check=True)
    assert (tmp_path / "b").read_bytes() == content


def test_a_tree_arrives_whole(there: There, tmp_path: Path) -> None:
    """Folders, empty ones too, links followed, modes and times kept; a link that goes round is told."""
    tree = tmp_path / "tree"
    (tree / "sub" / "empty").mkdir(parents=True)
    (tree / "sub" / "run").write_text("#!/bin/sh\n")
    (tree / "sub" / "run").chmod(0o750)
    os.utime(tree / "sub" / "run", (1_000_000_000, 1_100_000_000))
    (tree / "link").symlink_to("sub/run")
    refused = there.cli("copy", str(tree), f"there:{tmp_path}/copy")
    assert (refused.returncode, b"[copy-failed]" in refused.stderr, b"add -r" in refused.stderr) == (
        1,
        True,
        True,
    )
    done = there.cli("copy", "-rp", str(tree), f"there:{tmp_path}/copy")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    made = tmp_path / "copy" / "sub" / "run"
    assert (made.stat().st_mode & 0o777, int(made.stat().st_mtime)) == (0o750, 1_100_000_000)
    assert (tmp_path / "copy" / "sub" / "empty").is_dir()
    assert (tmp_path / "copy" / "link").read_text() == "#!/bin/sh\n"
    # Into a folder that is there, under its own name.
    assert there.cli("copy", "-r", str(tree), f"there:{tmp_path}/copy").returncode == 0
    assert left(tmp_path / "copy") == ["link", "sub", "tree"]
    (tree / "round").symlink_to(".")
    os.mkfifo(tree / "pipe")
    looped = scitex_ssh.copy_files(
        [str(tree)], f"there:{tmp_path}/again", recursive=True, ssh_opts=there.opts
    )
    assert [each.slug for each in looped.failed] == ["copy-failed"] * 2
    assert {"round", "pipe"} == {
        each.facts["path"].split(":")[0].rsplit("/", 1)[1].strip("'") for each in looped.failed
    }
    assert looped.files == 2


def test_patterns_and_homes(there: There, tmp_path: Path) -> None:
    """A pattern of the far side is looked up there; one that finds nothing is told."""
    for name in ("a.dat", "b.dat", ".c.dat", "d.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "to").mkdir()
    assert there.cli("copy", f"there:{tmp_path}/*.dat", str(tmp_path / "to")).returncode == 0
    assert left(tmp_path / "to") == ["a.dat", "b.dat"]
    done = there.cli("copy", f"there:{tmp_path}/*.none", str(tmp_path / "to"))
    assert (done.returncode, b"no such file" in done.stderr) == (1, True)
    assert Spot.of("host:").path == Spot.of("host:~").path == "."
    assert Spot.of("host:~/a").path == "a"
    assert Spot.of("./a:b").way is None
    assert Spot.of("[::1]:x").path == "x"


def test_what_is_written_over_stays_itself(there: There, tmp_path: Path) -> None:
    """A link stays a link, a mode stays, and until the new one is whole the old one is there."""
    (tmp_path / "new").write_text("new")
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    scitex_ssh.copy_files([str(tmp_path / "new")], f"there:{tmp_path}/link", ssh_opts=there.opts, check=True)
    assert (tmp_path / "link").is_symlink()
    assert ((tmp_path / "real").read_text(), (tmp_path / "real").stat().st_mode & 0o777) == ("new", 0o600)
    assert there.cli("copy", str(tmp_path / "new"), "there:/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()


def test_an_interrupted_copy_goes_on(there: There, tmp_path: Path) -> None:
    """Ended in the middle, it leaves no process and no half file under the name; --resume sends the rest."""
    data = os.urandom(1 << 20) * 200
    (tmp_path / "big").write_bytes(data)
    process = subprocess.Popen(there.argv("copy", str(tmp_path / "big"), f"there:{tmp_path}/target"))
    part = tmp_path / ".target.scitex-ssh-part"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size > 1 << 22):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert not (tmp_path / "target").exists()
    had = part.stat().st_size
    assert 0 < had < len(data)
    done = json.loads(
        there.cli("copy", "--json", "--resume", str(tmp_path / "big"), f"there:{tmp_path}/target").stdout
    )
    assert (done["files"], done["bytes"] + had) == (1, len(data))
    assert hashlib.sha256((tmp_path / "target").read_bytes()).digest() == hashlib.sha256(data).digest()
    # Another file under the same name is no begin of this one.
    part.write_bytes(b"x" * 100)
    scitex_ssh.copy_files(
        [str(tmp_path / "big")], f"there:{tmp_path}/target", resume=True, ssh_opts=there.opts, check=True
    )
    assert (tmp_path / "target").read_bytes() == data
    assert not part.exists()


def test_a_full_disk_is_told_and_leaves_nothing(there: There, tmp_path: Path, full_disk: Path) -> None:
    """The cause is named at the right path; what was there before is still there."""
    (tmp_path / "big").write_bytes(bytes(1 << 20))
    done = scitex_ssh.copy_files([str(tmp_path / "big")], f"there:{full_disk}/big", ssh_opts=there.opts)
    assert (done.returncode, done.files) == (1, 0)
    assert done.failed[0].facts["path"].startswith("'there:/")
    assert "no space left" in done.failed[0].sentence
    assert left(full_disk) == []


def test_misuse_and_refusals(there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear error each, and nothing touched."""
    (tmp_path / "a").write_text("a")
    for words, slug in [
        ((str(tmp_path / "a"), str(tmp_path / "b")), b"[usage]"),
        ((str(tmp_path / "none"), f"there:{tmp_path}/b"), b"[copy-failed]"),
        ((str(tmp_path / "a"), f"there:{tmp_path}/none/"), b"[copy-failed]"),
        ((str(tmp_path / "a"), f"nowhere.invalid:{tmp_path}/b"), b"[bastion-unresolved]"),
        ((str(tmp_path / "a"), "-x:y"), b"usage"),
    ]:
        done = there.cli("copy", *words)
        assert done.returncode != 0
        assert slug in done.stderr, done.stderr
        assert b"Traceback" not in done.stderr
    assert left(tmp_path) == ["a"]
    config = tmp_path / "config.yaml"
    config.write_text("default:\n  copy: deny\n")
    monkeypatch.setenv("SCITEX_SSH_CONFIG", str(config))
    with pytest.raises(PolicyError):
        scitex_ssh.copy_files([str(tmp_path / "a")], f"there:{tmp_path}/b", ssh_opts=there.opts)


def test_no_sftp_is_told(there: There, tmp_path: Path) -> None:
    """A server without it, or whose shell speaks first."""
    (tmp_path / "a").write_text("a")
    opts = [*there.opts, "-o", "RemoteCommand=none"]
    (tmp_path / "ssh").write_text("#!/bin/sh\necho Welcome to the machine!; exec cat >/dev/null\n")
    (tmp_path / "ssh").chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{path}"
    try:
        done = scitex_ssh.copy_files([str(tmp_path / "a")], f"there:{tmp_path}/b", ssh_opts=opts)
    finally:
        os.environ["PATH"] = path
    assert done.error is not None
    assert done.error.slug == "sftp-missing"


def test_a_folder_is_made_equal(there: There, tmp_path: Path) -> None:
    """By rsync: both directions, patterns left alone, and nothing deleted unseen."""
    here, away = tmp_path / "here dir", tmp_path / "away"
    here.mkdir()
    for name in NAMES:
        (here / name).write_text(name, errors="surrogateescape")
    (here / "skip.tmp").write_text("")
    done = there.cli("sync", f"{here}/", f"there:{away}", "--exclude", "*.tmp")
    assert done.returncode == 0, done.stderr
    assert left(away) == sorted(NAMES)
    assert there.cli("sync", f"{here}/", f"there:{away}", "--exclude", "*.tmp").stdout == b""
    (away / "stray").write_text("")
    refused = there.cli("sync", "--delete", f"{here}/", f"there:{away}")
    assert (refused.returncode, b"[sync-deletes]" in refused.stderr) == (3, True)
    assert (away / "stray").exists()
    shown = json.loads(
        there.cli("sync", "--delete", "--dry-run", "--json", f"{here}/", f"there:{away}").stdout
    )
    assert "*deleting   stray" in shown["changes"]
    assert there.cli("sync", "--delete", "--yes", f"{here}/", f"there:{away}").returncode == 0
    assert not (away / "stray").exists()
    result = scitex_ssh.sync_dir(f"there:{away}/", str(tmp_path / "back"), ssh_opts=there.opts, check=True)
    assert result.success
    assert left(tmp_path / "back") == sorted([*NAMES, "skip.tmp"])


@pytest.mark.parametrize(("command", "made"), [("copy", "away"), ("sync", "away/file")])
def test_over_a_jump_host(there: There, tmp_path: Path, command: str, made: str) -> None:
    """Only over it: what is not there is named, and nothing arrives."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here/file").write_text("content")
    source = f"{tmp_path}/here/" if command == "sync" else f"{tmp_path}/here/file"
    words = (source, f"there2:{tmp_path}/away")
    lost = there.cli(command, "-J", "nowhere.invalid", *words)
    assert (lost.returncode, b"[bastion-unresolved]" in lost.stderr) == (20, True), lost
    assert left(tmp_path) == ["here"]
    done = there.cli(command, "-J", "there", *words)
    assert done.returncode == 0, done
    assert (tmp_path / made).read_text() == "content"


def test_no_rsync_is_told(there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is not in the PATH; there a shell says so, each in its own words."""
    (tmp_path / "bin").mkdir()
    for name in ("ssh", "sh"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    pair = Pair.of(f"{tmp_path}/", "there:b")
    for shell in filter(None, map(shutil.which, ("dash", "bash", "busybox"))):
        argv = [shell, *(["sh"] if shell.endswith("busybox") else []), "-c", "PATH=/nowhere; rsync --server"]
        said = subprocess.run(argv, capture_output=True, text=True)
        problem = pair.problem(said.returncode, "", said.stderr)
        assert problem is not None
        assert (problem.slug, problem.facts["host"]) == ("rsync-missing", "there"), said.stderr
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    missing = scitex_ssh.sync_dir(f"{tmp_path}/bin/", f"there:{tmp_path}/b", ssh_opts=there.opts)
    assert missing.error is not None
    assert (missing.error.slug, missing.error.facts["host"]) == ("rsync-missing", "this machine")


def test_why_a_sync_failed_is_told(there: There, tmp_path: Path) -> None:
    """No host, no rsync, no folder."""
    for words, slug in [
        ((f"{tmp_path}/", f"nowhere.invalid:{tmp_path}/b"), "bastion-unresolved"),
        ((f"{tmp_path}/none/", f"there:{tmp_path}/b"), "sync-failed"),
        ((f"{tmp_path}/", f"{tmp_path}/b"), "usage"),
    ]:
        done = there.cli("sync", *words)
        assert done.returncode != 0
        assert f"[{slug}]".encode() in done.stderr, done.stderr
    with pytest.raises(SSHError):
        scitex_ssh.sync_dir(f"{tmp_path}/none/", f"there:{tmp_path}/b", ssh_opts=there.opts, check=True)
