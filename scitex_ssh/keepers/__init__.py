"""How a tunnel is kept alive: one module a keeper, each turning a tunnel into plans."""

from __future__ import annotations

from collections.abc import Mapping

from scitex_ssh.keepers import systemd
from scitex_ssh.plan.step import Plan

KEEPERS = {"systemd": systemd}

# What a program of ours needs: each keeper's plans, by their word and their keeper, and the fragments
# that they choose among.
PLANS: Mapping[str, Plan] = {
    f"{word}_{name.replace('-', '_')}": plan()
    for name, keeper in KEEPERS.items()
    for word, plan in (("setup", keeper.setup), ("remove", keeper.remove))
}
FRAGMENTS = systemd.FRAGMENTS
