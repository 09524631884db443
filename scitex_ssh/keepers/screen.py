"""The keeper screen: a process in a detached terminal of screen, to be looked at."""

from __future__ import annotations

from scitex_ssh.keepers import own
from scitex_ssh.keepers.ability import of_a_process

ABILITY = of_a_process(needs="screen")
setup, remove = own.held, own.not_held
