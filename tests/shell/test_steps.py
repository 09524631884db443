"""Each kind of step, from each state it may find, makes true what it promises or refuses in words."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import pytest

from scitex_ssh.plan.step import (
    Step,
    absent,
    directory,
    jump_keys,
    no_empty_folder,
    symlink,
    unit_absent,
    unit_current,
    unit_enabled,
    units_loaded,
    write_file,
)
from scitex_ssh.render.template import Template
from tests.shell.sandbox import functions, tree, try_step
from tests.shell.shells import Shell, missing

CONTENT = 'first: it\'s "$HOME" `id` 100% \\n\n\n  last line\n\n'
TEXTS = {"t": Template(CONTENT)}
OWNER = f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"

# What a state leads to.
DONE, NOTHING, REFUSED = "done", "nothing to do", "refused"


class Case(NamedTuple):
    """A step, a state to find, what becomes of it, and what then stands at the path."""

    kind: str
    state: str
    make: Callable[[Path], None]
    outcome: str


def _file(path: Path) -> Step:
    return write_file(str(path), "t", TEXTS["t"], mode="640", owner=OWNER)


STEPS: dict[str, Callable[[Path], Step]] = {
    "write_file": _file,
    "directory": lambda path: directory(str(path), mode="750", owner=OWNER),
    "symlink": lambda path: symlink(str(path), "/a b/it's $x %h"),
    "absent": lambda path: absent(str(path)),
    "no_empty_folder": lambda path: no_empty_folder(str(path)),
}


def put(path: Path, content: str = CONTENT, mode: int = 0o640) -> None:
    """A file."""
    path.write_bytes(content.encode())
    path.chmod(mode)


def folder(path: Path, mode: int = 0o750, *, full: bool = False) -> None:
    """A folder, empty or not."""
    path.mkdir()
    path.chmod(mode)
    if full:
        put(path / "theirs", "theirs")


def elsewhere(path: Path) -> Path:
    """Somebody's file that a link may lead to."""
    put(path.parent / "elsewhere", CONTENT)
    return Path("elsewhere")


def folder_elsewhere(path: Path) -> Path:
    """Somebody's folder that a link may lead to, of another mode than the step's."""
    folder(path.parent / "elsewhere", 0o711)
    return Path("elsewhere")


def garbage(path: Path) -> None:
    """A file that is no text."""
    path.write_bytes(b"\xff\x00\xfe")


def hidden(path: Path) -> None:
    """A folder with a file that ls does not list."""
    folder(path)
    put(path / ".k")


def nothing(_: Path) -> None:
    """An empty place."""


CASES = [
    Case("write_file", "absent", nothing, DONE),
    Case("write_file", "right", put, NOTHING),
    Case("write_file", "empty", lambda path: put(path, ""), DONE),
    Case("write_file", "wrong content", lambda path: put(path, "wrong\n"), DONE),
    Case("write_file", "one line break less", lambda path: put(path, CONTENT[:-1]), DONE),
    Case("write_file", "one line break more", lambda path: put(path, CONTENT + "\n"), DONE),
    Case("write_file", "not text", garbage, DONE),
    Case("write_file", "zeros behind it", lambda path: put(path, CONTENT + "\0"), DONE),
    Case("write_file", "wrong mode", lambda path: put(path, mode=0o644), DONE),
    Case("write_file", "unreadable", lambda path: put(path, mode=0o000), DONE),
    Case("write_file", "right behind a link", lambda path: path.symlink_to(elsewhere(path)), DONE),
    Case("write_file", "dangling link", lambda path: path.symlink_to("nowhere"), DONE),
    Case("write_file", "empty folder in the way", folder, REFUSED),
    Case("write_file", "full folder in the way", lambda path: folder(path, full=True), REFUSED),
    Case("write_file", "link to a folder", lambda path: path.symlink_to(folder_elsewhere(path)), DONE),
    Case("directory", "absent", nothing, DONE),
    Case("directory", "right", folder, NOTHING),
    Case("directory", "right and full", lambda path: folder(path, full=True), NOTHING),
    Case("directory", "wrong mode", lambda path: folder(path, 0o700), DONE),
    Case("directory", "file in the way", put, REFUSED),
    Case("directory", "dangling link", lambda path: path.symlink_to("nowhere"), DONE),
    Case("directory", "link to a folder", lambda path: path.symlink_to(folder_elsewhere(path)), DONE),
    Case("symlink", "absent", nothing, DONE),
    Case("symlink", "right", lambda path: path.symlink_to("/a b/it's $x %h"), NOTHING),
    Case("symlink", "wrong target", lambda path: path.symlink_to("nowhere"), DONE),
    Case("symlink", "target and a line break", lambda path: path.symlink_to("/a b/it's $x %h\n"), DONE),
    Case("symlink", "link to a folder", lambda path: path.symlink_to(folder_elsewhere(path)), DONE),
    Case("symlink", "file in the way", put, DONE),
    Case("symlink", "folder in the way", folder, REFUSED),
    Case("absent", "absent", nothing, NOTHING),
    Case("absent", "file", put, DONE),
    Case("absent", "unreadable", lambda path: put(path, mode=0o000), DONE),
    Case("absent", "full folder", lambda path: folder(path, full=True), DONE),
    Case("absent", "dangling link", lambda path: path.symlink_to("nowhere"), DONE),
    Case("absent", "link to a folder", lambda path: path.symlink_to(folder_elsewhere(path)), DONE),
    Case("no_empty_folder", "absent", nothing, NOTHING),
    Case("no_empty_folder", "empty", folder, DONE),
    Case("no_empty_folder", "full", lambda path: folder(path, full=True), NOTHING),
    Case("no_empty_folder", "only a hidden file", hidden, NOTHING),
    Case("no_empty_folder", "file", put, NOTHING),
]


