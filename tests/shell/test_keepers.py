"""What keeps a tunnel without root: lines in a person's own files, and a process that is there once."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitex_ssh.keepers.own import starter
from scitex_ssh.plan.step import (
    Step,
    block_in_file,
    cron_block,
    linger,
    linger_returned,
    no_block_in_file,
    no_cron_block,
    process_absent,
    process_held,
)
from scitex_ssh.render.block import CRONTAB, PROFILE
from scitex_ssh.render.template import Template
from tests.shell.sandbox import try_step
from tests.shell.shells import Shell, prelude

TEXTS = {"profile": PROFILE, "crontab": CRONTAB}
VALUES = "t_folder=/f"
BLOCK = PROFILE.fill({"name": "2222", "folder": "/f"})
LINES = CRONTAB.fill({"name": "2222", "folder": "/f"})
BEGINS, ENDS = BLOCK.splitlines()[0], BLOCK.splitlines()[-1]
DONE = {"before": 1, "shown": 1, "apply": 0, "after": 0}
NOTHING = {"before": 0, "shown": 0}
REFUSED = {"before": 1, "shown": 1, "apply": 1, "after": 1}

# What a person may have in a file of theirs.
THEIRS = {
    "nothing": "",
    "lines": "a\n\n  b 'c' \\n $x %\n\n",
    "no last line break": "a\nb",
    "another tunnel": BLOCK.replace("2222", "22220") + "a\n",
    "not text": "a\udcff\udcfe\nb\n",
}


def put(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def got(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def present(path: Path) -> Step:
    return block_in_file(str(path), "profile", PROFILE)


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_lines_come_and_go_and_leave_the_rest_as_it_was(shell: Shell, name: str, tmp_path: Path) -> None:
    """Every byte that is not ours is the same afterwards, and so are mode and link."""
    real, file = tmp_path / "real", tmp_path / "file"
    put(real, THEIRS[name] or "\n")
    real.chmod(0o640)
    file.symlink_to(real)
    before = got(real)
    tried = try_step(shell, tmp_path / "out", present(file), TEXTS, values=VALUES)
    assert tried.answers == DONE, tried.words
    assert got(real) == BLOCK + before
    assert f"+{BEGINS}" in tried.diff
    assert try_step(shell, tmp_path / "out", present(file), TEXTS, values=VALUES).answers == NOTHING
    gone = try_step(shell, tmp_path / "out", no_block_in_file(str(file)), values=VALUES)
    assert gone.answers == DONE, gone.words
    assert (got(real), real.stat().st_mode & 0o777, file.is_symlink()) == (before, 0o640, True)


def test_a_file_that_was_made_for_the_lines_goes_with_them(shell: Shell, tmp_path: Path) -> None:
    """With nothing else in it, it is gone; in a folder that was missing as well."""
    file = tmp_path / "conf.d" / "file"
    assert try_step(shell, tmp_path / "out", present(file), TEXTS, values=VALUES).answers == DONE
    assert got(file) == BLOCK
    assert try_step(shell, tmp_path / "out", no_block_in_file(str(file)), values=VALUES).answers == DONE
    assert not file.exists()


def test_old_lines_are_replaced(shell: Shell, tmp_path: Path) -> None:
    """Once, wherever they stood."""
    file = tmp_path / "file"
    put(file, f"a\n{BEGINS}\nold\n{ENDS}\nb\n")
    assert try_step(shell, tmp_path / "out", present(file), TEXTS, values=VALUES).answers == DONE
    assert got(file) == BLOCK + "a\nb\n"


def test_a_lost_end_mark_takes_nothing_along(shell: Shell, tmp_path: Path) -> None:
    """Without it nobody knows what is ours: refused in words, and the file is as it was."""
    file = tmp_path / "file"
    text = f"a\n{BEGINS}\nold\nb\n"
    put(file, text)
    for step in (present(file), no_block_in_file(str(file))):
        tried = try_step(shell, tmp_path / "out", step, TEXTS, values=VALUES)
        assert tried.answers == REFUSED
        assert "is missing in" in tried.words
        assert got(file) == text


def test_a_step_for_other_hosts_is_nothing_here(shell: Shell, tmp_path: Path) -> None:
    """Where its condition is false, there is nothing to do."""
    step = block_in_file(str(tmp_path / "file"), "profile", PROFILE, where="false")
    assert try_step(shell, tmp_path / "out", step, TEXTS, values=VALUES).answers == NOTHING


# crontab(1) as Debian's is: its text is in a file, and one without a last line break is refused.
FAKE_CRONTAB = """\
#!/bin/sh
[ ! -e "$TABLE.denied" ] || { echo "You (alice) are not allowed to use this program (crontab)" >&2; exit 1; }
case $1 in
-l) [ -e "$TABLE" ] || { echo "no crontab for alice" >&2; exit 1; }; cat "$TABLE" ;;
-r) rm "$TABLE" ;;
*)
    [ -z "$(tail -c 1 "$1")" ] || { echo "new crontab file is missing newline before EOF" >&2; exit 1; }
    [ ! -e "$TABLE.locked" ] || { echo "crontab: rename: Operation not permitted" >&2; exit 1; }
    cat "$1" >"$TABLE"
    ;;
