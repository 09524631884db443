"""The first block of the README, run as it stands."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from . import pages


def test_the_demo_says_what_the_readme_shows() -> None:
    """Whoever copies the first command of the README sees what is printed below it."""
    if not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"):
        pytest.skip("sshd is not installed (package openssh-server)")
    block = next(block for block in pages.blocks(pages.ROOT / "README.md") if block.language == "console")
    (call,) = pages.calls(block)
    assert call.command == "./build/dev demo"
    done = subprocess.run(call.command.split(), cwd=pages.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert pages.matches(call.output, done.stdout), done.stdout