def at_place(found: dict[str, str]) -> dict[str, str]:
    """What of a tree is the step's own."""
    return {name: seen for name, seen in found.items() if name.split("/")[0] == "it"}


def beside(found: dict[str, str]) -> dict[str, str]:
    """What of a tree is none of the step's business."""
    return {name: seen for name, seen in found.items() if name.split("/")[0] != "it"}


@pytest.mark.parametrize("case", CASES, ids=[f"{case.kind}-{case.state}" for case in CASES])
def test_a_step_makes_it_true_or_refuses(shell: Shell, case: Case, tmp_path: Path) -> None:
    """Applied once, the test is true and nothing beside the path changed; or words say why not."""
    place = tmp_path / "place"
    place.mkdir()
    case.make(place / "it")
    before = tree(place)
    tried = try_step(shell, tmp_path / "out", STEPS[case.kind](place / "it"), TEXTS)
    expected = {
        DONE: {"before": 1, "shown": 1, "apply": 0, "after": 0},
        NOTHING: {"before": 0, "shown": 0},
        REFUSED: {"before": 1, "shown": 1, "apply": 1, "after": 1},
    }
    assert tried.answers == expected[case.outcome], tried.words
    assert beside(tree(place)) == beside(before)
    if case.outcome == DONE:
        assert at_place(tree(place)) == wanted(case.kind)
    else:
        assert tree(place) == before
        assert bool(tried.words) == (case.outcome == REFUSED)


