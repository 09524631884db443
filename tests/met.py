"""Which errors a run of the tests has really met: raised in Python, or printed by a program."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from scitex_ssh.errors import CATALOGUE, SSHError

MET = pytest.StashKey[set[str]]()
# In words, to machines, as a check of doctor, as the cause in status.
_PRINTED = re.compile(
    rb'^  \[([a-z-]+)\]\r?$|^(?:error|warning)\t[^\t]*\t([a-z-]+)|"(?:slug|cause)": "([a-z-]+)"'
    rb"|\t(?:slug|cause)=([a-z-]+)",
    re.MULTILINE,
)
# Those only look at the words of the catalogue.
_LOOKERS = ("tests/unit/test_errors.py", "tests/unit/test_causes.py", "tests/docs/")


class Meeting:
    """Listens to the tests of this process."""

    def __init__(self) -> None:
        self.met: set[str] = set()
        self.listening = False

    def listen(self) -> None:
        """Hear of every error from now on."""
        raised, told = SSHError.__init__, subprocess.Popen.communicate

        def init(error: SSHError, slug: str, *words: Any, **facts: Any) -> None:
            if self.listening:
                self.met.add(slug)
            raised(error, slug, *words, **facts)

        def communicate(process: Any, *words: Any, **more: Any) -> Any:
            said = told(process, *words, **more)
            for text in said:
                self.hear(text)
            return said

        SSHError.__init__ = init  # type: ignore[method-assign]
        subprocess.Popen.communicate = communicate  # type: ignore[method-assign]

    def hear(self, text: Any) -> None:
        """The slugs in what a program printed, on whichever machine."""
        if not self.listening:
            return
        if isinstance(text, str):
            text = text.encode("utf-8", "replace")
        for groups in _PRINTED.findall(text or b""):
            self.met.update(each.decode() for each in groups if each)


MEETING = Meeting()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen."""
    config.stash[MET] = set()
    MEETING.listen()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Listen while a test runs that can meet an error."""
    MEETING.listening = not item.nodeid.startswith(_LOOKERS)
    try:
        return (yield)
    finally:
        MEETING.listening = False


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Of a process that ran some of the tests: what it met."""
    node.config.stash[MET].update(getattr(node, "workeroutput", {}).get("met", ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of one of several processes: pass it on."""
    config = session.config
    config.stash[MET].update(MEETING.met & set(CATALOGUE))
    if hasattr(config, "workeroutput"):
        config.workeroutput["met"] = sorted(config.stash[MET])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """How many errors of the catalogue were met, and of a run of all tests which were not."""
    met = config.stash[MET]
    terminalreporter.write_line(f"errors of the catalogue met: {len(met)} of {len(CATALOGUE)}")
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword:
        missing = sorted(set(CATALOGUE) - met)
        terminalreporter.write_line(f"not met: {', '.join(missing) or 'none'}")
