"""How the proof's own ssh exchanges keys."""

from __future__ import annotations

import pytest

from tests.shell.shells import Shell, prelude

QUICK = "-o KexAlgorithms=^curve25519-sha256"


@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("OpenSSH_7.9p1 Debian-10", ""),
        ("OpenSSH_8.4p1 Debian-5", ""),
        ("OpenSSH_9.2p1 Debian-2", QUICK),
        ("OpenSSH_10.0p2 Debian-7", ""),
        ("OpenSSH_for_Windows_9.5p1", ""),
    ],
)
def test_keys_are_exchanged_quickly_where_that_is_not_the_default(
    shell: Shell, version: str, option: str
) -> None:
    """Older ones prefer curve25519 anyhow, newer ones mlkem768, which costs nothing."""
    answer = shell.run(f"{prelude()}\nssh() {{ echo '{version}' >&2; }}\nfind_quick; echo \"$quick\"")
    assert (answer.stdout, answer.stderr) == (f"{option}\n", "")


@pytest.mark.parametrize("dial", ["dial", "dial_proxy"])
def test_every_dial_knows_its_way(shell: Shell, dial: str) -> None:
    """Of a tunnel to a host without SSH and of a reverse SOCKS proxy, each the first that is asked of."""
    values = "t_user=$me t_folder=/f t_dial=localhost t_port=2222 t_target=localhost:22 t_kind=remote"
    stubs = """
    as_user() { echo "$*" >"$work/said"; }
    keep_target_keys() { : >"$1"; }
    sleep() { :; }
    ssh() { echo OpenSSH_9.2p1 >&2; }
    """
    script = f'work=$(mktemp -d); {values}; {stubs}\n{dial} alone localhost; cat "$work/said"; rm -r "$work"'
    answer = shell.run(f"{prelude()}\n{script}")
    said = f"ssh {QUICK} -F /f/ssh_config -W localhost:2222 bastion\n"
    assert (answer.stdout, answer.stderr) == (said, ""), answer
