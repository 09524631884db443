"""The first module of the .pyz to run, on any Python 3: so it is written for an old one."""

import os
import sys

# What Debian's python3-minimal leaves out of the standard library and the command line needs.
NEEDED = ("dataclasses", "gettext", "json", "shlex", "shutil")


def usable():
    if sys.version_info < (3, 9):
        return False
    from importlib.machinery import PathFinder

    return all(PathFinder.find_spec(name) for name in NEEDED)


def run():
    # The real path: neither a chdir nor a symbolic link that is moved meanwhile may change what
    # a later import finds.
    archive = os.path.realpath(sys.argv[0])
    if not usable():
        hand_over(archive)
    sys.path[0] = archive + "/site-packages"
    from scitex_ssh.cli import main

    sys.exit(main())


def hand_over(archive):
    """Have the shell header look for another Python, or be the program itself."""
    os.environ["SCITEX_SSH_PYTHON"] = "search"
    os.execv("/bin/sh", ["/bin/sh", archive, *sys.argv[1:]])
