"""The support archive can be read by a person, and holds no secret."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from scitex_ssh.health import bundle, standing


@pytest.fixture
def tunnels(tmp_path: Path) -> Path:
    """A tunnel's folder with a real key behind its link, and the same key pasted into a file by mistake."""
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "hunter2", "-f", key], check=True)
    folder = tmp_path / "tunnels/2222"
    folder.mkdir(parents=True)
    (folder / "key").symlink_to(key)
    (folder / "ssh_config").write_text("# on_up: curl http://h/t0ken\nHost tunnel\n")
    (folder / "tunnel.json").write_text('{\n  "on_up": "curl \\"t0ken\\"",\n  "on_down": ""\n}\n')
    (folder / "known_hosts").write_text(f"bastion ssh-ed25519 AAAA\n{key.read_text()}after\n")
    return folder.parent


def test_no_private_key_gets_in(tunnels: Path, tmp_path: Path) -> None:
    """Neither by its link nor by a mistake; what stands around it does."""
    path = tmp_path / "support.tar.gz"
    bundle.write(
        path, bundle.contents({"checks": []}, {"tunnels": []}, "ok  all\n", standing.tunnels(tunnels))
    )
    with tarfile.open(path) as archive:
        files = {
            each.name: (archive.extractfile(each) or archive.fileobj).read().decode()  # type: ignore[union-attr]
            for each in archive.getmembers()
        }
    secret = (tmp_path / "id").read_text().splitlines()
    everything = "\n".join(files.values())
    assert not any(line in everything for line in secret)
    assert "hunter2" not in everything
    assert "t0ken" not in everything
    assert files["scitex-ssh-support/tunnels/2222/tunnel.json"] == (
        '{\n  "on_up": "[a command was here]",\n  "on_down": ""\n}\n'
    )
    assert files["scitex-ssh-support/tunnels/2222/known_hosts"] == (
        "bastion ssh-ed25519 AAAA\n[a private key was here]\nafter\n"
    )
    assert files["scitex-ssh-support/doctor.txt"] == "ok  all\n"
    assert "Look through it" in files["scitex-ssh-support/README.txt"]
    assert not any(name.endswith("/key") for name in files)


def test_it_is_the_owners_alone_and_nothing_is_left_of_one_that_failed(tmp_path: Path) -> None:
    """Mode 600; a folder that does not exist is an error and nothing else."""
    path = tmp_path / "support.tar.gz"
    bundle.write(path, {"README.txt": "x"})
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileNotFoundError, match=r"'[^']*/away/support\.tar\.gz'"):
        bundle.write(tmp_path / "away/support.tar.gz", {})
    assert [*tmp_path.iterdir()] == [path]


def test_what_a_hook_prints_and_a_drop_in_says_is_not_told(tmp_path: Path) -> None:
    """The hook's command and its tokens wherever they stand, values of the environment, logins of a proxy."""
    folder = tmp_path / "tunnels/2222"
    folder.mkdir(parents=True)
    tunnel = standing.Standing(folder, {"on_up": "curl -H 'X-Auth: t0ken/abc+DEF'"}, "nohup", tmp_path)
    log = "\n".join(
        [
            "sh -c curl -H 'X-Auth: t0ken/abc+DEF'",
            "curl: no host t0ken/abc+DEF",
            "Environment=A=t0ken2 B=c",
            "over http://me:t0ken3@proxy:3128",
            "debug1: stays, 2222",
        ]
    )
    (tmp_path / "log").write_text(log)
    assert bundle.contents({}, {}, "", [tunnel])["tunnels/2222/log.txt"].splitlines() == [
        "sh -c [a command was here]",
        "curl: no host [a word of a command was here]",
        "Environment=[values were here]",
        "over http://[a login was here]@proxy:3128",
        "debug1: stays, 2222",
    ]
