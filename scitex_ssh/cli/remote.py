"""Commands, files and terminals on other machines."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

import click

from scitex_ssh.cli import present
from scitex_ssh.cli.app import SETTINGS
from scitex_ssh.errors import Exit, error
from scitex_ssh.model.text import shown
from scitex_ssh.remote import command as commands
from scitex_ssh.remote import gate
from scitex_ssh.remote.probe import probe_remote
from scitex_ssh.remote.results import SSHResult
from scitex_ssh.remote.session import NOTHING, Stdin
from scitex_ssh.remote.terminal import attach as attach_to
from scitex_ssh.remote.terminal import permitted
from scitex_ssh.remote.way import Way

Command = Callable[..., Any]


def way_flags(command: Command) -> Command:
    """The flags that tell ssh about the way; handed on as ``jump`` and ``ssh_opts``."""

    @wraps(command)
    def call(
        identity: str | None,
        ssh_config: str | None,
        option: Sequence[str],
        ssh_opts: str | None,
        accept_new_host_key: bool,
        **rest: Any,
    ) -> Any:
        if identity is not None:
            _check_identity(identity)
        flags = [
            *(["-i", identity, "-o", "IdentitiesOnly=yes"] if identity else []),
            *(["-F", ssh_config] if ssh_config else []),
            *(word for each in option for word in ("-o", each)),
            *(["-o", "StrictHostKeyChecking=accept-new"] if accept_new_host_key else []),
            *_split(ssh_opts),
        ]
        return ended_with_us(lambda: command(ssh_opts=flags, **rest))

    for option in (
        click.option("--ssh-opts", metavar="TEXT", help="More flags for ssh, as one quoted text."),
        click.option(
            "--accept-new-host-key",
            is_flag=True,
            help="Trust a host key where none is known, and remember it.",
        ),
        click.option(
            "-o", "--option", metavar="NAME=VALUE", multiple=True, help="An option of ssh_config(5)."
        ),
        click.option("-F", "--ssh-config", metavar="FILE", help="Read this instead of ~/.ssh/config."),
        click.option(
            "-i", "--identity", metavar="KEY", help="Offer this key, and none that only an agent has."
        ),
        click.option("-J", "--jump", metavar="HOST[,HOST...]", help="Hosts on the way, the nearest first."),
    ):
        call = option(call)
    return call


def _check_identity(path: str) -> None:
    """Ssh warns of one that is not there, and goes on with others. An agent may have what is public here."""
    if not any(Path(name).expanduser().is_file() for name in (path, f"{path}.pub")):
        raise error("usage", why=f"there is no key file {shown(path)}", command="scitex-ssh exec")


def ended_with_us(call: Callable[[], Any]) -> Any:
    """What a call comes to; a signal that ends us ends what it began."""
    try:
        with _heeding():
            return call()
    except KeyboardInterrupt:
        raise error("call-interrupted") from None


@contextmanager
def _heeding() -> Iterator[None]:
    """Signals that end us do so by way of an exception: the ssh that we started ends first."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in former.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _split(text: str | None) -> list[str]:
    try:
        return shlex.split(text or "")
    except ValueError as problem:
        raise error("usage", why=f"--ssh-opts: {problem}".lower(), command="scitex-ssh exec") from problem


