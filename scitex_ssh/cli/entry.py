"""From the words on the command line to an exit status, whatever happens on the way."""

from __future__ import annotations

import os
import sys
import traceback

import click

from scitex_ssh.cli import present
from scitex_ssh.cli.app import GROUPS, app
from scitex_ssh.errors import Exit, SSHError, error

# A group without a command shows its help; since click 8.2 it says so by an error of its own.
_NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())


def run(arguments: list[str]) -> int:
    """Run the command; every error becomes one message and its exit status, never a traceback."""
    failure = present.Failure(arguments, GROUPS)
    status = int(Exit.DONE)
    try:
        status = int(app.main(arguments, prog_name="scitex-ssh", standalone_mode=False) or 0)
        sys.stdout.flush()
        return status
    except SSHError as problem:
        return failure.show(problem)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, click.Abort):
        return failure.show(error("interrupted"))
    except click.UsageError as misuse:
        if isinstance(misuse, _NO_ARGUMENTS) and misuse.ctx:
            print(misuse.ctx.get_help())
            return Exit.DONE
        return failure.show(_usage(misuse))
    except click.ClickException as problem:
        return failure.show(error("usage", why=problem.message, command="scitex-ssh"))
    except BrokenPipeError:
        # Whoever read us has enough; say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status
    except OSError as problem:
        path = problem.filename or "a file"
        why = (problem.strerror or str(problem)).lower()
        return failure.show(error("file-failed", path=path, why=why))
    except Exception as problem:
        if os.environ.get("SCITEX_SSH_DEBUG_MODE") == "1":
            traceback.print_exc()
        why = f"{type(problem).__name__}: {problem}"
        return failure.show(error("internal", why=why))


def _usage(misuse: click.UsageError) -> SSHError:
    command = misuse.ctx.command_path if misuse.ctx else "scitex-ssh"
    why = misuse.format_message().rstrip(".").replace("\n", " ")
    return error("usage", why=why[:1].lower() + why[1:], command=command)
