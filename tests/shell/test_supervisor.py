"""The supervisor's own clocks: its pauses, and its patience with a login."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scitex_ssh.keepers.systemd import supervisor

# Not busybox's, which may take its own date for the one in PATH.
SHELLS = (("dash",), ("bash", "--posix"))

# The clock that the supervisor reads: the real one, and what is in a file.
DATE = """#!/bin/sh
echo $(($(/bin/date +%s) + $(cat "$CLOCK/offset" 2>/dev/null || echo 0)))
"""
# An ssh that fails; while the second and the third are under way, the clock jumps forth and back.
SSH = """#!/bin/sh
echo x >>"$CLOCK/calls"
case $(wc -l <"$CLOCK/calls") in
2) echo 172800 >"$CLOCK/offset" ;;
3) echo -86400 >"$CLOCK/offset" ;;
esac
echo "ssh: connect to host bastion port 22: Connection refused" >&2
exit 255
"""


# An ssh that hangs before its login, but for the third.
HANGS = """#!/bin/sh
echo x >>"$CLOCK/calls"
case $(wc -l <"$CLOCK/calls") in
3) echo "Authenticated to bastion" >&2 && exit 255 ;;
*) exec /bin/sleep 100 ;;
esac
"""
# A minute lasts three seconds.
SLEEP = """#!/bin/sh
exec /bin/sleep "$(awk "BEGIN { print $1 / 20 }")"
"""


@contextmanager
def supervised(shell: tuple[str, ...], place: Path, **programs: str) -> Iterator[Path]:
    """Run a supervisor with these programs before all others; gives its state."""
    tools, folder, state = (place / name for name in ("tools", "tunnel", "state"))
    for path in (tools, folder, state):
        path.mkdir()
    for name, text in programs.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (folder / "run").write_text(supervisor())
    (folder / "known_hosts").write_text("")
    (folder / "ssh_config").write_text("# engine: ssh\nHost hold tunnel release\n    ConnectTimeout 10\n")
    (folder / "key").symlink_to("/dev/null")
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CLOCK": str(place)}
    argv = [*shell, str(folder / "run"), str(folder), str(state)]
    with (
        (place / "said").open("w") as said,
        subprocess.Popen(argv, env=environment, stderr=said) as process,
    ):
        try:
            yield state
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_clock_that_jumps_by_days_delays_no_attempt(shell: tuple[str, ...], tmp_path: Path) -> None:
    """After a jump of two days forth and one of three days back, attempts go on every few seconds."""
    with supervised(shell, tmp_path, date=DATE, ssh=SSH) as state:
        # The sixth attempt: two pauses of full length after the jumps. Much time, since this may be busy.
        assert attempted(tmp_path / "calls", 6, seconds=60)
        pause = next(line for line in (state / "state").read_text().splitlines() if line.startswith("pause"))
        assert 2 <= int(pause.split()[1]) <= 49


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_slow_login_gets_more_time_until_one_succeeds(shell: tuple[str, ...], tmp_path: Path) -> None:
    """A line on which twenty seconds are too few is not tried by twenty seconds for ever."""
    with supervised(shell, tmp_path, ssh=HANGS, sleep=SLEEP):
        assert attempted(tmp_path / "calls", 5, seconds=60)
    said = (tmp_path / "said").read_text()
    assert re.findall(r"no login within (\d+) s", said)[:3] == ["20", "60", "20"]


def attempted(calls: Path, number: int, seconds: float) -> bool:
    """Wait for so many attempts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if calls.exists() and len(calls.read_text().splitlines()) >= number:
            return True
        time.sleep(0.1)
    return False
