"""The commands and their flags. What they call is loaded when it is called: exec needs nothing of set-up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import scitex_ssh
from scitex_ssh.cli import enrol, former, present
from scitex_ssh.errors import CATALOGUE, Exit, SSHError, error
from scitex_ssh.plan.report import Line

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Command = Callable[..., Any]


# Commands in modules of their own (``module:attribute``), which are loaded when one is asked for.
ELSEWHERE: dict[str, str] = {
    "agent": "scitex_ssh.cli.agent:agent",
    "gateway": "scitex_ssh.cli.gateway:gateway",
    "bastion": "scitex_ssh.cli.bastion:bastion",
    "config": "scitex_ssh.cli.policy:config_group",
    "fleet": "scitex_ssh.cli.fleet:fleet",
    "forward": "scitex_ssh.cli.forward:forward",
    "key": "scitex_ssh.cli.key:key",
    "list-python-apis": "scitex_ssh.cli.about:list_python_apis",
    "man": "scitex_ssh.cli.about:man",
    "mcp": "scitex_ssh.cli.mcp:mcp",
    "policy": "scitex_ssh.cli.policy:policy_group",
    "attach": "scitex_ssh.cli.remote:attach",
    "completion": "scitex_ssh.cli.about:completion",
    "copy": "scitex_ssh.cli.transfer:copy",
    "exec": "scitex_ssh.cli.remote:exec_",
    "probe": "scitex_ssh.cli.remote:probe",
    "render": "scitex_ssh.cli.render:render",
    "skills": "scitex_ssh.cli.skills:skills",
    "ssh-config": "scitex_ssh.cli.ssh_config:ssh_config",
    "sync": "scitex_ssh.cli.transfer:sync",
}
# Those of them, and of here, that are groups: known without being loaded, to name a command that failed.
GROUPS = ("bastion", "config", "fleet", "gateway", "key", "mcp", "policy", "script", "skills")


class Commands(click.Group):
    """The commands of this module, and those that are elsewhere."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in alphabetical order."""
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def each(self) -> Iterator[tuple[str, click.Command]]:
        """All of them that a help text lists, by name."""
        context = click.Context(self)
        for name in self.list_commands(context):
            command = self.get_command(context, name)
            if command is not None and not command.hidden:
                yield name, command

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them, or None."""
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = ELSEWHERE[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


def _all_help(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the help of this group and of everything below it."""
    if asked and not context.resilient_parsing:
        _print_help(context)
        context.exit()


def _print_help(context: click.Context) -> None:
    click.echo(context.get_help() + "\n")
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                with click.Context(child, info_name=name, parent=context, **SETTINGS) as inner:
                    _print_help(inner)


@click.group(cls=Commands, context_settings=SETTINGS)
@click.version_option(scitex_ssh.__version__, "-V", "--version", message="scitex-ssh %(version)s")
@click.option(
    "--help-recursive",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_all_help,
    help="Show the help of every command and exit.",
)
def app() -> None:
    """Plain SSH to any machine behind NAT, kept alive for years."""


@app.group("tunnel", context_settings=SETTINGS)
def tunnel_group() -> None:
    """Set up, show and remove tunnels (the same commands as at the top)."""


def _both(command: Command) -> Command:
    """The command at the top, and under ``tunnel``."""
    app.add_command(command)  # type: ignore[arg-type]  # click's decorators lose the type
    tunnel_group.add_command(command)  # type: ignore[arg-type]
    return command


def _port(required: bool) -> Callable[[Command], Command]:
    return click.option("-p", "--port", metavar="PORT", required=required, help="The port on the bastion.")


_name = click.option("-n", "--name", metavar="NAME", help="What the tunnel is called.  [default: its port]")
_by_name = click.option("-n", "--name", metavar="NAME", help="The name of the tunnel.")
_forwards = [
    click.option(
        "-R",
        "remote",
        metavar="FORWARD",
        multiple=True,
        help="One more forward from the bastion to here, as ssh takes it: [BIND:]PORT:HOST:PORT, or "
        "[BIND:]PORT for a SOCKS proxy.",
    ),
    click.option(
        "-L",
        "local",
        metavar="FORWARD",
        multiple=True,
        help="One from here to what the bastion sees: [BIND:]PORT:HOST:PORT.",
    ),
    click.option(
        "-D",
        "dynamic",
        metavar="FORWARD",
        multiple=True,
        help="A SOCKS proxy here, through the bastion: [BIND:]PORT.",
    ),
    click.option(
        "--remote-socket",
        metavar="NAME",
        help="Instead of a port: a Unix socket of the bastion, by its path or a name in its /tmp.",
    ),
]


def _forwarding(command: Command) -> Command:
    """The flags of forwards alone."""
    for option in reversed(_forwards):
        command = option(command)
    return command


