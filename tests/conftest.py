"""What every test may count on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.shell.shells import NAMES, Shell, busybox_applets, missing

# Here and not in tests/lab: documents are tried in the lab, too, and two copies of a fixture are two labs.
pytest_plugins = ["tests.met", "tests.lab.fixtures", "tests.lab.score"]

# Many examples start real shells, and a busy machine makes their time say nothing. In CI the examples
# are the same in every run: what failed there can be run again.
settings.register_profile(
    "scitex",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("scitex")


@pytest.fixture(scope="session")
def applets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every command of busybox, as on a machine that has no other."""
    return busybox_applets(tmp_path_factory.mktemp("busybox"))


@pytest.fixture(scope="session", params=NAMES)
def shell(request: pytest.FixtureRequest) -> Shell:
    """Each POSIX shell that the programs must run under."""
    if missing(request.param):
        pytest.skip(f"{request.param} is not installed")
    if request.param == "busybox":
        return Shell.named(request.param, request.getfixturevalue("applets"))
    return Shell.named(request.param)


@pytest.fixture(scope="session")
def every_shell(applets: Path) -> list[Shell]:
    """The POSIX shells of this machine, for tests that compare them."""
    present = [name for name in NAMES if not missing(name)]
    return [Shell.named(name, applets if name == "busybox" else None) for name in present]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system without a free byte; needs root."""
    place = tmp_path / "full"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
