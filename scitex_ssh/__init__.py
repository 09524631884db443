"""Plain SSH to any machine behind NAT, kept alive for years.

``setup``, ``status``, ``doctor`` and ``remove`` do what the commands of these names do, and return a
`scitex_ssh.api.Result`; ``exec_remote`` and the like work on other machines, and return an `SSHResult`.
``bastions``, ``clients``, ``defaults``, ``fleets``, ``forwards``, ``gateways``, ``keys``, ``policy`` and
``skills`` are modules. Importing this package loads nothing else until one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scitex_ssh import bastions, clients, defaults, fleets, forwards, gateways, keys, policy, skills
    from scitex_ssh.api import Result, bundle, doctor, metrics, remove, setup, status
    from scitex_ssh.errors import (
        InputError,
        PolicyError,
        Problem,
        ReachError,
        SSHError,
        TunnelError,
        explain,
    )
    from scitex_ssh.forms import render_tunnel, script, scripts
    from scitex_ssh.health.fixes import Fix
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

# Where each public name is; the modules themselves are public names, too.
_HOMES = {
    "scitex_ssh.api": ("Result", "bundle", "doctor", "metrics", "remove", "setup", "status"),
    "scitex_ssh.errors": (
        *("InputError", "PolicyError", "Problem", "ReachError", "SSHError", "TunnelError", "explain"),
    ),
    "scitex_ssh.forms": ("render_tunnel", "script", "scripts"),
    "scitex_ssh.health.fixes": ("Fix",),
    "scitex_ssh.remote": (
        *("CopyResult", "ProbeResult", "SSHResult", "attach", "copy_files"),
        *("copy_from", "copy_to", "exec_many", "exec_remote", "probe_remote", "sync_dir"),
    ),
}
_MODULES = ("bastions", "clients", "defaults", "fleets", "forwards", "gateways", "keys", "policy", "skills")

__all__ = [
    "AVAILABLE",
    "CopyResult",
    "Fix",
    "InputError",
    "PolicyError",
    "ProbeResult",
    "Problem",
    "ReachError",
    "Result",
    "SSHError",
    "SSHResult",
    "TunnelError",
    "attach",
    "bastions",
    "bundle",
    "clients",
    "copy_files",
    "copy_from",
    "copy_to",
    "defaults",
    "doctor",
    "exec_many",
    "exec_remote",
    "explain",
    "fleets",
    "forwards",
    "gateways",
    "get_version",
    "keys",
    "metrics",
    "policy",
    "probe_remote",
    "remove",
    "render_tunnel",
    "script",
    "scripts",
    "setup",
    "skills",
    "status",
    "sync_dir",
]


def get_version() -> str:
    """The version, as ``scitex-ssh --version`` says it."""
    return __version__


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"scitex_ssh.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'scitex_ssh' has no attribute {name!r}")
