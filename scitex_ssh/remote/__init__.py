"""SSH to other machines: commands, files, terminals."""

from scitex_ssh.remote.command import exec_many, exec_remote
from scitex_ssh.remote.copy import copy_files, copy_from, copy_to
from scitex_ssh.remote.probe import probe_remote
from scitex_ssh.remote.results import CopyResult, ProbeResult, SSHResult
from scitex_ssh.remote.sync import sync_dir
from scitex_ssh.remote.terminal import attach

__all__ = [
    "CopyResult",
    "ProbeResult",
    "SSHResult",
    "attach",
    "copy_files",
    "copy_from",
    "copy_to",
    "exec_many",
    "exec_remote",
    "probe_remote",
    "sync_dir",
]
