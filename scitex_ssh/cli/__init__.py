"""The command line: parse, call, present."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command that ``sys.argv`` names; returns its exit status (`scitex_ssh.errors.Exit`)."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        # Without click: this is asked often, and click costs more than all the rest.
        from scitex_ssh import __version__

        print(f"scitex-ssh {__version__}")
        return 0
    from scitex_ssh.cli.entry import run

    return run(sys.argv[1:])