esac
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The file that holds the crontab."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/crontab").write_text(FAKE_CRONTAB)
    (tmp_path / "bin/crontab").chmod(0o755)
    return tmp_path / "table"


def try_cron(shell: Shell, table: Path, step: Step) -> tuple[dict[str, int], str]:
    bin_folder = table.parent / "bin"
    tried = try_step(
        shell,
        table.parent / "out",
        step,
        TEXTS,
        values=VALUES,
        env={"TABLE": str(table)},
        path=f"{bin_folder}:{shell.path}",
    )
    return tried.answers, tried.words


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_a_crontab_keeps_its_other_lines(shell: Shell, table: Path, name: str) -> None:
    """Byte for byte, but for the last line break, without which cron takes no crontab."""
    theirs = THEIRS[name]
    if theirs:
        put(table, theirs)
    assert try_cron(shell, table, cron_block("crontab", CRONTAB)) == (DONE, "")
    ended = theirs if theirs.endswith("\n") or not theirs else theirs + "\n"
    assert got(table) == LINES + ended
    assert try_cron(shell, table, cron_block("crontab", CRONTAB))[0] == NOTHING
    assert try_cron(shell, table, no_cron_block()) == (DONE, "")
    assert (got(table) if table.exists() else "") == ended
    assert try_cron(shell, table, no_cron_block())[0] == NOTHING


@pytest.mark.parametrize(("state", "words"), [("denied", "not allowed"), ("locked", "not permitted")])
def test_a_crontab_that_may_not_be_changed_is_told(shell: Shell, table: Path, state: str, words: str) -> None:
    """In cron's own words, and nothing is changed."""
    put(table, "theirs\n")
    Path(f"{table}.{state}").touch()
    answers, said = try_cron(shell, table, cron_block("crontab", CRONTAB))
    assert answers == REFUSED
    assert words in said
    assert got(table) == "theirs\n"


_LISTS = [Path("/etc/cron.deny").exists(), Path("/etc/cron.allow").exists()]


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ("crontab: must be suid to work properly", "install one that is setuid"),
        (
            "You (alice) are not allowed to use this program (crontab)",
            "take alice out of /etc/cron.deny"
            if _LISTS == [True, False]
            else "put alice into /etc/cron.allow",
        ),
        ("crontab: can't change directory to '/var/spool/cron': No such file", "see why 'crontab -l' fails"),
        ("crontab: can't open 'alice': Permission denied", "see why 'crontab -l' fails for alice"),
    ],
)
def test_what_would_let_a_person_have_a_crontab_is_told(
    shell: Shell, tmp_path: Path, words: str, how: str
) -> None:
    """By what crontab says, of Debian's and of busybox's; no file is named that has nothing to do with it."""
    (tmp_path / "crontab").write_text(f'#!/bin/sh\necho "{words}" >&2\nexit 1\n')
    (tmp_path / "crontab").chmod(0o755)
    script = f"""{prelude()}
    problem() {{ printf '%s\\n' "$@"; }}
    t_user=alice
    check_cron
    """
    said = shell.run(script, path=f"{tmp_path}:{shell.path}").stdout.splitlines()
    assert said[:3] == ["cron-denied", "user=alice", f"why={words}"]
    assert said[3].startswith(f"how={how}")


