"""Forwards for a while: for as long as the command runs, or in the background until they are stopped."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any, NoReturn

import click

from scitex_ssh import forwards
from scitex_ssh.api import Result
from scitex_ssh.cli import present
from scitex_ssh.errors import Exit, error
from scitex_ssh.forwards import PREFIX
from scitex_ssh.model import Tunnel
from scitex_ssh.plan.report import Proof, read_line


@click.command("forward")
@click.option("-L", "local", metavar="FORWARD", multiple=True, help="[BIND:]PORT:HOST:PORT, as ssh takes it.")
@click.option("-D", "dynamic", metavar="FORWARD", multiple=True, help="A SOCKS proxy here: [BIND:]PORT.")
@click.option("-R", "remote", metavar="FORWARD", multiple=True, help="From the bastion to here.")
@click.option(
    "--discovery",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="A port here for each one that this JSON file names, to the node that it names; read at each start.",
)
@click.option("--service", metavar="NAME", multiple=True, help="Of the file's ports only this one.")
@click.option("-b", "--bastion", metavar="[USER@]HOST[:PORT]", help="The bastion.")
@click.option("-s", "--secret-key", metavar="PATH", help="A private key without a passphrase.")
@click.option("-J", "--jump", metavar="HOST,HOST", help="Hosts to jump over, the nearest first.")
@click.option("--jump-key", metavar="PATH", multiple=True, help="The key for one of them, in their order.")
@click.option(
    "--proxy",
    metavar="URL",
    help="http://proxy.example.com:3128 or socks5://proxy.example.com:1080, for the first of them.",
)
@click.option("--keepalive", metavar="PROFILE", help="fast, default, patient, or INTERVALxCOUNT.")
@click.option("--accept-new-host-key", is_flag=True, help="Trust the bastion's host key where none is known.")
@click.option("--background", is_flag=True, help="Return when they are proven; they go on until --stop.")
@click.option("-n", "--name", metavar="NAME", help="With --background: what they are called.")
@click.option("--list", "listing", is_flag=True, help="Show those in the background, each proven anew.")
@click.option("--stop", metavar="NAME|all", help="End those in the background that are called so, or all.")
@click.option("--json", "as_json", is_flag=True, help="With --background, --list, --stop: one JSON object.")
def forward(
    background: bool, name: str | None, listing: bool, stop: str | None, as_json: bool, **flags: Any
) -> int:
    """Hold forwards until Ctrl-C: proven when they are there, made anew when they break.

    Needs no root and leaves nothing behind. With --background they outlive the shell, until --stop or
    the next boot. scitex-ssh setup takes the same flags, and keeps them for good.
    """
    services_of_nothing = bool(flags["service"]) and flags["discovery"] is None
    _check_words(background, name, listing, stop, as_json, any(flags.values()), services_of_nothing)
    if listing:
        return _list(as_json)
    if stop is not None:
        return present.finish(
            "forward", forwards.stop(stop, tell=_quiet if as_json else present.line), as_json
        )
    trust = ["--accept-new-host-key"] if flags.pop("accept_new_host_key") else []
    # In the foreground it never stands beside others, and a port that the bastion picks would need a name.
    called = name if background else "forward"
    bastion, key = flags.pop("bastion"), flags.pop("secret_key")
    keeper = "nohup" if background else "auto"
    tunnel = forwards.described(bastion, key, name=called, keeper=keeper, **flags)
    forwards.permit(tunnel)
    return _begun(tunnel, name, trust, as_json) if background else held(tunnel, trust)


def _check_words(
    background: bool,
    name: str | None,
    listing: bool,
    stop: str | None,
    as_json: bool,
    more: bool,
    services_of_nothing: bool,
) -> None:
    """Refuse what cannot be meant together."""
    why = ""
    if listing + (stop is not None) + background > 1:
        why = "--background, --list and --stop are three commands"
    elif (listing or stop is not None) and (more or name):
        why = "--list and --stop take no flags of forwards"
    elif (name or as_json) and not (background or listing or stop is not None):
        why = "-n and --json are for what is in the background"
    elif services_of_nothing:
        why = "--service chooses among the ports of --discovery"
    if why:
        raise error("usage", why=why, command="scitex-ssh forward")


def _begun(tunnel: Tunnel, name: str | None, flags: list[str], as_json: bool) -> int:
    result: Result = forwards.begun(tunnel, name, flags, _quiet if as_json else present.line)
    if result.success and not as_json:
        called = result.report.proofs[0].tunnel[len(PREFIX) :]
        print(f"In the background as {called}, until: scitex-ssh forward --stop {called}")
    return present.finish("forward", result, as_json)


def _list(as_json: bool) -> int:
    result = forwards.running()
    rows = [["NAME", "LEVEL", "BASTION", "FORWARDS", "PID", "STARTED", "DETAIL"]]
    for each in result.report.observations:
        facts = each.facts
        started = time.localtime(int(facts["started"])) if facts.get("started") else None
        rows.append(
            [
                each.tunnel[len(PREFIX) :],
                each.level,
                facts.get("bastion", ""),
                present.leads_to(facts),
                facts.get("pid") or "-",
                time.strftime("%Y-%m-%d %H:%M:%S", started) if started else "-",
                facts.get("detail", ""),
            ]
        )
    if not as_json and len(rows) > 1:
        present.columns(rows)
    return present.finish("forward", result, as_json)


def _quiet(_: object) -> None:
    """For JSON: everything is said at the end."""


def held(tunnel: Tunnel, flags: list[str]) -> int:
    """Run the tunnel's program in the foreground until somebody asks for its end; its exit status."""
    for number in _ENDS:
        signal.signal(number, _interrupt)
    with forwards.started(tunnel, flags) as process:
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
    # Once: timeout(1) sends each word to end twice, and an impatient person, too.
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
