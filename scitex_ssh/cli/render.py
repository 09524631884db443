"""A tunnel in another form: printed, and nothing touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from scitex_ssh import api, forms
from scitex_ssh.cli import present
from scitex_ssh.cli.app import describing
from scitex_ssh.errors import Exit
from scitex_ssh.model import Tunnel
from scitex_ssh.render.argv import argv


@click.command("render")
@click.option(
    "--as",
    "form",
    type=click.Choice(forms.FORMS),
    default="shell",
    show_default=True,
    help="argv (a word a line) and shell are one ssh command that needs no file of ours; unit, crontab, "
    "ssh-config and json are the files as setup would write them.",
)
@describing
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
@click.pass_context
def render(context: click.Context, /, form: str, as_json: bool, **flags: Any) -> int:
    """Print a tunnel in another form: one that the flags describe, or with -p or -n alone one that stands.

    Nothing is touched and no bastion is asked. A unit is systemd's unless --keeper says systemd-user, a
    crontab is cron's; without --keeper, all else is as with systemd. Where there are several bastions, it is
    one after the other.
    """
    tunnels = _tunnels(context, flags)
    text = forms.text(tunnels, form)
    if as_json:
        words = {"argv": argv(tunnels[0])} if form in ("argv", "shell") and len(tunnels) == 1 else {}
        shown = forms.text(tunnels, "shell") if form == "argv" else text
        present.envelope("render", {"success": True, "form": form, **words, "text": shown})
    else:
        print(text, end="")
    return Exit.DONE


def _tunnels(context: click.Context, flags: dict[str, Any]) -> Sequence[Tunnel]:
    """What is meant: by a port or a name alone it is what stands."""
    source = context.get_parameter_source
    given = {name for name in flags if source(name) is ParameterSource.COMMANDLINE}
    if given and given <= {"port", "name"}:
        return forms.meant(flags["port"], None, None, name=flags["name"])
    return api.each_described(
        flags.pop("port"), flags.pop("bastion") or None, flags.pop("secret_key"), **flags
    )