_timeout = click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End it after that long."
)
_multiplex = click.option(
    "--multiplex", is_flag=True, help="Keep the connection for the next call, until it was idle for 60 s."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
_dry_run = click.option("--dry-run", is_flag=True, help="Connect to nothing; show what would be done.")


@click.command("exec", context_settings=SETTINGS)
@click.argument("host", metavar="HOST[,HOST...]")
@click.argument("command", nargs=-1, required=True)
@way_flags
@_timeout
@_multiplex
@click.option("-n", "--no-stdin", is_flag=True, help="Leave standard input alone.")
@click.option(
    "--parallel", type=click.IntRange(1, 500), default=10, metavar="N", help="So many hosts at once."
)
@click.option("--plain", is_flag=True, help="Send the command as it is, for a host without a POSIX sh.")
@_dry_run
@_json
def exec_(
    host: str,
    command: tuple[str, ...],
    jump: str | None,
    ssh_opts: list[str],
    no_stdin: bool,
    parallel: int,
    multiplex: bool,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Run COMMAND on HOST, by the shell of the account there, without a terminal.

    Standard input, output and error are the command's own, byte by byte. Ends with the command's status;
    with 255 when ssh itself failed, with 124 after --timeout. When this ends first, by Ctrl-C or a kill,
    so does the command.

    With several hosts, each line has the host before it, the command has no input, and a summary comes
    last. Then it ends with 0 if all did, else with the status of the first that did not.

    Put -- before a COMMAND of several words that has flags: scitex-ssh exec lab1 -- ls -l
    """
    text = " ".join(command)
    ways = [Way.of(each, ssh_opts, jump) for each in host.split(",")]
    if dry_run:
        for way in ways:
            gate.check("exec", way, consent=True)
        return present.plan("exec", [line for way in ways for line in commands.shown(way, text)], as_json)
    if len(ways) == 1 and not as_json:
        sys.stdout.flush()
        result = commands.perform(
            ways[0],
            text,
            stdin=_stdin(no_stdin, multiplex),
            out=None,
            err=_to_stderr,
            share=multiplex,
            **flags,
        )
        if result.error:
            present.error(result.error)
        return result.returncode
    results = commands.exec_many(
        host.split(","),
        text,
        ssh_opts=ssh_opts,
        jump=jump,
        parallel=parallel,
        multiplex=multiplex,
        tell=None if as_json else _prefixed(ways),
        **flags,
    )
    return _as_json("exec", results) if as_json else _summary(results)


def _as_json(command: str, results: Sequence[SSHResult]) -> int:
    status = next((each.returncode for each in results if not each.success), 0)
    hosts = [each.as_dict() for each in results]
    present.envelope(command, {"success": status == 0, "status": status, "hosts": hosts})
    return status


def _to_stderr(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]


def _stdin(unwanted: bool, multiplex: bool) -> Stdin:
    """Our own input, unless there is none to speak of: a shared connection is for those only."""
    try:
        seen = os.fstat(0)
    except OSError:
        return NOTHING
    null = stat.S_ISCHR(seen.st_mode) and seen.st_rdev == Path(os.devnull).stat().st_rdev
    if unwanted or null or (multiplex and os.isatty(0)):
        return NOTHING
    return Stdin(descriptor=0)


def _prefixed(ways: Sequence[Way]) -> Callable[[str, str, bytes], None]:
    width = max(len(str(way.host)) for way in ways)

    def tell(host: str, stream: str, line: bytes) -> None:
        head = present.paint(host.ljust(width), "cyan", getattr(sys, stream))
        buffer = getattr(sys, stream).buffer
        buffer.write(head.encode() + b" | " + line + b"\n")
        buffer.flush()

    return tell


def _summary(results: Sequence[SSHResult]) -> int:
    for result in results:
        if result.error:
            print(f"{result.host}: {result.error.sentence} [{result.error.slug}]", file=sys.stderr)
    done = [each.host for each in results if each.success]
    words = [f"{len(done)} of {len(results)} hosts: done"]
    others: dict[str, list[str]] = {}
    for each in results:
        if not each.success:
            others.setdefault(each.error.slug if each.error else f"status {each.returncode}", []).append(
                each.host
            )
    words += [f"{what}: {', '.join(hosts)}" for what, hosts in others.items()]
    print("; ".join(words), file=sys.stderr)
    return next((each.returncode for each in results if not each.success), 0)


@click.command("probe", context_settings=SETTINGS)
@click.argument("host")
@click.option(
    "--requires", metavar="PROGRAM", multiple=True, help="A program that must be there; again for more."
)
@way_flags
@_timeout
@_multiplex
@_json
def probe(host: str, requires: tuple[str, ...], as_json: bool, **flags: Any) -> int:
    """See whether HOST can be reached and has the programs that are asked for, in one round trip.

    Exit status 0: reached, and all are there. 1: reached, but some are missing. 2: not reached.
    """
    result = probe_remote(host, requires=requires, **flags)
    status = 0 if result.ok else 1 if result.reachable else 2
    if as_json:
        present.envelope("probe", {**result.as_dict(), "status": status})
        return status
    if result.reachable:
        print(f"{present.paint('reachable', 'green')}  {result.host}")
    elif result.error:
        present.error(result.error)
    else:
        print(f"scitex-ssh: {result.host} lets us in but runs no command for us.", file=sys.stderr)
    for name, there in result.capabilities.items():
        print(
            f"{present.paint('there    ', 'green') if there else present.paint('missing  ', 'red')}  {name}"
        )
    return status


@click.command("attach", context_settings=SETTINGS)
@click.argument("host")
@click.argument("command", required=False)
@click.option(
    "-s", "--session", metavar="NAME", help="Come back to this session of tmux or screen, or begin it."
)
@way_flags
@_dry_run
def attach(host: str, command: str | None, dry_run: bool, **flags: Any) -> int:
    """Open a terminal on HOST: the login shell, COMMAND, or a session that outlives the connection.

    This is plain ssh -t with your own ~/.ssh/config, its forwards and shared connections included.
    """
    if dry_run:
        way = permitted(host, command, flags["session"], flags["ssh_opts"], flags["jump"], True)
        print(f"would open a terminal on {way.host}: {command or flags['session'] or 'the login shell'}")
        return Exit.DONE
    return attach_to(host, command, **flags)