_way = [
    click.option(
        "-J",
        "--jump",
        metavar="HOST,HOST",
        help="Hosts to jump over on the way to the bastion, the nearest first: [USER@]HOST[:PORT],...",
    ),
    click.option(
        "--jump-key",
        metavar="PATH",
        multiple=True,
        help="The key for one of them, once for each in their order.  [default: that of -s]",
    ),
    click.option(
        "--proxy",
        metavar="URL",
        help="For the first connection of the way: http://proxy.example.com:3128, or "
        "socks5://proxy.example.com:1080.",
    ),
]
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
_dry_run = click.option("--dry-run", is_flag=True, help="Change nothing; show what would change.")
_yes = click.option("--yes", is_flag=True, help="Say yes where a person would be asked; never ask.")


class _Listed(click.types.StringParamType):
    """Text, which in a variable is one value, and not as many as it has words."""

    def split_envvar_value(self, rv: str) -> tuple[str]:
        """All of it."""
        return (rv,)


def describing(command: Command) -> Command:
    """The flags that describe a tunnel."""
    for option in reversed(
        [
            _port(required=False),
            click.option(
                "-b",
                "--bastion",
                metavar="[USER@]HOST[:PORT]",
                multiple=True,
                type=_Listed(),
                envvar="SCITEX_SSH_BASTION_SERVER",
                show_envvar=True,
                help="The bastion; an IPv6 address goes into [brackets]. Given again: one more, with a "
                "tunnel of its own to it.",
            ),
            click.option(
                "-s",
                "--secret-key",
                metavar="PATH",
                envvar="SCITEX_SSH_SECRET_KEY_PATH",
                show_envvar=True,
                help="A private key without a passphrase.",
            ),
            click.option(
                "--target",
                metavar="HOST:PORT",
                help="What the port leads to, seen from here; or the path of a Unix socket.  "
                "[default: localhost:22]",
            ),
            *_forwards,
            *_way,
            _name,
            click.option(
                "--user",
                metavar="NAME",
                help="The account that keeps the tunnel.  [default: you; through sudo, its caller]",
            ),
            click.option(
                "--keeper",
                metavar="KEEPER",
                help="What keeps it alive: systemd (needs root), systemd-user, cron, profile, nohup, screen, "
                "tmux; auto takes the first of the first four that will do, and says so.  [default: auto]",
            ),
            click.option("--engine", metavar="ssh|autossh", default="ssh", help="What holds the connection."),
            click.option(
                "--keepalive",
                metavar="PROFILE",
                help="fast, default, patient, or INTERVALxCOUNT (seconds, probes).",
            ),
        ]
    ):
        command = option(command)
    return command


_on_up = click.option(
    "--on-up", metavar="COMMAND", help="Run once whenever the tunnel has come up, as its user."
)
_on_down = click.option("--on-down", metavar="COMMAND", help="The same when it is lost.")
_accept_new = click.option(
    "--accept-new-host-key", is_flag=True, help="Trust the bastion's host key where none is known."
)
_fingerprint = click.option(
    "--host-key-fingerprint",
    metavar="SHA256:...",
    multiple=True,
    help="Trust it only if this is its fingerprint. Once for each host that is not known.",
)
_accept_listening = click.option(
    "--accept-listening",
    is_flag=True,
    help="Be content where the bastion does not let the key dial the port back.",
)


@_both
@click.command("setup", context_settings=SETTINGS)
@describing
@_on_up
@_on_down
@_accept_new
@_fingerprint
@_accept_listening
@_dry_run
@enrol.options
@_yes
@_json
def setup(
    as_json: bool,
    yes: bool,
    secret_key: str | None,
    bastion: Sequence[str],
    port: str | None,
    **flags: Any,
) -> int:
    """Keep a reverse tunnel from a port of the bastion to this machine, and prove that it works.

    With -R, -L and -D it holds more forwards, or others; each of them is proven.

    Nothing is touched before the way to the bastion has been tried. If the tunnel then does not
    verify, what was there before comes back, and the message names the cause.
    """
    tell = _quiet if as_json else _asking

    asked = {name: flags.pop(name) for name in ("gateway", "over_ssh", "token_file", "machine")}
    if asked["gateway"] is not None:
        terminal = not as_json and _terminal()
        port, granted, secret_key = _enrolled(asked, port, secret_key, flags, yes, terminal)
        bastion = (granted,)
    elif any(asked.values()):
        raise error("missing-field", what="gateway", how="--gateway; only it wants a token and a name")

    def call(**more: Any) -> scitex_ssh.Result:
        return scitex_ssh.setup(port, bastion or None, secret_key, tell=tell, **{**flags, **more})

    result = call(consent=yes or None)
    asking = not as_json and not yes and _terminal()
    while unanswered := [problem for problem in result.report.errors if problem.slug in _ASKED]:
        given = _ASKED[unanswered[0].slug](unanswered[0]) if asking else {}
        if not given:
            if not as_json:
                present.error(unanswered[0])
            break
        # Of jump hosts, each is asked about.
        prints = (*flags["host_key_fingerprint"], *given.pop("host_key_fingerprint", ()))
        flags.update(given, host_key_fingerprint=prints)
        result = call()
    return present.finish("setup", result, as_json)


