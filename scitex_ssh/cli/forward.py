"""Forwards for a while: for as long as the command runs, or in the background until they are stopped."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click

from scitex_ssh import __version__, api, policy
from scitex_ssh.backends import local as this_machine
from scitex_ssh.cli import present
from scitex_ssh.errors import Exit, error
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Tunnel, TunnelName
from scitex_ssh.model.discovery import MOST_BYTES, local_forwards
from scitex_ssh.model.tunnel import default_name
from scitex_ssh.plan.program import bind, program
from scitex_ssh.plan.report import Observation, Proof, Report, read_line

# Those in the background are tunnels of the keeper nohup, known among others by the beginning of their names.
PREFIX = "forward-"


@click.command("forward")
@click.option("-L", "local", metavar="FORWARD", multiple=True, help="[BIND:]PORT:HOST:PORT, as ssh takes it.")
@click.option("-D", "dynamic", metavar="FORWARD", multiple=True, help="A SOCKS proxy here: [BIND:]PORT.")
@click.option("-R", "remote", metavar="FORWARD", multiple=True, help="From the bastion to here.")
@click.option(
    "--discovery",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
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
        return _stop(stop, as_json)
    discovery, services = flags.pop("discovery"), flags.pop("service")
    if discovery is not None:
        flags["local"] = (*flags["local"], *local_forwards(_read(discovery), str(discovery), services))
    trust = ["--accept-new-host-key"] if flags.pop("accept_new_host_key") else []
    # In the foreground it never stands beside others, and a port that the bastion picks would need a name.
    called = name if background else "forward"
    bastion, key = flags.pop("bastion"), flags.pop("secret_key")
    tunnel = api.described(None, bastion, key, name=called, keeper="nohup" if background else "auto", **flags)
    _permitted(tunnel)
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


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise error("bad-discovery", path=path, why=f"it is larger than {MOST_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as problem:
        raise error("bad-discovery", path=path, why=(problem.strerror or "").lower()) from problem
    except UnicodeDecodeError as problem:
        raise error("bad-discovery", path=path, why="it is not UTF-8") from problem


def _permitted(tunnel: Tunnel) -> None:
    """Whoever types the command says yes to it; a deny stays one."""
    policy.check("forward", tunnel.bastion.host, consent=True)
    if any(each.on_bastion for each in tunnel.forwards):
        policy.check("tunnels", *policy.this_host(), consent=True)


def _begun(tunnel: Tunnel, name: str | None, flags: list[str], as_json: bool) -> int:
    """Set it up in the background, proven or undone, as any tunnel."""
    named = replace(tunnel, name=_full(name or default_name(tunnel.forwards)))
    tell = _quiet if as_json else present.line
    report = this_machine.run("setup", [bind(named)], flags, tell, granted="1")
    if report.status == Exit.DONE and not as_json:
        called = named.name[len(PREFIX) :]
        print(f"In the background as {called}, until: scitex-ssh forward --stop {called}")
    return present.finish("forward", api.Result(report.status, report), as_json)


def _full(name: str) -> TunnelName:
    return TunnelName(name if name.startswith(PREFIX) else PREFIX + name)


def _running() -> api.Result:
    """What is known of all in the background."""
    seen = api.status()
    seen.report.lines = [
        each
        for each in seen.report.lines
        if not isinstance(each, Observation) or each.tunnel.startswith(PREFIX)
    ]
    healthy = all(each.level == "verified" for each in seen.report.observations)
    status = int(Exit.DONE) if seen.status == Exit.UNHEALTHY and healthy else seen.status
    seen.report.status = status
    return api.Result(status, seen.report)


def _list(as_json: bool) -> int:
    result = _running()
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


def _stop(name: str, as_json: bool) -> int:
    """Remove the one of that name, or each; the first failure is the exit status."""
    if name == "all":
        names = [TunnelName(each.tunnel) for each in _running().report.observations]
    else:
        names = [_full(name)]
    tell = _quiet if as_json else present.line
    results = [api.remove(name=each, tell=tell) for each in names]
    status = next((each.status for each in results if each.status), int(Exit.DONE))
    lines = [line for each in results for line in each.report.lines]
    report = Report(lines, status)
    return present.finish("forward", api.Result(status, report), as_json)


def _quiet(_: object) -> None:
    """For JSON: everything is said at the end."""


def held(tunnel: Tunnel, flags: list[str]) -> int:
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
