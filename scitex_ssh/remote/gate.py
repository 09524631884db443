"""The policy, asked before anything is touched on another machine."""

from __future__ import annotations

from scitex_ssh import config, policy
from scitex_ssh.remote.effective import effective
from scitex_ssh.remote.way import Way


def check(action: str, way: Way, consent: bool) -> None:
    """Return where ``exec``, ``copy``, ``attach`` or ``forward`` may be done to the host; else raise.

    Args:
        consent: whoever asks has the right to say yes where no policy says anything.

    Raises:
        PolicyError: where it is forbidden, or nobody said that it is allowed.
    """
    # What an alias stands for is worth a process only where there is a rule that could be about it.
    ruled = config.system().hosts or config.user().hosts
    policy.check(action, way.host.name, *(_address(way) if ruled else ()), consent=consent)


def _address(way: Way) -> tuple[str, ...]:
    return tuple(effective(way).get("hostname", ()))
