"""Every command that a page shows exists, with the flags that it shows."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import click
import pytest

from scitex_ssh.backends.shell import SCRIPTS
from scitex_ssh.cli.app import app

from . import pages

OPERATORS = {"|", "&&", ";", "||", ">", "<", ">>"}
OURS = re.compile(r"(?:sudo )?(?:scitex-ssh|(?:sh )?\./scitex-ssh\.pyz|sh scitex-ssh\.pyz)(?= |$)")


def lines(page: Path) -> Iterator[str]:
    """The command lines of a page: in shell and console blocks, and in running text."""
    for block in pages.blocks(page):
        if block.language == "sh":
            yield from (line.partition(" #")[0] for line in block.text.splitlines())
        if block.language == "console":
            yield from (call.command for call in pages.calls(block))
    for text in re.findall(r"`([^`]+)`", re.sub(r"\s*\n\s*", " ", pages.prose(page))):
        yield text.strip()


def simple_commands(page: Path) -> Iterator[list[str]]:
    """The words of each simple command."""
    for line in lines(page):
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if word in OPERATORS:
                yield command
                command = []
            else:
                command.append(word)


def ours(page: Path) -> Iterator[list[str]]:
    """The arguments of each call of our command."""
    for words in simple_commands(page):
        while words and (words[0] in ("sudo", "sh") or re.fullmatch(r"\w+=\S*", words[0])):
            words = words[1:]
        if words and re.fullmatch(r"(\./)?scitex-ssh(\.pyz)?", words[0]):
            # "..." is left to the reader, a word in capitals is to be replaced.
            yield [word for word in words[1:] if word != "..."]


@pytest.mark.parametrize("page", pages.WRITTEN, ids=pages.name)
def test_commands_and_flags_exist(page: Path) -> None:
    """click itself finds every command and takes every flag."""
    for words in ours(page):
        command: click.Command = app
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            child = command.get_command(click.Context(command), rest[0])
            assert child is not None, f"there is no command: scitex-ssh {' '.join(words)}"
            command, rest = child, rest[1:]
        context = click.Context(command, info_name="scitex-ssh", **command.context_settings)
        try:
            command.make_parser(context).parse_args(rest)
        except click.UsageError as problem:
            pytest.fail(f"scitex-ssh {' '.join(words)}: {problem.format_message()}")


@pytest.mark.parametrize("page", pages.WRITTEN, ids=pages.name)
def test_scripts_and_entries_exist(page: Path) -> None:
    """The generic scripts, the commands of build/dev and the files that pyinfra is given are there."""
    dev = (pages.ROOT / "build/dev").read_text("utf-8")
    for words in simple_commands(page):
        for word in words:
            if word.endswith("-autossh-service.sh"):
                assert Path(word).name in SCRIPTS
            if re.fullmatch(r"(deploys|tests|build)/[\w./]+", word):
                assert (pages.ROOT / word).exists(), word
        if words[:1] == ["./build/dev"]:
            assert f"cmd_{words[1]}()" in dev
        if words[:1] == ["pyinfra"]:
            check_pyinfra(words[1:])


def check_pyinfra(words: list[str]) -> None:
    """The operation or deploy that a call of pyinfra names is there, with its arguments."""
    names = [word for word in words if word.startswith("scitex_ssh.")]
    for dotted in names:
        module, _, function = dotted.rpartition(".")
        source = pages.ROOT / (module.replace(".", "/") + ".py")
        found = [
            node
            for node in ast.parse(source.read_text("utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name == function
        ]
        assert found, dotted
        known = {argument.arg for argument in found[0].args.args}
        given = {word.partition("=")[0] for word in words[words.index(dotted) + 1 :] if "=" in word}
        assert {name for name in given if not name.startswith("_")} <= known


def test_the_pages_show_every_command() -> None:
    """Positive twin: the pages use the commands, so what is checked above is not nothing."""
    shown = {words[0] for page in pages.WRITTEN for words in ours(page) if words}
    assert {name for name, _ in app.each()} - shown <= {
        "tunnel",
        "demo",
    }


def test_python_examples_call_what_there_is() -> None:
    """Calls of the Python API in the pages fit its signatures."""
    import scitex_ssh

    seen = 0
    for page in pages.PAGES:
        for block in pages.blocks(page):
            if block.language != "python" or "scitex_ssh." not in block.text:
                continue
            for node in ast.walk(ast.parse(block.text.replace(", ...}", "}"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("scitex_ssh."):
                    function = attrgetter(ast.unparse(node.func).partition(".")[2])(scitex_ssh)
                    keywords = {each.arg: None for each in node.keywords if each.arg}
                    inspect.signature(function).bind(*node.args, **keywords)
                    seen += 1
    assert seen >= 1
