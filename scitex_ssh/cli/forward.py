"""Forwards for as long as the command runs."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import click

from scitex_ssh import __version__, api
from scitex_ssh.cli import present
from scitex_ssh.errors import Exit
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Tunnel
from scitex_ssh.plan.program import bind, program
from scitex_ssh.plan.report import Proof, read_line


@click.command("forward")
@click.option("-L", "local", metavar="FORWARD", multiple=True, help="[BIND:]PORT:HOST:PORT, as ssh takes it.")
@click.option("-D", "dynamic", metavar="FORWARD", multiple=True, help="A SOCKS proxy here: [BIND:]PORT.")
@click.option("-R", "remote", metavar="FORWARD", multiple=True, help="From the bastion to here.")
@click.option("-b", "--bastion", metavar="[USER@]HOST[:PORT]", help="The bastion.")
@click.option("-s", "--secret-key", metavar="PATH", help="A private key without a passphrase.")
@click.option("--keepalive", metavar="PROFILE", help="fast, default, patient, or INTERVALxCOUNT.")
@click.option("--accept-new-host-key", is_flag=True, help="Trust the bastion's host key where none is known.")
def forward(accept_new_host_key: bool, bastion: str | None, secret_key: str | None, **flags: Any) -> int:
    """Hold forwards until Ctrl-C: proven when they are there, made anew when they break.

    Needs no root and leaves nothing behind. scitex-ssh setup takes the same flags, and keeps them for good.
    """
    # A name of its own: it never stands beside others, and a port that the bastion picks would need one.
    tunnel = api.described(None, bastion, secret_key, name="forward", **flags)
    return _held(tunnel, ["--accept-new-host-key"] if accept_new_host_key else [])


def _held(tunnel: Tunnel, flags: list[str]) -> int:
    """Run the tunnel's program in the foreground until somebody asks for its end; its exit status."""
    with tempfile.TemporaryDirectory(prefix="scitex-ssh-") as made:
        folder = Path(made)
        # The program's own folder is cleared by it as it ends.
        text = program(
            PLANS,
            FRAGMENTS,
            entry='main foreground "$@"',
            tunnels=[bind(tunnel)],
            extra=("main",),
            version=__version__,
        )
        (folder / "program").write_text(text, encoding="utf-8")
        (folder / "tunnel").mkdir()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        command = ["sh", str(folder / "program"), "--machine", f"--foreground={folder}/tunnel", *flags]
        # In a session of its own, so that a Ctrl-C ends it once, by us.
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            return _until_ended(process)


def _until_ended(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    proven = False
    try:
        for text in process.stdout:
            said = read_line(text)
            if said is not None:
                present.line(said)
            if isinstance(said, Proof):
                proven = True
                print("Held until Ctrl-C.", flush=True)
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.communicate()
        return Exit.DONE if proven else Exit.INTERRUPTED


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
