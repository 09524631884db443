"""Importing the package is cheap, and what one machine needs is in the standard library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import scitex_ssh

ROOT = Path(scitex_ssh.__file__).parents[1]


def loaded(statement: str) -> set[str]:
    """The modules that are there after a statement, in a Python that sees no installed package."""
    program = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_importing_the_package_loads_next_to_nothing() -> None:
    """`import scitex_ssh` adds itself and what typing needs, nothing else."""
    assert loaded("import scitex_ssh") - loaded("import typing, __future__") == {"scitex_ssh"}


CORE = ["errors", "model", "render", "plan.program", "plan.report", "keepers", "backends.shell"]


@pytest.mark.parametrize("name", CORE)
def test_the_core_needs_the_standard_library_only(name: str) -> None:
    """It works in a Python without one installed package, and starts no process and no socket."""
    modules = loaded(f"import scitex_ssh.{name}")
    assert f"scitex_ssh.{name}" in modules
    assert modules & {"click", "pyinfra", "yaml", "asyncio", "subprocess", "socket"} == set()


def test_the_python_interface_needs_the_standard_library_only() -> None:
    """No call of it needs an installed package before it is made."""
    every = "import scitex_ssh\nfor name in scitex_ssh.__all__: getattr(scitex_ssh, name)"
    modules = loaded(every)
    assert {"scitex_ssh.api", "scitex_ssh.keys", "scitex_ssh.fleets"} <= modules
    assert modules & {"click", "pyinfra", "yaml", "gevent", "asyncio"} == set()


def test_a_command_elsewhere_loads_nothing_of_set_up() -> None:
    """Whoever runs many commands pays for the start of each."""
    program = (
        "import sys; from scitex_ssh.cli import entry\n"
        "entry.run(['exec', '--dry-run', 'there', 'true']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    modules = set(done.stdout.split())
    assert "scitex_ssh.remote.command" in modules
    assert (
        modules & {"scitex_ssh.api", "scitex_ssh.keepers", "scitex_ssh.backends", "yaml", "pyinfra"} == set()
    )
