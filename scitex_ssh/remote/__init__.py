"""SSH to other machines: commands, files, terminals."""

from scitex_ssh.remote.command import exec_remote
from scitex_ssh.remote.probe import probe_remote
from scitex_ssh.remote.results import ProbeResult, SSHResult
from scitex_ssh.remote.terminal import attach

__all__ = ["ProbeResult", "SSHResult", "attach", "exec_remote", "probe_remote"]
