"""What a command does, Python does: as typed values, and refused as the command refuses it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

import scitex_ssh
from scitex_ssh import config
from scitex_ssh.api import Result
from scitex_ssh.cli.app import app
from scitex_ssh.cli.entry import run
from scitex_ssh.plan.report import Observation, Report

ROOT = Path(scitex_ssh.__file__).parents[1]
WAY = ("2222", "tunnel@gw.example.com", "/k")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, no administrator, and no defaults."""
    monkeypatch.setattr(config, "SYSTEM", tmp_path / "etc/config.yaml")
    for name in (config.VARIABLE, "SCITEX_SSH_BASTION_SERVER", "SCITEX_SSH_SECRET_KEY_PATH", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in (("HOME", ""), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path


def pages() -> ModuleType:
    """What writes the page of the Python API."""
    found = str(ROOT / "build")
    if found not in sys.path:
        sys.path.insert(0, found)
    return importlib.import_module("reference.sources")


def commands(group: click.Group, above: str = "") -> Iterator[str]:
    """The commands that help lists, by their words; a group of which nothing is in Python is one."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        # Those below `tunnel` are those of the top.
        if command.hidden or (not above and name == "tunnel"):
            continue
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield above + name


def said(command: str) -> str:
    """The help of a command."""
    with redirect_stdout(StringIO()) as out:
        run([*command.split(), "--help"])
    return out.getvalue()


def test_every_command_is_a_call() -> None:
    """Each has one in Python, or is named among those that have none; each call that is shown can be made.

    A flag that is shown is one of its command.
    """
    docs = pages()
    left = set(commands(app)) - set(docs.IN_PYTHON)
    assert left == {
        each for each in left if each in docs.NOT_IN_PYTHON or f"{each.split()[0]} *" in (docs.NOT_IN_PYTHON)
    }
    for shown in docs.IN_PYTHON:
        command, _, flag = shown.partition(" --")
        assert command in commands(app)
        assert not flag or f"--{flag}" in said(command)
    for text in docs.IN_PYTHON.values():
        calls = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Call)]
        for call in calls:
            words = ast.unparse(call.func).split(".")
            if words[0] != "scitex_ssh":
                continue
            value: Any = scitex_ssh
            for word in words[1:]:
                value = getattr(value, word)
            given = {each.arg: None for each in call.keywords if each.arg}
            inspect.signature(value).bind(*call.args, **given)


def test_every_public_name_can_be_had() -> None:
    """From the package, without an import of the module that has it."""
    for name in scitex_ssh.__all__:
        value = getattr(scitex_ssh, name)
        assert all(hasattr(value, each) for each in getattr(value, "__all__", ()))
    with pytest.raises(AttributeError, match="no_such"):
        scitex_ssh.no_such  # noqa: B018  # it is the access that raises


@pytest.mark.parametrize("form", ["argv", "shell", "unit", "json"])
def test_a_tunnel_in_another_form(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The text that the command prints."""
    port, bastion, key = WAY
    assert run(["render", "--as", form, "-p", port, "-b", bastion, "-s", key, "--engine", "autossh"]) == 0
    assert scitex_ssh.render_tunnel(*WAY, form=form, engine="autossh") == capsys.readouterr().out


def test_a_script_of_a_tunnel(capsys: pytest.CaptureFixture[str]) -> None:
    """The text that the command prints; of status without a tunnel, that of all."""
    assert run(["script", "remove", "-p", "2222"]) == 0
    assert scitex_ssh.script("remove", 2222) == capsys.readouterr().out
    assert run(["script", "status"]) == 0
    assert scitex_ssh.script("status") == capsys.readouterr().out
    port, bastion, key = WAY
    assert run(["script", "setup", "-p", port, "-b", bastion, "-s", key]) == 0
    assert scitex_ssh.script("setup", *WAY) == capsys.readouterr().out
    assert run(["script", "bastion"]) == 0
    assert scitex_ssh.script("bastion") == capsys.readouterr().out


def test_the_scripts_that_are_told_by_flags(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written where it was said, and to be run as they are."""
    paths = scitex_ssh.scripts(str(home / "from/python"))
    assert run(["scripts", str(home / "command")]) == 0
    written = [Path(each) for each in capsys.readouterr().out.splitlines()]
    assert [each.name for each in paths] == [each.name for each in written]
    assert [each.read_text() for each in paths] == [each.read_text() for each in written]
    assert {each.stat().st_mode & 0o777 for each in paths} == {0o755}


def test_an_error_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """The entry of the catalogue that the command prints."""
    assert run(["explain", "port-taken"]) == 0
    entry = scitex_ssh.explain("port-taken")
    assert f"What:  {entry.sentence}\nNext:  {entry.next_move}\n" in capsys.readouterr().out


def test_guides_are_written_to_a_folder_that_is_named_by_a_text(home: Path) -> None:
    """As well as by a path."""
    done = scitex_ssh.skills.install(str(home / "guides"))
    assert done
    assert all(path.is_file() and changed for path, changed in done)


def test_metrics_of_what_was_seen(home: Path) -> None:
    """As text, and in a file that is there at once."""
    seen = Result(0, Report([Observation("2222", "verified", {"bastion": "gw", "restarts": "3"})]))
    text = scitex_ssh.metrics(seen, str(home / "x.prom"))
    assert (home / "x.prom").read_text() == text
    assert 'scitex_ssh_tunnel_restarts_total{tunnel="2222",bastion="gw"} 3' in text
    with pytest.raises(FileNotFoundError):
        scitex_ssh.metrics(seen, home / "away/x.prom")


@pytest.mark.parametrize(
    ("call", "slug"),
    [
        (lambda: scitex_ssh.render_tunnel(*WAY, form="poem"), "usage"),
        (lambda: scitex_ssh.render_tunnel(2999), "no-such-tunnel"),
        (lambda: scitex_ssh.render_tunnel(0), "bad-port"),
        (lambda: scitex_ssh.render_tunnel(), "missing-field"),
        (lambda: scitex_ssh.script("dance", 2222), "usage"),
        (lambda: scitex_ssh.script("remove"), "missing-field"),
        (lambda: scitex_ssh.script("bastion", 2222), "usage"),
        (lambda: scitex_ssh.explain("no-such"), "usage"),
        (lambda: scitex_ssh.doctor(2222, accept_new_host_key=True), "usage"),
        (lambda: scitex_ssh.clients.machine(), "no-such-tunnel"),
        (lambda: scitex_ssh.clients.read("{}"), "usage"),
        (lambda: scitex_ssh.clients.read('{"machine": {"ways": [{"listen": "-o"}]}}'), "bad-port"),
        (lambda: scitex_ssh.policy.allow("dance"), "usage"),
        (lambda: scitex_ssh.policy.deny("exec", "a b"), "usage"),
        (lambda: scitex_ssh.forwards.stop("A"), "bad-name"),
        (lambda: scitex_ssh.forwards.begin("gw", "/k"), "missing-field"),
        (lambda: scitex_ssh.forwards.begin("gw", "/k", discovery="/none"), "bad-discovery"),
        (lambda: scitex_ssh.forwards.begin("gw", "/k", local="9000:a:1", consent=False), "policy-unset"),
        (lambda: scitex_ssh.fleets.plan("/none").raise_for_error(), "fleet-file"),
    ],
)
def test_what_cannot_be_is_raised(call: Any, slug: str, home: Path) -> None:
    """With the slug of the command; nothing is written."""
    with pytest.raises(scitex_ssh.SSHError) as caught:
        call()
    assert caught.value.slug == slug
    assert not [each for each in home.rglob("*") if each.is_file()]


def test_a_result_of_a_fleet_is_a_value(home: Path) -> None:
    """Also of one that is refused: the mapping that the command prints, its error, and its exit status."""
    (home / "fleet.yaml").write_text("colour: red\n")
    result = scitex_ssh.fleets.status(home / "fleet.yaml")
    assert (result.success, result.changed, result.returncode) == (False, False, 10)
    assert result.error is not None
    assert result.error.slug == "bad-fleet-field"
    # There it stands with its place in the file.
    assert result["errors"][0]["sentence"].endswith(result.error.sentence)  # type: ignore[index]
    json.dumps(dict(result))


def test_what_is_allowed_is_a_value(home: Path) -> None:
    """As the command writes it, and what is so then."""
    assert scitex_ssh.policy.allow("exec").verdict == "allow"
    said = scitex_ssh.policy.deny("exec", "lab1")
    assert (said.verdict, said.where) == ("deny", "hosts.lab1.exec")
    assert scitex_ssh.policy.answer("exec", "lab2").verdict == "allow"
    with pytest.raises(scitex_ssh.PolicyError):
        scitex_ssh.policy.check("exec", "lab1", consent=True)
    assert str(home) in next(each for each in [said.path])


def test_values_are_the_same_from_every_thread() -> None:
    """What is loaded when it is first asked for may be asked for by many at once."""
    found: list[str] = []

    def ask(port: int) -> None:
        found.append(scitex_ssh.script("status", port))

    threads = [threading.Thread(target=ask, args=(port,)) for port in range(2000, 2016)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(scitex_ssh.script("status", port) for port in range(2000, 2016))
