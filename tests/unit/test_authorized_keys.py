"""The line of a tunnel's key says what sshd reads as: hold and dial these ports, nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scitex_ssh.errors import InputError
from scitex_ssh.model.port import Port
from scitex_ssh.render.authorized_keys import SESSION, PublicKey, line

BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIGu0Ug8w5LhEYbPS9nLd8TVWhoQ2GCTQoLlNvAbfQVoB"
KEY = PublicKey("ssh-ed25519", BLOB)


def test_the_line_holds_and_dials_its_ports_only() -> None:
    """Every option, in full."""
    assert line("lab1", [Port(2201)], KEY) == (
        'restrict,port-forwarding,permitlisten="localhost:2201",permitopen="localhost:2201",'
        f'command="exec {SESSION} 2201 {KEY.id}" ssh-ed25519 {BLOB} scitex-ssh-lab1'
    )


def test_several_ports_stand_in_one_line() -> None:
    """sshd uses the first line of a key, so all its ports have to be in that one."""
    said = line("lab1", [Port(2201), Port(2301)], KEY)
    assert 'permitlisten="localhost:2201",permitopen="localhost:2201",permitlisten="localhost:2301"' in said
    assert f'command="exec {SESSION} 2201,2301 {KEY.id}"' in said


def test_the_ids_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    """The MD5 that the client names its key by, and the fingerprint that people compare."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    key = PublicKey.parse((tmp_path / "key.pub").read_text())

    def said(kind: str) -> str:
        command = ["ssh-keygen", "-l", "-E", kind, "-f", tmp_path / "key.pub"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]

    assert said("md5") == "MD5:" + ":".join(key.id[i : i + 2] for i in range(0, 32, 2))
    assert said("sha256") == key.fingerprint


def test_a_comment_is_left_behind() -> None:
    """What stands behind the key is anybody's text, and goes into no file."""
    assert PublicKey.parse(f"ssh-ed25519 {BLOB} me@here $(id)\n") == KEY


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "ssh-ed25519",
        BLOB,
        f"ssh-rsa {BLOB}",
        f"ssh-ed25519 {BLOB[:-4]}\nssh-ed25519 {BLOB}",
        f'command="id" ssh-ed25519 {BLOB}',
        f"ssh-ed25519 {BLOB[:20]}!{BLOB[20:]}",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_what_is_no_public_key_is_refused(text: object) -> None:
    """With the reason, and never with a private key in the message."""
    with pytest.raises(InputError) as caught:
        PublicKey.parse(text)
    assert caught.value.slug == "bad-public-key"
    assert "PRIVATE" not in str(caught.value)
