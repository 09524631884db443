"""The values of flags that are not given, and where each comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass

from scitex_ssh import config

__all__ = ["Default", "every", "of"]

VARIABLES = {"bastion": "SCITEX_SSH_BASTION_SERVER", "key": "SCITEX_SSH_SECRET_KEY_PATH"}
BUILT_IN = {"keeper": "auto", "keepalive": "default"}


@dataclass(frozen=True)
class Default:
    """The value of one flag.

    Attributes:
        name: the flag without its dashes.
        value: its value, or None where it has to be given.
        origin: the variable or the file that it comes from, ``built in``, or ``not set``.
    """

    name: str
    value: str | None
    origin: str


def of(name: str) -> Default:
    """The first of the environment, the caller's file, the administrator's and what is built in.

    Raises:
        PolicyError: for a file that is not as it must be.
    """
    variable = VARIABLES.get(name, "")
    if variable and os.environ.get(variable):
        return Default(name, os.environ[variable], f"${variable}")
    for file in (config.user(), config.system()):
        if name in file.defaults:
            return Default(name, file.defaults[name], str(file.path))
    built_in = BUILT_IN.get(name)
    return Default(name, built_in, "built in" if built_in else "not set")


def every() -> list[Default]:
    """All of them."""
    return [of(name) for name in config.DEFAULTS]
