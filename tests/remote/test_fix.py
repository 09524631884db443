"""doctor --fix puts right what is safe to, when somebody says yes, and doctor alone nothing."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import pytest

import scitex_ssh
from scitex_ssh.cli import fix as offers
from scitex_ssh.health import mend
from scitex_ssh.health.fixes import Fix, Way, fix
from scitex_ssh.model import Destination
from scitex_ssh.plan import report
from tests.remote.there import There


def doctor(key: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Nobody listens there, so that no offer is about the known_hosts of whoever runs the tests.
    bastion = f"{getpass.getuser()}@127.0.0.1:1"
    argv = [sys.executable, "-m", "scitex_ssh", "doctor", "-b", bastion, "-s", str(key), *words]
    return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


def failed(done: subprocess.CompletedProcess[str] | scitex_ssh.Result) -> str | None:
    """The slug of the first check that failed."""
    said = dict(done) if isinstance(done, scitex_ssh.Result) else json.loads(done.stdout)
    checks = said["checks"]
    return next((each["slug"] for each in checks if each["verdict"] == "failed"), None)


@pytest.fixture
def key(there: There, tmp_path: Path) -> Path:
    """A key that everybody can read."""
    path = tmp_path / "key"
    path.write_bytes((there.folder / "key").read_bytes())
    path.chmod(0o644)
    return path


def test_nothing_is_changed_unless_somebody_says_yes(key: Path) -> None:
    """Neither by doctor, nor by an offer that nobody can answer; then by --yes, and it is looked at again."""
    assert failed(doctor(key, "--json")) == "key-too-open"
    offered = doctor(key, "--json", "--fix")
    assert "Can be fixed: nobody else can read" in offered.stderr
    assert "--yes does it" in offered.stderr
    assert (offered.returncode, failed(offered), key.stat().st_mode & 0o777) == (50, "key-too-open", 0o644)
    fixed = doctor(key, "--json", "--fix", "--yes")
    assert key.stat().st_mode & 0o777 == 0o600, fixed.stderr
    # The next cause is nothing that could be fixed, and is told.
    assert (fixed.returncode, failed(fixed)) == (50, "bastion-refused")


def test_the_bastion_is_known_by_the_keys_that_it_shows(
    there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fingerprint is shown, its line is added behind the others, and ssh then takes it."""
    monkeypatch.setattr(os.path, "expanduser", lambda _: str(tmp_path))
    known = tmp_path / ".ssh/known_hosts"
    known.parent.mkdir()
    known.write_text("other ssh-ed25519 AAAA\n")
    offer = fix("host-key-unknown", Way(Destination.parse(f"127.0.0.1:{there.port}"), "/k", ""))
    assert offer is not None
    command = ["ssh-keygen", "-l", "-f", str(there.folder / "host_key.pub")]
    wanted = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]
    assert wanted in offer.shown
    assert known.read_text() == "other ssh-ed25519 AAAA\n"
    assert offer.apply() == ""
    first, *rest = known.read_text().splitlines()
    blob = (there.folder / "host_key.pub").read_text().split()[1]
    assert first == "other ssh-ed25519 AAAA"
    assert rest == [f"[127.0.0.1]:{there.port} ssh-ed25519 {blob}"]


def test_a_host_key_is_not_taken_by_a_general_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody has to see it first, or say that it need not be seen."""
    known = tmp_path / "known"
    offer = Fix("gw is known", ("sh", "-c", f"cat >{known}"), "line\n", "  SHA256:x (ED25519)\n")
    monkeypatch.setattr(mend, "fix", lambda *_: offer)
    check = report.Check("host-key", "", "failed", "", "host-key-unknown", "", "")
    found = report.Report([check], 50)
    way = Way(Destination.parse("gw"), "/k", "")

    def mended(*, yes: bool = False, accept_new: bool = False) -> report.Report:
        take = partial(offers.taken, yes=yes, accept_new=accept_new, asking=False)
        return mend.mend(found, lambda: found, lambda _: way, take, lambda _: None)

    assert mended(yes=True).events == []
    assert not known.exists()
    said = capsys.readouterr().err
    assert "SHA256:x" in said
    assert "--accept-new-host-key does it" in said
    done = mended(accept_new=True)
    assert [each.title for each in done.events] == ["gw is known"]
    assert known.read_text() == "line\n"


def test_python_puts_right_what_the_command_does(key: Path, tmp_path: Path) -> None:
    """With a yes to all, or asked for each; what was done is in the result, and in the archive of it."""
    way = (None, f"{getpass.getuser()}@127.0.0.1:1", str(key))
    offered: list[Fix] = []
    left = scitex_ssh.doctor(*way, fix=lambda offer: bool(offered.append(offer)))
    assert [each.title for each in offered] == [f"nobody else can read {key}"]
    assert (left.changed, key.stat().st_mode & 0o777) == (False, 0o644)
    mended = scitex_ssh.doctor(*way, fix=True)
    assert (mended.changed, key.stat().st_mode & 0o777) == (True, 0o600)
    assert mended["events"] == [
        {"tunnel": "", "event": "changed", "step": f"nobody else can read {key}"},
    ]
    # The next cause is nothing that could be fixed, and is told.
    assert (mended.status, failed(mended)) == (50, "bastion-refused")
    archive = scitex_ssh.bundle(tmp_path / "support.tar.gz", mended)
    with tarfile.open(archive) as opened:
        words = opened.extractfile("scitex-ssh-support/doctor.txt")
        assert words is not None
        assert b"[bastion-refused]" in words.read()


def test_what_others_can_write_to_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Home, .ssh and authorized_keys, those of them that are open; nothing else changes."""
    monkeypatch.setattr(os.path, "expanduser", lambda _: str(tmp_path / "home"))
    keys = tmp_path / "home/.ssh/authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("")
    for path, mode in ((keys, 0o664), (keys.parent, 0o755), (keys.parents[1], 0o777)):
        path.chmod(mode)
    way = Way(Destination.parse("gw"), "/k", "")
    offer = fix("home-too-open", way)
    assert offer is not None
    assert offer.argv == ("chmod", "go-w", str(keys.parents[1]), str(keys))
    assert offer.apply() == ""
    assert [path.stat().st_mode & 0o777 for path in (keys, keys.parent, keys.parents[1])] == [
        0o644,
        0o755,
        0o755,
    ]
    assert fix("home-too-open", way) is None


@pytest.mark.parametrize(
    ("slug", "own", "words"),
    [
        ("unit-disabled", True, ["systemctl", "--user", "enable", "--now", "u.service"]),
        ("unit-disabled", False, ["systemctl", "enable", "--now", "u.service"]),
        ("linger-missing", True, ["loginctl", "enable-linger", "root"]),
    ],
)
def test_what_is_offered_is_one_command(slug: str, own: bool, words: list[str]) -> None:
    """The same that the error's next move names."""
    offer = fix(slug, Way(Destination.parse("gw"), "/k", "root", "u.service", own))
    assert offer is not None
    assert [word for word in offer.argv if word != "sudo"] == words


@pytest.mark.parametrize("slug", ["host-key-changed", "key-locked", "port-taken", "unit-masked", ""])
def test_what_a_person_has_to_decide_is_not_offered(slug: str) -> None:
    """Least of all a host key that is not the one of before."""
    assert fix(slug, Way(Destination.parse("gw"), "/k", "root", "u.service")) is None