@_both
@click.command("status", context_settings=SETTINGS)
@_port(required=False)
@_by_name
@click.option(
    "--wait",
    type=click.IntRange(0, 86400),
    metavar="SECONDS",
    default=0,
    help="Wait that long for every tunnel to be verified.",
)
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option(
    "--every",
    type=click.IntRange(1, 86400),
    metavar="SECONDS",
    help="With --watch: the pause between two looks.  [default: 5]",
)
@click.option(
    "--prometheus",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write metrics there at each look, for node_exporter's textfile collector.",
)
@_json
def status(
    port: str | None,
    name: str | None,
    wait: int,
    watch: bool,
    every: int | None,
    prometheus: Path | None,
    as_json: bool,
) -> int:
    """Show the tunnels of this machine; each is proven anew.

    Exit status 50 when any is not verified.
    """
    if every is not None and not watch:
        raise error("usage", why="--every is for --watch", command="scitex-ssh status")

    def look() -> scitex_ssh.Result:
        seen = scitex_ssh.status(port, name=name, wait=wait)
        if prometheus is not None and seen.status != Exit.INTERRUPTED:
            scitex_ssh.metrics(seen, prometheus)
        return seen

    if watch:
        from scitex_ssh.cli import watch as live

        return live.watch(look, every or 5, as_json)
    result = look()
    if not as_json:
        for problem in result.report.errors:
            present.error(problem)
        if not result.report.errors:
            present.table(result.report.observations)
    return present.finish("status", result, as_json)


