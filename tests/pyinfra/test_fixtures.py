"""The cases of operations and facts, in a process of their own: pyinfra's command has gevent replace Python's
sockets, threads and processes, and other tests need theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyinfra")
HERE = Path(__file__).parent


def test_every_case_holds() -> None:
    """Arguments and facts in, commands or a reason for none out; words of a machine in, values out."""
    cases = len([*HERE.glob("operations/*/*.json"), *HERE.glob("facts/*/*.json")])
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "cases.py")
    done = subprocess.run(words, cwd=HERE.parents[1], capture_output=True, text=True, timeout=300)
    assert f"{cases + 1} passed" in done.stdout, done.stdout + done.stderr
