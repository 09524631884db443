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


# An ssh whose session answers each question, unless a file forbids it: "dead" is the connection, "line"
# whatever goes over the line; "deaf" is a session that never says that it hears.
TALKS = """#!/bin/sh
echo "$*" >>"$CLOCK/calls"
for word; do :; done
if [ -e "$CLOCK/line" ]; then
    /bin/sleep 0.3
    echo "ssh: connect to host bastion port 22: Connection timed out" >&2
    exit 255
fi
echo "debug1: Remote protocol version 2.0, remote software version fake" >&2
echo "Authenticated to bastion" >&2
case $word in
exit) exit 0 ;;
release) echo "scitex-ssh released " && exit 0 ;;
esac
rm -f "$CLOCK/dead"
echo "scitex-ssh holds"
if [ -e "$CLOCK/deaf" ]; then
    trap 'echo "Killed by signal 15." >&2; exit 255' TERM
    while :; do /bin/sleep 0.1; done
fi
echo "scitex-ssh hears"
while read -r question; do
    while [ -e "$CLOCK/line" ] || [ -e "$CLOCK/stall" ]; do /bin/sleep 0.05; done
    [ -e "$CLOCK/dead" ] || printf .
done
exec /bin/sleep 1000
"""
ASKING = "-o ServerAliveInterval=10 -o ServerAliveCountMax=11 hold"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_connection_that_died_is_ended_by_what_comes_through_beside_it(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    """One shows that the line carries, the next frees the port; then one holds it again."""
    with supervised(shell, tmp_path, ssh=TALKS, sleep=SLEEP) as state:
        assert attempted(tmp_path / "calls", 1, seconds=10)
        time.sleep(1.5)
        assert len(calls(tmp_path)) == 1, "answers are no silence"
        (tmp_path / "dead").touch()
        assert attempted(tmp_path / "calls", 4, seconds=20)
        assert [call.split()[-1] for call in calls(tmp_path)] == ["hold", "exit", "release", "hold"]
        assert all(call.endswith(ASKING) for call in calls(tmp_path) if call.endswith("hold"))
        assert "error" in (state / "state").read_text()
        assert "the connection was silent, while new ones came through" in (state / "state").read_text()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_line_that_stalls_ends_no_connection(shell: tuple[str, ...], tmp_path: Path) -> None:
    """As long as nothing new comes through either, and when the old one is heard again first."""
    with supervised(shell, tmp_path, ssh=TALKS, sleep=SLEEP) as state:
        assert attempted(tmp_path / "calls", 1, seconds=10)
        (tmp_path / "line").touch()
        assert attempted(tmp_path / "calls", 4, seconds=20)
        told = (state / "state").read_text()
        assert "the connection is silent, and a new one fails: ssh: connect to host bastion" in told
        assert "phase connecting" in told
        (tmp_path / "line").unlink()
        time.sleep(3)
        after = calls(tmp_path)
        time.sleep(2)
        assert calls(tmp_path) == after, "nothing is tried beside one that answers"
    assert [call.split()[-1] for call in after].count("hold") == 1
    assert "silent" not in (tmp_path / "said").read_text()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_connection_may_be_silent_twice_as_long_as_when_a_new_one_came_through(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    """By then TCP has sent again what was lost: heard in time, it is not ended."""
    with supervised(shell, tmp_path, ssh=TALKS, sleep=SLEEP.replace("20", "4")) as state:
        assert attempted(tmp_path / "calls", 1, seconds=10)
        (tmp_path / "stall").touch()
        assert attempted(tmp_path / "calls", 2, seconds=20)
        (tmp_path / "stall").unlink()
        time.sleep(3)
    assert {call.split()[-1] for call in calls(tmp_path)} == {"hold", "exit"}
    assert (state / "session").read_text().startswith("scitex-ssh holds\nscitex-ssh hears\n")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_session_that_never_answers_is_left_to_ssh(shell: tuple[str, ...], tmp_path: Path) -> None:
    """A bastion that runs something else for the key: once found out, ssh's own patience holds."""
    (tmp_path / "deaf").touch()
    with supervised(shell, tmp_path, ssh=TALKS, sleep=SLEEP):
        assert attempted(tmp_path / "calls", 2, seconds=20)
        time.sleep(5)
    assert [ASKING in call for call in calls(tmp_path)] == [True, False]
    assert "no answer from its session within 60 s" in (tmp_path / "said").read_text()


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_where_no_pipe_can_be_made_nothing_is_asked(shell: tuple[str, ...], tmp_path: Path) -> None:
    """The tunnel stands, by ssh's own patience."""
    with supervised(shell, tmp_path, ssh=TALKS, sleep=SLEEP, mkfifo="#!/bin/sh\nexit 1\n") as state:
        assert attempted(tmp_path / "calls", 1, seconds=10)
        time.sleep(1)
        assert (state / "session").read_text().startswith("scitex-ssh holds\n")
    assert [ASKING in call for call in calls(tmp_path)] == [False]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_nothing_of_it_is_left(shell: tuple[str, ...], tmp_path: Path) -> None:
    """An end while a connection is tried beside a silent one: no process stays."""
    with supervised(shell, tmp_path, ssh=TALKS, sleep=SLEEP):
        assert attempted(tmp_path / "calls", 1, seconds=10)
        (tmp_path / "line").touch()
        assert attempted(tmp_path / "calls", 3, seconds=20)
    deadline = time.monotonic() + 5
    while (left := processes_of(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def calls(place: Path) -> list[str]:
    """What ssh was started with."""
    return (place / "calls").read_text().splitlines()


def processes_of(place: Path) -> list[str]:
    """The processes that were started for a test."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(place) in words:
            found.append(words)
    return found


def attempted(calls: Path, number: int, seconds: float) -> bool:
    """Wait for so many attempts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if calls.exists() and len(calls.read_text().splitlines()) >= number:
            return True
        time.sleep(0.1)
    return False
