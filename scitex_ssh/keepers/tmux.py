"""The keeper tmux: a process in a detached terminal of tmux, to be looked at."""

from __future__ import annotations

from scitex_ssh.keepers import own
from scitex_ssh.keepers.ability import of_a_process

ABILITY = of_a_process(needs="tmux")
setup, remove = own.held, own.not_held
