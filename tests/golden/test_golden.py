"""What a tunnel's flags become on the host, side by side with the flags: tests/golden/CASE/.

``flags.json`` is the input; beside it lies what comes out: the ``bindings`` that a program for this
tunnel begins with, and the files that it writes. After a wanted change: ``UPDATE_GOLDEN=1 pytest
tests/golden``, then read the diff.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from scitex_ssh import __version__
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Tunnel
from scitex_ssh.plan.program import bind, program

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/flags.json"))
# The texts of the program by the file that they become; `run` is the same for every tunnel.
TEXTS = {
    "ssh_config": "ssh_config",
    "known_hosts": "known_hosts",
    "unit": "unit",
    "description": "tunnel.json",
}
# And what a keeper writes besides.
KEPT = {"cron": {"start": "start", "crontab": "crontab"}, "systemd-user": {"user_unit": "unit"}}
KEPT["profile"] = {"start": "start", "profile": "profile", "fish": "fish"}
SHELLS = ("sh", "dash", "bash --posix", "busybox sh")

# What the program finds out on the host, answered by these instead. All else is the program's own.
HOST = """\
choose_keeper() { [ "$t_keeper" != auto ] || t_keeper=systemd; }
check_keeper() { :; }
uname() { echo lab1; }
check_programs() { :; }
proxy_tools() { printf " nc_openbsd"; }
check_key() { t_key_id=0123456789abcdef0123456789abcdef; }
known_lines() {
    printf '%s ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTI=\\n' "$t_known_name"
    printf '%s ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\\n' "$t_known_name"
}
passwd_line() { printf '%s:x:1000:1000::/home/%s:\\n' "$1" "$1"; }
default_user() { printf alice; }
id() { echo 1000; }
"""
BAKED = f"{HOST}golden() {{\n    options\n    forget\n    bind_1\n    derive || finish\nWRITE\n}}\ngolden"
TOLD = (
    f'{HOST}golden() {{\n    program=golden word=setup\n    take_flags "$@"\n    assemble || finish\n'
    f'    keep given\n    bind_1\n    derive || finish\nWRITE\n}}\ngolden "$@"'
)


def test_there_are_cases() -> None:
    """The files are found; none is lost by a rename."""
    assert len(CASES) >= 10


def test_goldens_are_not_updated_in_ci() -> None:
    """A golden that is written by the run that checks it checks nothing."""
    assert not (_updating() and os.environ.get("CI") == "true")


@pytest.mark.parametrize("case", CASES)
def test_what_the_flags_become(case: str, tmp_path: Path) -> None:
    """The bindings, and the files that the program of this tunnel writes, are as they were."""
    tunnel = _tunnel(case)
    made = {"bindings": _bindings(tunnel), **_written("sh", BAKED, (tunnel,), [], tmp_path, _texts(case))}
    if _updating():
        if os.environ.get("CI") == "true":
            pytest.fail("UPDATE_GOLDEN=1 is refused in CI")
        for name, text in made.items():
            (HERE / case / name).write_text(text, encoding="utf-8")
    golden = {name: (HERE / case / name).read_text(encoding="utf-8") for name in made}
    assert made == golden


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_writes_the_same(case: str, shell: str, tmp_path: Path) -> None:
    """dash, bash and busybox agree byte for byte."""
    _skip_without(shell)
    for name, text in _written(shell, BAKED, (_tunnel(case),), [], tmp_path, _texts(case)).items():
        assert text == (HERE / case / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_the_generic_script_writes_the_same(case: str, tmp_path: Path) -> None:
    """A script that is told the tunnel by flags writes what one that was made for it writes."""
    flags = _flags(case)
    for name, text in _written("sh", TOLD, (), flags, tmp_path, _texts(case)).items():
        assert text == (HERE / case / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_ssh_reads_the_config(case: str) -> None:
    """ssh itself takes each ssh_config, and understands where it leads."""
    if not shutil.which("ssh"):
        pytest.skip("needs ssh")
    argv = ["ssh", "-G", "-F", str(HERE / case / "ssh_config"), "tunnel"]
    done = subprocess.run(argv, capture_output=True, text=True)
    said = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    tunnel = _tunnel(case)
    wanted = (0, "", tunnel.bastion.host, str(tunnel.bastion.port), tunnel.bastion.user or "alice")
    assert (done.returncode, done.stderr, said["hostname"], said["port"], said["user"]) == wanted


def _updating() -> bool:
    return os.environ.get("UPDATE_GOLDEN") == "1"


def _flags(case: str) -> list[str]:
    """The flags of a case, as a command line has them."""
    words = {"key": "--secret-key=", "jump": "-J", "remote": "-R", "local": "-L", "dynamic": "-D"}
    flags = []
    for name, value in json.loads((HERE / case / "flags.json").read_text(encoding="utf-8")).items():
        word = words.get(name, f"--{name.replace('_', '-')}=")
        flags += [f"{word}{each}" for each in (value if isinstance(value, list) else [value])]
    return flags


def _tunnel(case: str) -> Tunnel:
    flags = json.loads((HERE / case / "flags.json").read_text(encoding="utf-8"))
    return Tunnel.of(flags.pop("port", None), flags.pop("bastion"), flags.pop("key"), **flags)


def _texts(case: str) -> Mapping[str, str]:
    """The texts that the keeper of a case writes, and the file that each becomes."""
    keeper = json.loads((HERE / case / "flags.json").read_text(encoding="utf-8")).get("keeper", "systemd")
    texts = {text: name for text, name in TEXTS.items() if keeper == "systemd" or text != "unit"}
    return {**texts, **KEPT.get(keeper, {})}


def _bindings(tunnel: Tunnel) -> str:
    return "".join(f"t_{name}={shlex.quote(value)}\n" for name, value in bind(tunnel).items())


def _written(
    shell: str,
    entry: str,
    tunnels: tuple[Tunnel, ...],
    flags: list[str],
    folder: Path,
    texts: Mapping[str, str],
) -> Mapping[str, str]:
    """What the program writes, by file name; it is asked for its texts instead of for a set-up."""
    text = program(
        PLANS,
        FRAGMENTS,
        entry='golden_entry "$@"',
        tunnels=[bind(tunnel) for tunnel in tunnels],
        extra=("generic", "take_forwards", "main"),
        version=__version__,
    )
    write = "\n".join(f"    text_{name} >{file}" for name, file in texts.items())
    functions, entry_call = entry.replace("WRITE", write).rsplit("\n", 1)
    # Defined last, so that they stand in place of the program's own.
    ours = f"{functions}\ngolden_entry() {{ {entry_call}; }}\n"
    last = text.rindex("\nbegin\n")
    path = folder / "program"
    path.write_text(text[:last] + "\n" + ours + text[last:], encoding="utf-8")
    out = folder / "out"
    out.mkdir(exist_ok=True)
    # The environment of the caller must not matter.
    environment = {"PATH": os.environ["PATH"], "HOME": "/home/alice"}
    done = subprocess.run(
        [*shell.split(), str(path), *flags], cwd=out, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {name: (out / name).read_text(encoding="utf-8") for name in texts.values()}


def _skip_without(shell: str) -> None:
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"needs {shell}")
