"""The .pyz: one file that runs everywhere, writes nowhere, the same bytes whoever builds it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

import scitex_ssh

ROOT = Path(__file__).resolve().parents[2]
VERSION = scitex_ssh.__version__
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
TOOLS = "awk cat chmod cut date dirname env grep id ls mkdir mktemp mv printf rm sed sh sleep tr uname"
AWKWARD = ["", "a b", "$(id)", "`id`", "'\"", "*", "--", "-x", "\\", "new\nline", "\udcff\udcfe"]


def pythons(oldest: tuple[int, int], newest: tuple[int, int]) -> dict[str, str]:
    """Every Python here in a range of versions, one of each: those of PATH and of pyenv."""
    names = [f"python3.{minor}" for minor in range(oldest[1], newest[1] + 1)]
    found = [path for name in ["python3", *names] if (path := shutil.which(name))]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout.strip()
        found += [str(path) for path in Path(root).glob("versions/3.*/bin/python3")]
    script = "import os, sys; print(*sys.version_info[:2], os.path.realpath(sys.executable))"
    result = {}
    for path in found:
        said = subprocess.run([path, "-c", script], capture_output=True, text=True).stdout.split()
        if said and oldest <= (int(said[0]), int(said[1])) <= newest:
            result.setdefault(f"{said[0]}.{said[1]}", said[2])
    return result


SUPPORTED = pythons((3, 9), (3, 14))
TOO_OLD = pythons((3, 4), (3, 8))
PYTHON = next(iter(SUPPORTED.values()))


def run(
    *argv: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, env=env, cwd=cwd, input=stdin, capture_output=True, timeout=60)


def build(checkout: Path, out: Path, umask: int) -> Path:
    done = subprocess.run(
        [sys.executable, checkout / "build" / "pyz.py", "--out", out],
        cwd=out.parent,
        umask=umask,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("first") / "scitex-ssh.pyz", umask=0o022)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A small environment in which the first python3 of PATH is one that works."""
    home = tmp_path / "home"
    home.mkdir()
    tools = folder_of_tools(tmp_path / "tools")
    (tools / "python3").symlink_to(PYTHON)
    return {"HOME": str(home), "PATH": str(tools), "TMPDIR": str(home), "LANG": "C.UTF-8"}


def folder_of_tools(folder: Path) -> Path:
    """A PATH with the tools of a small system and no Python."""
    folder.mkdir()
    for tool in TOOLS.split():
        if path := shutil.which(tool):
            (folder / tool).symlink_to(path)
    return folder


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


# --- the file itself --------------------------------------------------------------------------


def test_another_folder_and_umask_make_the_same_bytes(pyz: Path, tmp_path: Path) -> None:
    """Two builds from different folders, under different umasks, are byte-identical."""
    other = tmp_path / "another place"
    other.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "scitex_ssh", "build"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, other / name)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, other)
    again = build(other, tmp_path / "again.pyz", umask=0o077)
    assert again.read_bytes() == pyz.read_bytes()


def test_building_leaves_the_checkout_alone(tmp_path: Path) -> None:
    """Nothing appears in the tree that is built."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    for name in ("scitex_ssh", "build"):
        shutil.copytree(ROOT / name, tmp_path / name)
    before = tree(tmp_path)
    out = tmp_path.parent / f"{tmp_path.name}-out"
    out.mkdir()
    build(tmp_path, out / "scitex-ssh.pyz", umask=0o022)
    assert tree(tmp_path) == before


def test_it_is_pure_python(pyz: Path) -> None:
    """It holds sources and data only: no compiled file, no metadata of the builder's machine."""
    with zipfile.ZipFile(pyz) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert {Path(name).suffix for name in names} <= {
        *(".py", ".sh", ".typed", ".md", ".json", ".txt", ".html", ".css", ".js")
    }
    assert [name for name in names if "dist-info" in name or name.startswith("_bootstrap")] == []
    assert "site-packages/yaml/__init__.py" in names


