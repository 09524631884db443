"""How a tunnel is kept alive: one module a keeper, each turning a tunnel into plans."""

from __future__ import annotations

from collections.abc import Mapping

from scitex_ssh.keepers import cron, nohup, profile, screen, systemd, systemd_user, tmux
from scitex_ssh.keepers.ability import Ability
from scitex_ssh.plan.step import Plan
from scitex_ssh.render.template import Template

# In the order in which ``auto`` tries the first four.
KEEPERS = {
    "systemd": systemd,
    "systemd-user": systemd_user,
    "cron": cron,
    "profile": profile,
    "nohup": nohup,
    "screen": screen,
    "tmux": tmux,
}
ABILITIES: Mapping[str, Ability] = {name: keeper.ABILITY for name, keeper in KEEPERS.items()}

# What a program of ours needs: each keeper's plans, by their word and their keeper, and the fragments
# that they choose among.
PLANS: Mapping[str, Plan] = {
    f"{word}_{name.replace('-', '_')}": plan()
    for name, keeper in KEEPERS.items()
    for word, plan in (("setup", keeper.setup), ("remove", keeper.remove))
}
FRAGMENTS: Mapping[str, Template] = {
    **systemd.FRAGMENTS,
    **{
        f"survives_{name.replace('-', '_')}": Template(ability.survives())
        for name, ability in ABILITIES.items()
    },
}
