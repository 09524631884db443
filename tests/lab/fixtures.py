"""The lab for tests: `lab` is one run, `world` a workstation, a bastion and a client in it."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from .hosts import Host
from .lab import Lab
from .trees import SUITES, requirements
from .tunnels import install, sweep
from .world import World, inhabited

RUN = pytest.StashKey[Lab]()
SHARED = pytest.StashKey[Lab]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "suites(*names): run a test of `world` on these only.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that boots hosts."""
    for item in items:
        if {"lab", "world", "equipped"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("lab")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes, one has all that shares the hosts of a suite."""
    from xdist.scheduler import LoadScopeScheduling

    class BySuite(LoadScopeScheduling):  # type: ignore[misc]  # without types
        def _split_scope(self, nodeid: str) -> str:
            named = re.search(rf"\[({'|'.join(SUITES)})[-\]]", nodeid)
            if named is None:
                return "here"
            # Many tests choose this one alone: three parts, by file, so that none is the last for long.
            part = zlib.crc32(nodeid.partition("::")[0].encode()) % 3 if named[1] == "bookworm" else 0
            return f"{named[1]} {part}"

    return BySuite(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a world once a suite, unless it chooses its own."""
    chosen = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "world" in metafunc.fixturenames and not any("world" in names for names in chosen):
        metafunc.parametrize("world", _suites(metafunc), indirect=True, scope="module")
    if "equipped" in metafunc.fixturenames:
        metafunc.parametrize("equipped", _suites(metafunc), indirect=True, scope="session")


def _suites(metafunc: pytest.Metafunc) -> list[str]:
    selected = os.environ.get("SCITEX_SSH_LAB_SUITES", ",".join(SUITES)).split(",")
    mark = metafunc.definition.get_closest_marker("suites")
    return [suite for suite in selected if mark is None or suite in mark.args]


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Give the run that all tests of this session share."""
    _require()
    with Lab() as run:
        request.config.stash[RUN] = run
        yield run
        del request.config.stash[RUN]


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, lab: Lab) -> Iterator[World]:
    """Give the three hosts of a suite, to all tests of a module."""
    with inhabited(lab, request.param) as world:
        yield world


@pytest.fixture(scope="session")
def equipped(request: pytest.FixtureRequest) -> Iterator[World]:
    """Give a world whose workstation has the command and the generic scripts, to all tests that are content
    with a host on which other tunnels have stood before."""
    _require()
    with Lab() as run:
        request.config.stash[SHARED] = run
        with inhabited(run, request.param) as world:
            install(world.workstation)
            for host in (world.workstation, world.bastion):
                _forgive(host)
            yield world
        del request.config.stash[SHARED]


def _forgive(host: Host) -> None:
    """Have a host's sshd hold nothing against anybody: from 9.8 on it drops who comes as often as a test."""
    conf = "/etc/ssh/sshd_config.d/forgive.conf"
    host.sh(f"echo 'PerSourcePenalties no' >{conf}; sshd -t 2>/dev/null || rm {conf}; systemctl restart ssh")


@pytest.fixture
def desk(equipped: World) -> Iterator[World]:
    """Give such a world to one test, and remove whatever tunnels the test leaves."""
    yield equipped
    sweep(equipped)


def _require() -> None:
    reason = _obstacle()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def _obstacle() -> str:
    """Tell in a sentence why no lab can be here, or nothing."""
    if os.geteuid() != 0:
        return "The lab boots real hosts, which takes root."
    missing = requirements().missing
    return f"The lab needs: apt-get install {' '.join(missing)}." if missing else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the logs of all hosts as they are when a test fails."""
    report = yield
    for key in (RUN, SHARED):
        run = item.config.stash.get(key, None)
        if report.failed and run is not None:
            folder = run.save_logs(re.sub(r"[^\w.-]+", "_", item.nodeid))
            report.sections.append(("Lab logs", str(folder)))
    return report