@_both
@click.command("remove", context_settings=SETTINGS)
@_port(required=False)
@_by_name
@click.option("-b", "--bastion", metavar="[USER@]HOST[:PORT]", help="Of several on that port the one to it.")
@_dry_run
@_yes
@_json
def remove(
    port: str | None, name: str | None, bastion: str | None, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Remove a tunnel, by its port or its name, without a trace."""
    tell = _quiet if as_json else present.line
    result = scitex_ssh.remove(port, name=name, bastion=bastion, dry_run=dry_run, tell=tell)
    return present.finish("remove", result, as_json)


@_both
@click.command("doctor", context_settings=SETTINGS)
@_port(required=False)
@_by_name
@click.option("-b", "--bastion", metavar="[USER@]HOST[:PORT]", help="Examine the way to this bastion,")
@click.option("-s", "--secret-key", metavar="PATH", help="with this key, instead of a tunnel that stands.")
@click.option("--target", metavar="HOST:PORT", help="What the port would lead to.  [default: localhost:22]")
@_forwarding
@click.option("-J", "--jump", metavar="HOST,HOST", help="Hosts to jump over on the way to the bastion.")
@click.option("--jump-key", metavar="PATH", multiple=True, help="The key for one of them, in their order.")
@click.option("--proxy", metavar="URL", help="A proxy for the first connection of the way.")
@click.option("--user", metavar="NAME", help="The account that would keep the tunnel.  [default: you]")
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was seen, and the files of all tunnels, as a .tar.gz without secrets.",
)
@click.option(
    "--fix",
    is_flag=True,
    help="Offer to put right what is safe to: the mode of the key, of the home and of ~/.ssh, the "
    "bastion's host key, lingering, a disabled unit. Each is asked for on a terminal; --yes takes all but "
    "the host key.",
)
@click.option(
    "--accept-new-host-key",
    is_flag=True,
    help="With --fix: take the host key of a bastion that is not known, too.",
)
@_yes
@_json
def doctor(
    as_json: bool, bundle: Path | None, fix: bool, yes: bool, accept_new_host_key: bool, **flags: Any
) -> int:
    """Find what is wrong with a tunnel: the checks in the order in which SSH happens.

    Without --fix nothing is changed. The first check that failed is the cause; those behind it are not
    reached. Exit status 50 when one failed.
    """
    from scitex_ssh.cli import fix as offers

    port, bastion, key, name = flags["port"], flags["bastion"], flags["secret_key"], flags["name"]
    if port is None and name is None and bastion is None and key is None:
        how = "-p or -n for one that stands, or -b and -s for a new one"
        raise error("missing-field", what="tunnel", how=how)
    if not fix and (yes or accept_new_host_key):
        raise error(
            "usage",
            why=f"{'--yes' if yes else '--accept-new-host-key'} is for --fix",
            command="scitex-ssh doctor",
        )
    described = {
        each: value for each, value in flags.items() if each not in ("port", "bastion", "secret_key", "name")
    }
    asking = not as_json and _terminal()
    take = partial(offers.taken, yes=yes, accept_new=accept_new_host_key, asking=asking)
    result = scitex_ssh.doctor(
        port,
        bastion,
        key,
        name=name,
        fix=take if fix else False,
        tell=offers.telling(_quiet if as_json else present.line),
        **described,
    )
    if bundle is not None:
        scitex_ssh.bundle(bundle, result)
        print(f"Written: {bundle}. Look through it before you send it.", file=sys.stderr)
    return present.finish("doctor", result, as_json)


former.keep(app, tunnel_group)


@app.group("script", context_settings=SETTINGS)
def script() -> None:
    """Print a POSIX script that does the same, for a machine without Python."""


@script.command("setup")
@describing
@_on_up
@_on_down
def script_setup(secret_key: str | None, bastion: Sequence[str], port: str | None, **flags: Any) -> int:
    """Print a script that sets one tunnel up."""
    print(scitex_ssh.script("setup", port, bastion or None, secret_key, **flags), end="")
    return Exit.DONE


@script.command("status")
@_port(required=False)
@_by_name
def script_status(port: str | None, name: str | None) -> int:
    """Print a script that shows tunnels."""
    print(scitex_ssh.script("status", port, name=name), end="")
    return Exit.DONE


@script.command("remove")
@_port(required=False)
@_by_name
def script_remove(port: str | None, name: str | None) -> int:
    """Print a script that removes one tunnel."""
    print(scitex_ssh.script("remove", port, name=name), end="")
    return Exit.DONE


@script.command("bastion")
def script_bastion() -> int:
    """Print the script of a bastion: its first argument is the word, as of ``scitex-ssh bastion``."""
    print(scitex_ssh.script("bastion"), end="")
    return Exit.DONE


@app.command("scripts", context_settings=SETTINGS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def scripts(folder: Path) -> int:
    """Write the generic scripts to FOLDER: they are told their tunnel by flags."""
    for path in scitex_ssh.scripts(folder):
        print(path)
    return Exit.DONE


@app.command("explain", context_settings=SETTINGS)
@click.argument("slug", required=False)
def explain(slug: str | None) -> int:
    """Explain an error by its slug; without one, list them all."""
    if slug is None:
        for problem in CATALOGUE.values():
            print(f"{problem.slug:22} {int(problem.status):3}  {problem.sentence}")
        return Exit.DONE
    problem = scitex_ssh.explain(slug)
    print(f"[{slug}]  exit status {int(problem.status)}")
    print(f"What:  {problem.sentence}\nNext:  {problem.next_move}")
    return Exit.DONE


@app.command("demo", context_settings=SETTINGS)
def demo() -> int:
    """Show a tunnel at work on this machine alone: no root, no bastion, nothing left behind."""
    from scitex_ssh import demo as play

    return play.run()


def _enrolled(
    asked: dict[str, Any],
    port: str | None,
    secret_key: str | None,
    flags: dict[str, Any],
    yes: bool,
    terminal: bool,
) -> tuple[str, str, str]:
    """What a gateway gives: port, bastion and key of the tunnel to be; and the host keys to trust."""
    why = ""
    if port is not None:
        why = "the gateway chooses the port, so -p is not for it"
    elif click.get_current_context().get_parameter_source("bastion") is ParameterSource.COMMANDLINE:
        why = "the gateway chooses the bastion, so -b is not for it"
    elif flags["dry_run"]:
        why = "a dry run changes nothing, and to enrol is a change"
    if why:
        raise error("usage", why=why, command="scitex-ssh setup")
    granted = enrol.enrolled(asked, secret_key, flags, yes, terminal, "scitex-ssh setup")
    flags.update(enrol.trust(granted, flags))
    return str(granted.port), granted.bastion, granted.key


def _quiet(_: Line) -> None:
    """For JSON: everything is said at the end."""


def _asking(said: Line) -> None:
    """Lines as they come; what is asked about is not shown as an error."""
    if getattr(said, "slug", "") not in _ASKED:
        present.line(said)


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _consent(_: SSHError) -> dict[str, Any]:
    from scitex_ssh.cli import consent

    return {"consent": True} if consent.asked("tunnels", scitex_ssh.policy.this_host()[0]) else {}


def _trusted(unknown: SSHError) -> dict[str, Any]:
    fingerprint = unknown.facts.get("fingerprint", "").split(" ")[-1]
    print(
        f"The host key of {unknown.facts['host']} is not known here. Its fingerprint is\n  {fingerprint}",
        file=sys.stderr,
    )
    trusted = click.confirm("Is that its own?", default=False, err=True)
    return {"host_key_fingerprint": (fingerprint,)} if trusted else {}


_ASKED = {"policy-unset": _consent, "host-key-unknown": _trusted}
