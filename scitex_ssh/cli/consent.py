"""The question that stands in for a policy that says nothing."""

from __future__ import annotations

import sys

import click

from scitex_ssh import config, config_edit
from scitex_ssh.errors import SSHError, error
from scitex_ssh.render.notice import NOTICE, QUESTION

_ANSWER = click.Choice(["y", "n"], case_sensitive=False)
_SUBJECT = {"tunnels": NOTICE}


def asked(action: str, host: str) -> bool:
    """Ask on the terminal, and write the answer down so that it is asked once.

    Raises:
        PolicyError: ``policy-denied`` for a no.
    """
    print(
        _SUBJECT.get(action, f"Nothing says yet whether {action} is allowed on {host}.\n"),
        end="",
        file=sys.stderr,
    )
    yes = click.prompt(f"{QUESTION} [y/n]", type=_ANSWER, show_choices=False, err=True) == "y"
    path = config.user_path()
    try:
        config_edit.put(path, action, "allow" if yes else "deny", host=None)
        print(f"Written down in {path}.", file=sys.stderr)
    except (OSError, SSHError) as problem:
        # The answer counts all the same; it will be asked again.
        print(f"Not written down: {problem}", file=sys.stderr)
    if not yes:
        raise error(
            "policy-denied", action=action, host=host, path=path, place=f"default.{action}", who="its owner"
        )
    return True
