"""What the command says of itself, for shells, programs and man(1)."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterator

import click

import scitex_ssh
from scitex_ssh.cli import present
from scitex_ssh.cli.app import SETTINGS, app
from scitex_ssh.errors import Exit

_NAME = "scitex-ssh"
# As click makes it of the name.
_VARIABLE = f"_{_NAME}_COMPLETE".replace("-", "_").upper()
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")


@click.command("completion", context_settings=SETTINGS)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes a shell complete our commands and flags.

    \b
    bash: echo 'eval "$(scitex-ssh completion bash)"' >>~/.bashrc
    zsh:  echo 'eval "$(scitex-ssh completion zsh)"' >>~/.zshrc
    fish: scitex-ssh completion fish >~/.config/fish/completions/scitex-ssh.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    # Not by its source(), which starts the shell to ask for its version.
    print(kind.source_template % kind(app, {}, _NAME, _VARIABLE).source_vars())
    return Exit.DONE


@click.command("list-python-apis", context_settings=SETTINGS)
@click.option("-v", "--verbose", is_flag=True, help="With signatures, and what each is for.")
@_json
def list_python_apis(verbose: bool, as_json: bool) -> int:
    """List what can be called from Python."""
    found = list(_names())
    if as_json:
        fields = ("name", "kind", "signature", "about")
        listed = [dict(zip(fields, each)) for each in found]
        present.envelope("list-python-apis", {"success": True, "status": 0, "apis": listed})
        return Exit.DONE
    for name, _, signature, about in found:
        print(f"{name}{signature}\n    {about}" if verbose else name)
    return Exit.DONE


def _names() -> Iterator[tuple[str, str, str, str]]:
    """Each public name, its kind, its signature or "", and the first line of what is said of it."""
    modules = [scitex_ssh]
    for module in modules:
        for name in sorted(module.__all__):
            value = getattr(module, name)
            signature = ""
            if isinstance(value, types.ModuleType):
                modules.append(value)
                kind = "module"
            elif isinstance(value, type):
                kind = "class"
            elif callable(value):
                kind, signature = "function", _signature(value)
            else:
                kind = "value"
            about = repr(value) if kind == "value" else inspect.getdoc(value) or ""
            yield f"{module.__name__}.{name}", kind, signature, about.partition("\n")[0]


class _Word(str):
    """Text that stands in a signature as it is."""

    __slots__ = ()
    __repr__ = str.__str__


def _signature(function: Callable[..., object]) -> str:
    """As it stands in the source; a default that is a function says nothing to anybody."""
    found = inspect.signature(function)
    parameters = [
        each.replace(
            annotation=_Word(each.annotation),
            default=_Word("...") if inspect.isfunction(each.default) else each.default,
        )
        for each in found.parameters.values()
    ]
    return str(found.replace(parameters=parameters, return_annotation=_Word(found.return_annotation)))


@click.command("man", context_settings=SETTINGS)
def man() -> int:
    """Print the manual page.

    \b
    scitex-ssh man >~/.local/share/man/man1/scitex-ssh.1
    """
    print("\n".join(_page()))
    return Exit.DONE


def _page() -> Iterator[str]:
    yield f'.TH SCITEX-SSH 1 "" "scitex-ssh {scitex_ssh.__version__}" "User Commands"'
    yield ".SH NAME\nscitex-ssh \\- plain SSH to any machine behind NAT, kept alive for years"
    yield ".SH SYNOPSIS\n.B scitex-ssh\nCOMMAND [OPTIONS] [ARGUMENTS]"
    yield ".SH COMMANDS"
    with click.Context(app, info_name=_NAME, **SETTINGS) as context:
        for path, command, inner in _commands(app, context):
            yield from _command(path, command, inner)
    yield ".SH EXIT STATUS"
    for status in Exit:
        yield f".TP\n{int(status)}\n{status.name.lower().replace('_', ' ')}"
    yield ".SH SEE ALSO\nssh(1), sshd(8), ssh_config(5), systemd.unit(5)"


def _commands(
    group: click.Group, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        # Those below `tunnel` are those of the top.
        if command is None or command.hidden or name == "tunnel":
            continue
        with click.Context(command, info_name=name, parent=context, **SETTINGS) as inner:
            if isinstance(command, click.Group):
                yield from _commands(command, inner)
            else:
                yield inner.command_path, command, inner


def _command(path: str, command: click.Command, context: click.Context) -> Iterator[str]:
    yield f".SS {_roff(path)}"
    yield _roff(" ".join(command.collect_usage_pieces(context)))
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        plain = paragraph.startswith("\b")
        text = _roff(paragraph.lstrip("\b\n"))
        yield f".PP\n.nf\n{text}\n.fi" if plain else f".PP\n{text}"
    for each in command.get_params(context):
        record = each.get_help_record(context)
        if record is not None and record[1]:
            yield f".TP\n.B {_roff(record[0])}\n{_roff(record[1])}"


def _roff(text: str) -> str:
    """Text in which nothing means anything to roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)