def test_no_crontab_yet_is_an_empty_one(shell: Shell, tmp_path: Path) -> None:
    """As busybox says it."""
    words = "crontab: can't open 'alice': No such file or directory"
    (tmp_path / "crontab").write_text(f'#!/bin/sh\necho "{words}" >&2\nexit 1\n')
    (tmp_path / "crontab").chmod(0o755)
    answer = shell.run(f"{prelude()}\nread_crontab", path=f"{tmp_path}:{shell.path}")
    assert (answer.stdout, answer.stderr, answer.status) == ("", "", 0)


# Lingering, with loginctl played.


def test_lingering_is_ours_to_end_only_if_we_began_it(shell: Shell, tmp_path: Path) -> None:
    """And only when no tunnel of the user is left that wants it."""
    config = tmp_path / "scitex-ssh"
    (config / "tunnels/1").mkdir(parents=True)
    (config / "tunnels/1/ssh_config").write_text("# keeper: systemd-user on h\n")
    values = f"t_config={tmp_path} t_user=alice"
    assert try_step(shell, tmp_path / "out", linger_returned(), values=values).answers == NOTHING
    (config / "lingers").touch()
    assert try_step(shell, tmp_path / "out", linger_returned(), values=values).answers == NOTHING
    shutil.rmtree(config / "tunnels")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/loginctl").write_text('#!/bin/sh\necho "$@" >"${0%/*}/said"\n')
    (tmp_path / "bin/loginctl").chmod(0o755)
    path = f"{tmp_path}/bin:{shell.path}"
    assert try_step(shell, tmp_path / "out", linger_returned(), values=values, path=path).answers == DONE
    assert (tmp_path / "bin/said").read_text() == "disable-linger alice\n"


def test_lingering_that_is_refused_is_told(shell: Shell, tmp_path: Path) -> None:
    """In the words of loginctl, and nothing says later that it was ours."""
    (tmp_path / "scitex-ssh").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/loginctl").write_text("#!/bin/sh\necho 'Access denied' >&2\nexit 1\n")
    (tmp_path / "bin/loginctl").chmod(0o755)
    tried = try_step(
        shell,
        tmp_path / "out",
        linger(),
        values=f"t_config={tmp_path} t_user=nobody-lingers",
        path=f"{tmp_path}/bin:{shell.path}",
    )
    assert (tried.answers, tried.words) == (REFUSED, "Access denied\n")
    assert not (tmp_path / "scitex-ssh/lingers").exists()


# The starter, with a supervisor that is played: it writes down that it began, and stays.

PLAYED = """\
#!/bin/sh
{ cat "$1/ssh_config" "$1/known_hosts" "$1/run"; readlink "$1/key"; } | cksum >"$2/config"
echo $$ >>"$2/began"
sleep 60 9>&- &
echo $! >>"$2/sleepers"
trap 'kill $!; exit 0' TERM
wait
"""


class Folder:
    """A tunnel's folder and its state, and the processes that were started from it."""

    def __init__(self, path: Path) -> None:
        self.path, self.state = path / "folder", path / "state"
        self.path.mkdir()
        for name in ("ssh_config", "known_hosts"):
            (self.path / name).write_text(name)
        (self.path / "key").symlink_to("/k")
        (self.path / "run").write_text(PLAYED)
        values = {"state": str(self.state), "host": os.uname().nodename, "keeper": "nohup", "name": "2222"}
        (self.path / "start").write_text(Template(starter()).fill(values))

    @property
    def values(self) -> str:
        return f"t_folder={self.path} t_state={self.state} t_unit_file= t_user=alice"

    @property
    def began(self) -> list[int]:
        file = self.state / "began"
        return [int(pid) for pid in file.read_text().split()] if file.exists() else []

    def alive(self) -> list[int]:
        return [pid for pid in self.began if _lives(pid)]

    def wait(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.alive()) != count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.alive()) == count

    def decided(self) -> None:
        """Wait for those who were asked to start it and still run: a late one may take what is freed."""
        deadline = time.monotonic() + 30
        while (late := _asked(self.path / "start")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not late

    def end(self) -> None:
        for name in ("began", "sleepers"):
            file = self.state / name
            for pid in file.read_text().split() if file.exists() else []:
                if (Path(f"/proc/{pid}").exists()) and str(self.path.parent) in _told(pid):
                    os.kill(int(pid), 9)


def _lives(pid: int) -> bool:
    """Neither gone, nor dead and not yet asked about by its parent."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def _asked(script: Path) -> list[str]:
    """The processes that run this script."""
    return [each.name for each in Path("/proc").glob("[0-9]*") if str(script) in _told(each.name, "cmdline")]


def _told(pid: str, *files: str) -> str:
    try:
        words = b"".join(Path(f"/proc/{pid}/{each}").read_bytes() for each in files or ("cmdline", "environ"))
    except OSError:
        return ""
    return words.decode("utf-8", "replace")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A folder whose processes end with the test."""
    made = Folder(tmp_path)
    yield made
    made.end()


def without_flock(shell: Shell, tmp_path: Path) -> str:
    """The commands of the shell's machine, all but flock."""
    place = tmp_path / "no-flock"
    place.mkdir()
    for each in reversed(shell.path.split(":")):
        for program in Path(each).glob("*") if Path(each).is_dir() else []:
            link = place / program.name
            if program.name != "flock":
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    return str(place)


@pytest.mark.parametrize("lock", ["flock", "no flock"])
def test_one_start_wins_however_many_ask(shell: Shell, folder: Folder, tmp_path: Path, lock: str) -> None:
    """Twenty at once start one; killed, it is started again, once; and its number alone proves nothing."""
    path = shell.path if lock == "flock" else without_flock(shell, tmp_path)
    env = {"PATH": path, "TEST_FOLDER": str(tmp_path)}
    words = [shutil.which(shell.command[0]) or "", *shell.command[1:], str(folder.path / "start")]

    def start_many() -> None:
        running = [subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL) for _ in range(20)]
        assert [each.wait(60) for each in running] == [0] * 20
        folder.decided()

    start_many()
    folder.wait(1)
    start_many()
    assert len(folder.began) == 1
    (held,) = folder.alive()
    os.kill(held, 9)
    folder.wait(0)
    start_many()
    folder.wait(1)
    assert len(folder.began) == 2
    os.kill(folder.alive()[0], 9)
    folder.wait(0)
    # A pid file that names a process that lives, but is another one.
    (folder.state / "pid").write_text(f"{os.getpid()} 1 x\n")
    start_many()
    folder.wait(1)


def test_another_host_starts_nothing(shell: Shell, folder: Folder) -> None:
    """The home may be shared; no trace is left there."""
    text = (folder.path / "start").read_text().replace(f"'{os.uname().nodename}'", "'elsewhere'")
    answer = shell.run(text)
    assert answer == ("", "", 0)
    assert not folder.state.exists()


def test_a_process_is_held_and_let_go(shell: Shell, folder: Folder, tmp_path: Path) -> None:
    """Started; started anew when its configuration changed; stopped; each only if need be."""
    env = {"TEST_FOLDER": str(tmp_path)}

    def tried(step: Step) -> dict[str, int]:
        result = try_step(shell, tmp_path / "out", step, values=folder.values, env=env)
        assert result.words == ""
        return result.answers

    assert tried(process_held()) == DONE
    assert tried(process_held()) == NOTHING
    (first,) = folder.alive()
    (folder.path / "ssh_config").write_text("changed")
    assert tried(process_held()) == DONE
    assert folder.alive() != [first]
    assert tried(process_absent()) == DONE
    assert tried(process_absent()) == NOTHING
    assert folder.alive() == []
