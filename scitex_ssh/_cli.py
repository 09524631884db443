"""Where the umbrella package looks for this command: ``scitex ssh ...`` is ``scitex-ssh ...``."""

from __future__ import annotations

import sys

import click

from scitex_ssh.cli.entry import run


@click.command(
    "ssh",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def main(words: tuple[str, ...]) -> None:
    """Plain SSH to any machine behind NAT, kept alive for years."""
    sys.exit(run(list(words)))
