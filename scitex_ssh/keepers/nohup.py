"""The keeper nohup: a process in the background, out of reach of a logout, and nothing more."""

from __future__ import annotations

from scitex_ssh.keepers import own
from scitex_ssh.keepers.ability import of_a_process

ABILITY = of_a_process(needs="nothing")
setup, remove = own.held, own.not_held
