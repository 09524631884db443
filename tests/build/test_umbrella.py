"""Beside the published umbrella package: what it calls works through it, as with version 1.

The umbrella and what it loads on the way to a tunnel come from the registry, without their other
dependencies: all of them are 212 distributions (statistics, figures, language models), of which the
resolver alone takes 80 s of a processor, in each run on a new machine. So two things are looked at
instead: that the umbrella asks for no other version of ours, and that nothing is loaded on the way that is
not here. What only ``pip install scitex`` as a whole could show is tried by hand before a release.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import scitex_ssh
from scitex_ssh import keys
from scitex_ssh.remote.way import Way
from tests.remote.there import There, free_port, standing

ROOT = Path(scitex_ssh.__file__).parents[1]
PUBLISHED = ("scitex==2.30.8", "scitex-config==0.3.6")


@pytest.fixture(scope="module")
def umbrella(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder into which the registry's packages are installed."""
    folder = tmp_path_factory.mktemp("umbrella")
    words = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        str(folder),
        *PUBLISHED,
    ]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
    if done.returncode != 0:
        reason = f"no registry of packages gives {' and '.join(PUBLISHED)} here: {done.stderr[-300:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture
def home(umbrella: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home in which tunnels are allowed; this Python's commands, and the umbrella, are found."""
    config = tmp_path / ".scitex/ssh/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("default: {tunnels: allow}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(umbrella))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path


def scitex(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the umbrella's command."""
    argv = [sys.executable, "-m", "scitex", *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def python(program: str) -> object:
    """What a program prints as JSON."""
    argv = [sys.executable, "-c", f"import json, scitex\n{program}"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_asks_for_no_other_version(umbrella: Path) -> None:
    """Pip leaves this one where it is, but for the extras that the page on it names."""
    (published,) = [each for each in distributions(path=[str(umbrella)]) if each.name == "scitex"]
    wanted = [Requirement(each) for each in published.requires or ()]
    ours = [each for each in wanted if each.name == "scitex-ssh"]
    version, page = scitex_ssh.get_version(), (ROOT / "docs/how-to/umbrella.md").read_text(encoding="utf-8")
    assert all(version in each.specifier for each in ours if each.marker is None or each.marker.evaluate())
    for each in ours:
        (extra,) = re.findall(r'extra == "(\w+)"', str(each.marker))
        assert f"`{extra}`" in page
        assert str(each.specifier).lstrip("=") in page


def test_nothing_else_is_loaded_on_the_way(home: Path, umbrella: Path) -> None:
    """So what is not installed here changes nothing: of the umbrella's family these modules, and ours."""
    loaded = python(
        "from scitex.tunnel import status\n"
        "import sys; status()\n"
        "print(json.dumps(sorted({each.partition('.')[0] for each in sys.modules})))"
    )
    assert isinstance(loaded, list)
    assert {each for each in loaded if each.startswith("scitex")} <= {"scitex", "scitex_config", "scitex_ssh"}
    assert not {"numpy", "pandas", "matplotlib", "scipy", "torch"} & set(loaded)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("status",), 0, "There is no tunnel on this machine."),
        (("setup", "-p", "0", "-b", "user@bastion.example.com", "-s", "~/.ssh/id_rsa"), 2, "[bad-port]"),
        (("setup", "--port", "8888", "--bastion", "user@host", "--secret-key", "/none"), 10, "[key-missing]"),
        (("remove", "-p", "2999"), 1, "[no-such-tunnel]"),
        (("check-status",), 0, "There is no tunnel on this machine."),
        (("render-argv", "--profile", "{}"), 2, "[gone]"),
        (("forward", "--discovery", "x.json"), 2, "[gone]"),
        (("setup", "--help"), 0, ""),
    ],
)
def test_its_command_hands_on(home: Path, words: tuple[str, ...], status: int, said: str) -> None:
    """With the words, the status and the errors of ours."""
    done = scitex("tunnel", *words)
    assert done.returncode == status, done.stderr
    assert said in done.stderr


def test_its_module_is_ours(home: Path) -> None:
    """By attribute and by import; refusals are values of ours."""
    assert python(
        "from scitex.tunnel import setup, status, remove\n"
        "seen = scitex.tunnel.status()\n"
        "gone = remove(port=2999)\n"
        "print(json.dumps([scitex.tunnel.AVAILABLE, scitex.tunnel.get_version(), seen['success'],\n"
        "    setup is scitex.tunnel.setup, gone['success'], bool(gone['stderr'])]))"
    ) == [True, "2.0.0", True, True, False, True]


@pytest.fixture
def bastion() -> Iterator[There]:
    """Give a bastion whose account has a home of its own."""
    if not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"):
        pytest.skip("sshd is not installed (package openssh-server)")
    with standing(account=True) as there:
        yield there


def test_a_tunnel_through_it(home: Path, bastion: There) -> None:
    """Set up by its module as version 1 was called, seen by its command, removed by it, without a trace."""
    (shown,) = keys.known.seen(Way.of("there", bastion.opts))
    port, key = free_port(), str(bastion.folder / "key")
    more = {
        "keeper": "nohup",
        "target": f"127.0.0.1:{bastion.port}",
        "host_key_fingerprint": shown.fingerprint,
    }
    try:
        made = python(
            f"made = scitex.tunnel.setup({port}, '127.0.0.1:{bastion.port}', {key!r}, **{more!r})\n"
            "print(json.dumps(dict(made)))"
        )
        assert isinstance(made, dict)
        assert made["success"], made["errors"]
        seen = scitex("tunnel", "status", "-p", str(port))
        assert (seen.returncode, f"{port}  verified" in seen.stdout) == (0, True), seen.stdout
        assert python(f"print(json.dumps(scitex.tunnel.status({port})['success']))") is True
    finally:
        gone = scitex("tunnel", "remove", "-p", str(port))
    assert (gone.returncode, gone.stderr) == (0, "")
    assert scitex("tunnel", "status").stdout == ""