def test_what_the_sources_need_at_run_time_is_in_it(pyz: Path) -> None:
    """Every file of the package is in the archive, those that are not Python too."""
    with zipfile.ZipFile(pyz) as archive:
        names = set(archive.namelist())
    package = ROOT / "scitex_ssh"
    wanted = {
        f"site-packages/{path.relative_to(ROOT)}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - names == set()


def test_its_checksum_stands_beside_it(pyz: Path) -> None:
    """`sha256sum -c` can check the file."""
    digest = hashlib.sha256(pyz.read_bytes()).hexdigest()
    assert pyz.with_name("scitex-ssh.pyz.sha256").read_text() == f"{digest}  scitex-ssh.pyz\n"


# --- every Python, every place ----------------------------------------------------------------


@pytest.mark.parametrize("version", SUPPORTED)
def test_it_runs_on(version: str, pyz: Path, env: dict[str, str]) -> None:
    """The same file runs on every supported Python, by itself and given to the interpreter."""
    python = SUPPORTED[version]
    env["SCITEX_SSH_PYTHON"] = python
    for argv in ([pyz], [python, pyz]):
        done = run(*argv, "--version", env=env)
        assert (done.returncode, VERSION in done.stdout.decode()) == (0, True), done.stderr
        done = run(*argv, "setup", "--help", env=env)
        assert (done.returncode, b"--bastion" in done.stdout) == (0, True), done.stderr


def homes() -> Iterator[tuple[str, str | None]]:
    yield "unset", None
    yield "empty", ""
    yield "missing", "/nonexistent"
    yield "a file", "/etc/passwd"
    yield "not ours", "/proc"


@pytest.mark.parametrize(("name", "home"), list(homes()), ids=lambda value: str(value))
def test_it_needs_no_home(name: str, home: str | None, pyz: Path, env: dict[str, str]) -> None:
    """Service users often have no home, or one that is not there."""
    env.pop("HOME")
    if home is not None:
        env["HOME"] = home
    done = run(pyz, "--help", env=env, cwd=Path("/proc"))
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("kind", ["read-only", "full"])
def test_it_runs_where_nothing_can_be_written(kind: str, pyz: Path, env: dict[str, str]) -> None:
    """Home, temporary folder and working directory are on a read-only or a full file system."""
    home = env["HOME"]
    if os.geteuid() != 0:
        pytest.skip("not root: cannot mount a file system")
    prepare = {
        "read-only": 'mount -t tmpfs -o ro none "$HOME"',
        "full": 'mount -t tmpfs -o size=16k none "$HOME"; cat /dev/zero >"$HOME/full" || true',
    }
    script = f'{prepare[kind]}; cd "$HOME"; ! touch x 2>/dev/null; ! echo y 2>/dev/null >z; exec "$@"'
    outside = {**env, "PATH": f"{env['PATH']}:{os.environ['PATH']}"}
    inside = ("unshare", "--mount", "sh", "-ec", script, "sh")
    for argument in ("--version", "--help"):
        done = run(*inside, pyz, argument, env=outside)
        assert (done.returncode, done.stdout != b"") == (0, True), done.stderr
    assert run("ls", home, env=outside).stdout == b""


def test_twenty_first_runs_at_once(pyz: Path, env: dict[str, str]) -> None:
    """Nobody waits for anybody: there is nothing to unpack and no lock."""
    runs = [
        subprocess.Popen([pyz, "--help"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(20)
    ]
    results = [(*process.communicate(timeout=60), process.returncode) for process in runs]
    assert {(stderr, status) for _, stderr, status in results} == {(b"", 0)}
    assert len({stdout for stdout, _, _ in results}) == 1


def test_running_it_writes_nothing(pyz: Path, env: dict[str, str], tmp_path: Path) -> None:
    """After --version and --help no file has appeared or changed, in home or elsewhere."""
    here = tmp_path / "here"
    here.mkdir()
    copy = Path(shutil.copy(pyz, here))
    before = tree(tmp_path)
    for argument in ("--version", "--help"):
        assert run(copy, argument, env=env, cwd=here).returncode == 0
    assert tree(tmp_path) == before


@pytest.mark.parametrize("way", ["symlink", "spaces", "path", "relative", "sh", "python"])
def test_it_may_be_called_by(way: str, pyz: Path, env: dict[str, str], tmp_path: Path) -> None:
    """A symbolic link, a path with spaces, the search path, a relative path, sh, python."""
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    copy = Path(shutil.copy(pyz, folder / "scitex-ssh"))
    link = tmp_path / "link"
    link.symlink_to(copy)
    env["PATH"] += f":{folder}"
    argv: dict[str, Sequence[str | Path]] = {
        "symlink": [link],
        "spaces": [copy],
        "path": ["env", "scitex-ssh"],
        "relative": ["./scitex-ssh"],
        "sh": ["sh", "scitex-ssh"],
        "python": [PYTHON, "scitex-ssh"],
    }
    done = run(*argv[way], "--version", env=env, cwd=folder)
    assert (done.returncode, VERSION in done.stdout.decode()) == (0, True), done.stderr


# --- without Python ---------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_without_python_it_is_the_shell_program(shell: str, pyz: Path, tmp_path: Path) -> None:
    """Where there is no Python the same file knows its version, its help and a wrong word."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    argv = [str(shutil.which(shell)), *SHELLS[shell][1:], pyz]
    bare = {"PATH": str(folder_of_tools(tmp_path / "tools")), "HOME": "/nonexistent"}
    done = run(*argv, "--version", env=bare)
    assert (done.returncode, VERSION in done.stdout.decode(), done.stderr) == (0, True, b"")
    done = run(*argv, "--help", env=bare)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [word for word in ("setup", "status", "remove") if word not in done.stdout.decode()] == []
    assert run(*argv, "nonsense", env=bare).returncode == 2


def test_both_programs_say_the_same_version(pyz: Path, env: dict[str, str]) -> None:
    """Nobody has to know which of the two answered."""
    python = run(pyz, "--version", env=env)
    shell = run(pyz, "--version", env={**env, "SCITEX_SSH_PYTHON": "none"})
    assert shell.stdout == python.stdout


# --- the header: a command line of our own shows what arrives ---------------------------------

CLI = """
import os, signal, sys, time
def main():
    if sys.argv[1:] == ["wait"]:
        print("ready", flush=True)
        time.sleep(60)
    elif sys.argv[1:2] == ["status"]:
        return int(sys.argv[2])
    elif sys.argv[1:] == ["import"]:
        import json, subprocess
        print(json.__file__, os.environ.get("SCITEX_SSH_PYTHON"))
    else:
        print("python", [os.fsencode(a) for a in sys.argv[1:]], sys.stdin.buffer.read())
"""
PROGRAM = """
main() {
    case ${1-} in
    status) return "$2" ;;
    wait) echo ready; exec sleep 60 ;;
    *) printf 'shell%s' "${SCITEX_SSH_PYTHON+ told}"; printf ' <%s>' "$@"; cat ;;
    esac
}
main "$@"; exit
"""


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pyz", ROOT / "build" / "pyz.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory, builder: ModuleType) -> Path:
    """The real header, start and layout around two programs that say what reached them."""
    folder = tmp_path_factory.mktemp("echo")
    with zipfile.ZipFile(folder / "shiv", "w") as archive:
        archive.writestr("site-packages/scitex_ssh/__init__.py", "")
        archive.writestr("site-packages/scitex_ssh/cli.py", CLI)
    header = (ROOT / "build" / "pyz_header.sh").read_text() + PROGRAM
    echo = folder / "echo.pyz"
    builder.publish(builder.repack(folder / "shiv", header.encode()), echo)
    return echo


def test_arguments_and_stdin_reach_the_command_line(echo: Path, env: dict[str, str]) -> None:
    """Byte for byte: empty, quoted, with newlines and not even UTF-8."""
    done = run(echo, *AWKWARD, env=env, stdin=b"in\0put")
    expected = f"python {[os.fsencode(word) for word in AWKWARD]} {b'in' + bytes(1) + b'put'}\n"
    assert (done.returncode, done.stdout.decode()) == (0, expected)


def test_arguments_and_stdin_reach_the_shell_program(echo: Path, env: dict[str, str]) -> None:
    """The same without Python."""
    env["SCITEX_SSH_PYTHON"] = "none"
    done = run(echo, *AWKWARD, env=env, stdin=b"input")
    expected = b"shell told" + b"".join(b" <%s>" % os.fsencode(word) for word in AWKWARD) + b"input"
    assert (done.returncode, done.stdout) == (0, expected)


@pytest.mark.parametrize("way", ["first", "search", "none", PYTHON])
@pytest.mark.parametrize("status", [0, 1, 2, 50, 97, 126, 127, 130, 255])
def test_the_exit_status_passes(way: str, status: int, echo: Path, env: dict[str, str]) -> None:
    """No status has a second meaning for the header."""
    env["SCITEX_SSH_PYTHON"] = way
    assert run(echo, "status", str(status), env=env).returncode == status


@pytest.mark.parametrize("way", ["first", "none"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_reaches_the_program(
    way: str, number: signal.Signals, echo: Path, env: dict[str, str]
) -> None:
    """The process that was started is the program: no shell stands between and survives it."""
    env["SCITEX_SSH_PYTHON"] = way
    with subprocess.Popen([echo, "wait"], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(10) == -number


def test_the_users_python_settings_stay_out(echo: Path, env: dict[str, str]) -> None:
    """PYTHONPATH, PYTHONHOME, the working directory and user packages change nothing."""
    evil = Path(env["HOME"])
    for module in ("json", "boot", "scitex_ssh", "sitecustomize", "usercustomize"):
        (evil / f"{module}.py").write_text("raise SystemExit('not mine')")
    env.update(PYTHONPATH=str(evil), PYTHONHOME="/nonexistent", PYTHONSTARTUP=str(evil / "boot.py"))
    done = run(echo, "import", env=env, cwd=evil)
    assert (done.returncode, done.stderr) == (0, b"")
    assert str(evil) not in done.stdout.decode()


def fake_python(folder: Path, before: str, name: str = "python3") -> Path:
    """A Python that runs `before` first: to be too old, incomplete or broken."""
    folder.mkdir(parents=True, exist_ok=True)
    fake = folder / name
    fake.write_text(
        f'#!/bin/sh\nshift; shift; code=$1; shift\nexec {PYTHON} -IBS -c "{before}\n$code" "$@"\n'
    )
    fake.chmod(0o755)
    return fake


TOO_OLD_FAKE = "import sys; sys.version_info = (3, 6, 15)"
MINIMAL_FAKE = (
    "import importlib.machinery as m; f = m.PathFinder.find_spec; "
    "m.PathFinder.find_spec = lambda name, *a: None if name == 'json' else f(name, *a)"
)
BROKEN_FAKE = "raise SystemExit('Fatal Python error')"


@pytest.mark.parametrize("before", [TOO_OLD_FAKE, MINIMAL_FAKE], ids=["old", "minimal"])
def test_an_unfit_python_falls_to_the_shell(before: str, echo: Path, tmp_path: Path) -> None:
    """A Python that is too old, or without its standard library, counts as none."""
    tools = folder_of_tools(tmp_path / "tools")
    fake_python(tools, before)
    done = run(echo, *AWKWARD, env={"PATH": str(tools)}, stdin=b"input")
    expected = b"shell" + b"".join(b" <%s>" % os.fsencode(word) for word in AWKWARD) + b"input"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


@pytest.mark.parametrize("before", [TOO_OLD_FAKE, MINIMAL_FAKE], ids=["old", "minimal"])
def test_an_unfit_python_does_not_hide_a_fit_one(before: str, echo: Path, tmp_path: Path) -> None:
    """The search goes on after it, and leaves no trace in the environment."""
    tools = folder_of_tools(tmp_path / "tools")
    fake_python(tools, before)
    (tools / "python3.12").symlink_to(PYTHON)
    done = run(echo, "import", env={"PATH": str(tools)})
    assert (done.returncode, done.stdout.split()[-1], done.stderr) == (0, b"None", b"")


def test_a_real_old_python_falls_to_the_shell(echo: Path, tmp_path: Path) -> None:
    """No traceback and no syntax error, from PATH and given to that interpreter."""
    if not TOO_OLD:
        pytest.skip("no Python 3.4 to 3.8 here")
    for version, python in TOO_OLD.items():
        tools = folder_of_tools(tmp_path / version)
        (tools / "python3").symlink_to(python)
        for argv in ([echo], [python, echo]):
            done = run(*argv, "x", env={"PATH": str(tools)})
            assert (done.returncode, done.stdout, done.stderr) == (0, b"shell <x>", b""), version


def test_a_shim_is_passed_by(echo: Path, env: dict[str, str], tmp_path: Path) -> None:
    """A shim may stand for a Python that is not installed: the next python3 is taken."""
    fake_python(tmp_path / "shims", BROKEN_FAKE)
    env["PATH"] = f"{tmp_path / 'shims'}:{env['PATH']}"
    assert run(echo, "import", env=env).returncode == 0


def test_a_shim_is_used_when_there_is_nothing_else(echo: Path, tmp_path: Path) -> None:
    """A machine whose only Python is pyenv's works."""
    tools = folder_of_tools(tmp_path / "tools")
    fake_python(tmp_path / "shims", "pass")
    done = run(echo, "import", env={"PATH": f"{tmp_path / 'shims'}:{tools}"})
    assert (done.returncode, done.stderr) == (0, b"")


def test_search_survives_a_broken_python(echo: Path, env: dict[str, str], tmp_path: Path) -> None:
    """SCITEX_SSH_PYTHON=search tries each one before use, and keeps stdin for the program."""
    fake_python(tmp_path / "broken", BROKEN_FAKE)
    env["PATH"] = f"{tmp_path / 'broken'}:{env['PATH']}"
    (Path(env["PATH"].split(":")[1]) / "python3.11").symlink_to(PYTHON)
    assert run(echo, "x", env=env).returncode == 1
    done = run(echo, "x", env={**env, "SCITEX_SSH_PYTHON": "search"}, stdin=b"input")
    assert (done.returncode, done.stdout) == (0, b"python [b'x'] b'input'\n")


def test_from_a_pipe_it_is_the_shell_program(echo: Path, env: dict[str, str]) -> None:
    """`ssh host sh -s -- x <scitex-ssh.pyz`: no archive to import from, and none needed."""
    done = run("sh", "-s", "--", "status", "7", env=env, stdin=echo.read_bytes())
    assert (done.returncode, done.stderr) == (7, b"")
