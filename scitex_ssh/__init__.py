"""Plain SSH to any machine behind NAT, kept alive for years.

``setup``, ``status``, ``doctor`` and ``remove`` do what the commands of these names do, and return a
`scitex_ssh.api.Result`; ``exec_remote`` and the like work on other machines, and return an `SSHResult`.
Importing this package loads nothing else until one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scitex_ssh.api import Result, doctor, remove, setup, status
    from scitex_ssh.errors import InputError, PolicyError, ReachError, SSHError, TunnelError
    from scitex_ssh.remote import (
        CopyResult,
        ProbeResult,
        SSHResult,
        attach,
        copy_files,
        copy_from,
        copy_to,
        exec_many,
        exec_remote,
        probe_remote,
        sync_dir,
    )

__version__ = "2.0.0"

# True: the package is there, and the commands need nothing that may be missing.
AVAILABLE = True

_API = ("Result", "doctor", "remove", "setup", "status")
_REMOTE = (
    *("CopyResult", "ProbeResult", "SSHResult", "attach", "copy_files"),
    *("copy_from", "copy_to", "exec_many", "exec_remote", "probe_remote", "sync_dir"),
)
_ERRORS = ("InputError", "PolicyError", "ReachError", "SSHError", "TunnelError")

__all__ = [
    "AVAILABLE",
    "CopyResult",
    "InputError",
    "PolicyError",
    "ProbeResult",
    "ReachError",
    "Result",
    "SSHError",
    "SSHResult",
    "TunnelError",
    "attach",
    "copy_files",
    "copy_from",
    "copy_to",
    "doctor",
    "exec_many",
    "exec_remote",
    "get_version",
    "probe_remote",
    "remove",
    "setup",
    "status",
    "sync_dir",
]


def get_version() -> str:
    """The version, as ``scitex-ssh --version`` says it."""
    return __version__


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _API:
        return getattr(import_module("scitex_ssh.api"), name)
    if name in _REMOTE:
        return getattr(import_module("scitex_ssh.remote"), name)
    if name in _ERRORS:
        return getattr(import_module("scitex_ssh.errors"), name)
    raise AttributeError(f"module 'scitex_ssh' has no attribute {name!r}")