def wanted(kind: str) -> dict[str, str]:
    """What stands at the path of a step that was applied."""
    ids = f"{os.getuid()}:{os.getgid()}"
    return {
        "write_file": {"it": f"100640 {ids} {CONTENT.encode()!r}"},
        "directory": {"it": f"40750 {ids}"},
        "symlink": {"it": "link /a b/it's $x %h"},
    }.get(kind, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
@pytest.mark.parametrize("kind", ["write_file", "directory"])
def test_a_wrong_owner_is_seen_and_mended(shell: Shell, kind: str, tmp_path: Path) -> None:
    """What another account owns could be changed by it, so it is not yet true."""
    place = tmp_path / "it"
    (put if kind == "write_file" else folder)(place)
    os.chown(place, 65534, 65534)
    tried = try_step(shell, tmp_path / "out", STEPS[kind](place), TEXTS)
    assert tried.answers == {"before": 1, "shown": 1, "apply": 0, "after": 0}
    assert (place.stat().st_uid, place.stat().st_gid) == (os.getuid(), os.getgid())


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_the_umask_of_the_caller_does_not_matter(shell: Shell, umask: str, tmp_path: Path) -> None:
    """Modes are the step's; a parent folder made on the way can be entered by everybody."""
    step = directory(str(tmp_path / "a" / "b"), mode="750", owner=OWNER)
    answer = shell.run(f"{functions(step, {})}\numask {umask}; apply_1")
    assert (answer.stderr, answer.status) == ("", 0)
    modes = {path: f"{(tmp_path / path).stat().st_mode:o}" for path in ("a", "a/b")}
    assert modes == {"a": "40755", "a/b": "40750"}


def test_a_file_is_never_there_half_or_open(shell: Shell, tmp_path: Path) -> None:
    """It is written beside, closed to others, and renamed: whoever looks sees the old or the new."""
    put(tmp_path / "it", "old\n", 0o640)
    step = _file(tmp_path / "it")
    script = f"""{functions(step, TEXTS)}
mv() {{ stat -c '%a %s' "$2" "$3"; command mv "$@"; }}
apply_1"""
    assert shell.run(script).stdout == f"600 {len(CONTENT)}\n640 4\n".replace("600", "640")
    early = f"""{functions(step, TEXTS)}
chmod() {{ stat -c '%a' "$2"; command chmod "$@"; }}
apply_1"""
    assert shell.run(early).stdout == "600\n"


@pytest.mark.parametrize("failing", ["chmod", "chown", "mv"])
def test_a_file_that_cannot_be_put_leaves_nothing_behind(shell: Shell, failing: str, tmp_path: Path) -> None:
    """When a step fails half-way, the old file stands and no new one lies beside it."""
    put(tmp_path / "it", "old\n")
    before = tree(tmp_path)
    script = f"{functions(_file(tmp_path / 'it'), TEXTS)}\n{failing}() {{ return 1; }}\napply_1"
    assert shell.run(script).status == 1
    assert tree(tmp_path) == before


def test_a_file_makes_the_folders_on_its_way(shell: Shell, tmp_path: Path) -> None:
    """Below a home, where nobody else makes them; readable, as mkdir makes them."""
    tried = try_step(shell, tmp_path / "out", _file(tmp_path / "no" / "it"), TEXTS)
    assert tried.answers == {"before": 1, "shown": 1, "apply": 0, "after": 0}
    assert (tmp_path / "no").stat().st_mode & 0o777 == 0o755


def test_a_full_disk_leaves_the_old_file(shell: Shell, full_disk: Path, tmp_path: Path) -> None:
    """Out of space: the step fails in words, the old file stands whole, no new one lies beside it."""
    put(full_disk / "it", "old\n")
    with open(full_disk / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass
    before = tree(full_disk)
    tried = try_step(shell, tmp_path / "out", _file(full_disk / "it"), TEXTS)
    assert tried.answers == {"before": 1, "shown": 1, "apply": 1, "after": 1}
    assert tree(full_disk) == before
    (full_disk / "filler").unlink()
    assert try_step(shell, tmp_path / "out", _file(full_disk / "it"), TEXTS).answers["after"] == 0


def test_the_shells_leave_the_same_tree(every_shell: list[Shell], tmp_path: Path) -> None:
    """Content, mode and owner are the same whichever shell applied the steps."""
    trees = []
    for shell in every_shell:
        root = tmp_path / shell.name
        scripts = []
        for case in CASES:
            path = root / f"{case.kind} {case.state}" / "it"
            path.parent.mkdir(parents=True)
            case.make(path)
            if case.outcome == DONE:
                scripts.append(f"({functions(STEPS[case.kind](path), TEXTS)}\napply_1)")
        assert shell.run("\n".join(scripts)).stderr == ""
        trees.append(tree(root))
    assert trees == trees[:1] * len(every_shell)
    assert len(trees[0]) > len(CASES)


# --- what is shown ----------------------------------------------------------------------------


def without_diff(applets: Path, folder: Path) -> str:
    """A PATH with everything of busybox but diff."""
    for applet in applets.iterdir():
        if applet.name != "diff":
            (folder / applet.name).symlink_to(applet.readlink())
    return str(folder)


@pytest.mark.parametrize("with_diff", [True, False], ids=["diff", "no diff"])
@pytest.mark.skipif(missing("busybox"), reason="needs busybox")
def test_what_would_change_is_shown(shell: Shell, applets: Path, with_diff: bool, tmp_path: Path) -> None:
    """A diff of the old and the new, or without a diff command every new line; and mode and owner."""
    (tmp_path / "bin").mkdir()
    path = shell.path if with_diff else without_diff(applets, tmp_path / "bin")
    step = write_file(str(tmp_path / "it"), "t", Template("a\nb\nc\n"), mode="640", owner=OWNER)
    put(tmp_path / "it", "a\nB\nc\n", 0o600)
    tried = try_step(shell, tmp_path / "out", step, {"t": Template("a\nb\nc\n")}, path=path)
    head = [
        f"# mode and owner: 600 {OWNER} -> 640 {OWNER}",
        f"--- {tmp_path}/it",
        f"+++ {tmp_path}/it (mode 640, {OWNER})",
    ]
    body = ["@@ -1,3 +1,3 @@", " a", "-B", "+b", " c"] if with_diff else ["+a", "+b", "+c"]
    assert tried.diff.splitlines() == head + body


@pytest.mark.parametrize("with_diff", [True, False], ids=["diff", "no diff"])
@pytest.mark.skipif(missing("busybox"), reason="needs busybox")
def test_a_new_file_is_shown_whole(shell: Shell, applets: Path, with_diff: bool, tmp_path: Path) -> None:
    """Where there is no file, every line is new."""
    (tmp_path / "bin").mkdir()
    path = shell.path if with_diff else without_diff(applets, tmp_path / "bin")
    text = Template("a\n  b \\n\n")
    step = write_file(str(tmp_path / "it"), "t", text, mode="640", owner=OWNER)
    lines = try_step(shell, tmp_path / "out", step, {"t": text}, path=path).diff.splitlines()
    assert lines[:2] == ["--- /dev/null", f"+++ {tmp_path}/it (mode 640, {OWNER})"]
    assert [line for line in lines[2:] if not line.startswith("@@")] == ["+a", "+  b \\n"]


# --- units ------------------------------------------------------------------------------------

# systemctl as far as the steps use it; $SYSTEMD/{active,enabled,reload} hold what it knows.
SYSTEMCTL = """#!/bin/sh
[ "$1" != -q ] || shift
case $1 in
show)
    case $3 in
    ActiveState) echo "ActiveState=$(cat "$SYSTEMD/active")" ;;
    NeedDaemonReload) echo "NeedDaemonReload=$(cat "$SYSTEMD/reload")" ;;
    esac ;;
is-enabled) cat "$SYSTEMD/enabled"; grep -q enabled "$SYSTEMD/enabled" ;;
daemon-reload) echo no >"$SYSTEMD/reload" ;;
enable)
    grep -q masked "$SYSTEMD/enabled" && { echo "Unit is masked." >&2; exit 1; }
    echo enabled >"$SYSTEMD/enabled" ;;
disable) echo disabled >"$SYSTEMD/enabled" ;;
stop) grep -q failed "$SYSTEMD/active" || echo inactive >"$SYSTEMD/active" ;;
reset-failed) echo inactive >"$SYSTEMD/active" ;;
restart) echo active >"$SYSTEMD/active"; sh "$SYSTEMD/digest" >"$SYSTEMD/config" ;;
esac
"""
# As keepers/run.sh notes what it was started with.
DIGEST = """cd "$SYSTEMD"
{ cat ssh_config known_hosts run unit; readlink key; } | cksum
"""

UNITS: list[tuple[str, Callable[[], Step], dict[str, str], str]] = [
    ("loaded", units_loaded, {"reload": "no"}, NOTHING),
    ("changed on disk", units_loaded, {"reload": "yes"}, DONE),
    ("enabled", unit_enabled, {"enabled": "enabled"}, NOTHING),
    ("disabled", unit_enabled, {"enabled": "disabled"}, DONE),
    ("for this boot only", unit_enabled, {"enabled": "enabled-runtime"}, DONE),
    ("masked", unit_enabled, {"enabled": "masked"}, REFUSED),
    ("running", unit_current, {"active": "active"}, NOTHING),
    ("starting", unit_current, {"active": "activating"}, NOTHING),
    ("stopped", unit_current, {"active": "inactive"}, DONE),
    ("failed", unit_current, {"active": "failed"}, DONE),
    ("other settings", unit_current, {"active": "active", "ssh_config": "other"}, DONE),
    ("other key", unit_current, {"active": "active", "key": "/other"}, DONE),
    ("nothing noted", unit_current, {"active": "active", "config": ""}, DONE),
    ("gone", unit_absent, {}, NOTHING),
    ("running and enabled", unit_absent, {"active": "active", "enabled": "enabled"}, DONE),
    ("failed and enabled", unit_absent, {"active": "failed", "enabled": "enabled"}, DONE),
    ("remembered as failed", unit_absent, {"active": "failed"}, DONE),
    ("starts at boot", unit_absent, {"enabled": "enabled"}, DONE),
]


def systemd(folder: Path, shell: Shell, state: dict[str, str]) -> tuple[dict[str, str], str, str]:
    """A systemd of files in that state: environment, PATH and the tunnel's values."""
    for name in ("ssh_config", "known_hosts", "run", "unit"):
        put(folder / name, f"{name}\n")
    (folder / "key").symlink_to("/k")
    put(folder / "digest", DIGEST)
    env = {"SYSTEMD": str(folder)}
    started = shell.run(DIGEST, env=env).stdout
    for name, text in {"active": "inactive", "enabled": "disabled", "reload": "no", **state}.items():
        if name == "key":
            (folder / "key").unlink()
            (folder / "key").symlink_to(text)
        else:
            put(folder / name, f"{text}\n")
    if "config" not in state:
        put(folder / "config", started)
    (folder / "bin").mkdir()
    put(folder / "bin" / "systemctl", SYSTEMCTL, 0o755)
    values = f"t_unit=u.service t_folder={folder} t_unit_file={folder}/unit t_state={folder}"
    return env, f"{folder}/bin:{shell.path}", values


@pytest.mark.parametrize(
    ("make", "state", "outcome"),
    [each[1:] for each in UNITS],
    ids=[f"{make.__name__}-{name}" for name, make, _, _ in UNITS],
)
def test_a_unit_step_asks_systemd_and_makes_it_true(
    shell: Shell, make: Callable[[], Step], state: dict[str, str], outcome: str, tmp_path: Path
) -> None:
    """The test follows what systemd says now, whatever an earlier run did or left undone."""
    (tmp_path / "systemd").mkdir()
    env, path, values = systemd(tmp_path / "systemd", shell, state)
    tried = try_step(shell, tmp_path / "out", make(), values=values, env=env, path=path)
    expected = {
        DONE: {"before": 1, "shown": 1, "apply": 0, "after": 0},
        NOTHING: {"before": 0, "shown": 0},
        REFUSED: {"before": 1, "shown": 1, "apply": 1, "after": 1},
    }
    assert tried.answers == expected[outcome], tried.words
    assert bool(tried.words) == (outcome == REFUSED)


JUMPS = {
    "none wanted, none there": ([], [], NOTHING),
    "none there": (["/it's $a"], [], DONE),
    "right": (["/it's $a", "/k"], [("key-1", "/it's $a"), ("key-2", "/k")], NOTHING),
    "another key": (["/it's $a", "/k"], [("key-1", "/k"), ("key-2", "/k")], DONE),
    "one too many": (["/k"], [("key-1", "/k"), ("key-2", "/k")], DONE),
    "none wanted": ([], [("key-1", "/k")], DONE),
}


@pytest.mark.parametrize(("wanted", "there", "outcome"), JUMPS.values(), ids=list(JUMPS))
def test_the_links_to_the_keys_of_jump_hosts(
    shell: Shell, wanted: list[str], there: list[tuple[str, str]], outcome: str, tmp_path: Path
) -> None:
    """One for each host, in their order, and none of an earlier set-up; the tunnel's own is let alone."""
    place = tmp_path / "it"
    place.mkdir()
    for name, target in [("key", "/own"), *there]:
        (place / name).symlink_to(target)
    hosts = "\n".join(f"u h{number} 22" for number, _ in enumerate(wanted))
    keys = "\n".join(wanted)
    values = f"t_folder={place} t_user=u t_key=/own t_bastion_user=u t_bastion_host=h t_bastion_port=22"
    values += f" t_jumps={quote(hosts)} t_jump_keys={quote(keys)} t_hops={len(wanted)}"
    tried = try_step(shell, tmp_path / "out", jump_keys(), values=values)
    expected = (
        {"before": 1, "shown": 1, "apply": 0, "after": 0} if outcome == DONE else {"before": 0, "shown": 0}
    )
    assert tried.answers == expected, tried.words
    links = {each.name: str(each.readlink()) for each in place.iterdir()}
    assert links == {"key": "/own", **{f"key-{number}": key for number, key in enumerate(wanted, 1)}}


OWN = {"linger", "linger_returned", "cron_block", "no_cron_block", "block_in_file", "no_block_in_file"}
OWN |= {"process_held", "process_absent"}


def test_every_kind_of_step_is_tried() -> None:
    """A new constructor needs its cases here; the proof is tried in tests/lab."""
    from scitex_ssh.keepers import PLANS

    tried = {case.kind for case in CASES} | {make.__name__ for _, make, _, _ in UNITS}
    used = {step.kind for plan in PLANS.values() for step in plan.steps}
    # Above, in tests/shell/test_keepers.py, and in tests/lab.
    assert used - tried == {"verified", "jump_keys", "sole_keeper", *OWN}
