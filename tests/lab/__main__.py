"""The lab by hand: `python -m tests.lab up`, `clean` or `trees`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from contextlib import suppress

from .container import Container
from .lab import Lab, clean, together
from .shell import ROOT
from .trees import SUITES, prune, tree
from .world import World, inhabited


def up(suite: str) -> None:
    """Give a world until Ctrl-C."""
    # An end by SIGTERM runs the same way out as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Lab() as lab:
        say(f"Booting three hosts of {suite}...")
        with inhabited(lab, suite) as world:
            _introduce(world)
            while True:
                time.sleep(60)
    say("All gone.")


def trees() -> None:
    """Build all trees and remove those of former recipes."""
    for path in together(*(lambda suite=suite: tree(suite) for suite in SUITES)):
        print(path)
    for path in prune():
        say(f"Removed {path}.")


def say(words: str) -> None:
    """Say something to whoever sits at the terminal."""
    print(words, file=sys.stderr)


def _introduce(world: World) -> None:
    for host in world.hosts:
        print(f"{host.name:12} {host.address:15} {host.address6:20} {_door(host.container)}")
    say("alice is on the workstation, carol on the client: `su - alice`. Ctrl-C ends it all.")


def _door(container: Container) -> str:
    """Return the command that opens a root shell on a host, outside of any session there."""
    return shlex.join([*container.enter(), *ROOT, "/bin/bash"])


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    world = commands.add_parser("up", help="boot a workstation, a bastion and a client")
    world.add_argument("--suite", choices=SUITES, default="bookworm")
    commands.add_parser("clean", help="remove what killed runs have left")
    commands.add_parser("trees", help="build the trees the hosts are laid over")
    chosen = parser.parse_args()
    if chosen.command == "up":
        up(chosen.suite)
    elif chosen.command == "trees":
        trees()
    else:
        say(f"Removed {', '.join(clean()) or 'nothing'}.")


main()
