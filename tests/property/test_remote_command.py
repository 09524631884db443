"""The remote command means the same to every login shell that an account on the bastion may have."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitex_ssh.render.take_back import one_line, remote_command, source
from scitex_ssh.render.template import Template

LOGIN_SHELLS = ["sh", "dash", "bash", "busybox sh", "csh", "tcsh", "fish", "zsh", "ksh", "mksh"]
KEY_ID = "0123456789abcdef0123456789abcdef"


def sent(word: str, port: int = 2222) -> str:
    """What ssh sends to the bastion, its percents read."""
    command = Template(remote_command(word)).fill({"mark": str(port), "key_id": KEY_ID})
    assert command.replace("%%", "").count("%") == 0
    return command.replace("%%", "%")


@pytest.mark.parametrize("word", ["hold", "release"])
def test_it_is_one_line_and_one_word_of_a_shell(word: str) -> None:
    """No line break ends it early, and no quote but the two around the program."""
    command = sent(word)
    assert command.isprintable()
    assert command.isascii()
    assert command.count("'") == 2
    assert command.split("'")[::2] == ["exec sh -c ", f" scitex-ssh {word} 2222 {KEY_ID}"]


def test_it_fits_everywhere() -> None:
    """A command line of 4096 bytes is what every login shell and sshd of the last decades takes."""
    assert len(sent("release", 65535)) < 4096


def test_a_backslash_would_mean_another_thing_to_fish() -> None:
    """fish reads a backslash even in single quotes, so the program has none."""
    assert "\\" not in one_line(source())


@given(port=st.integers(1, 65535), word=st.sampled_from(["hold", "release"]))
def test_only_the_gaps_differ(port: int, word: str) -> None:
    """Port and word are all that distinguishes two tunnels' commands of one key."""
    assert sent(word, port) == sent("W", 0).replace(" W 0 ", f" {word} {port} ")


@pytest.mark.parametrize("login", LOGIN_SHELLS)
def test_any_login_shell_runs_it(login: str, tmp_path: Path) -> None:
    """An account whose shell is csh or fish frees its port like any other."""
    program, *rest = login.split()
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [program, *rest, "-c", sent("release")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("scitex-ssh nothing \n", "", 0)
