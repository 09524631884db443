"""How a tunnel is kept alive: one module a keeper, each turning a tunnel into plans."""

from scitex_ssh.keepers import systemd

# What a program of ours needs of its keeper: the plans by word, and the fragments they choose among.
PLANS = {"setup": systemd.setup(), "remove": systemd.remove()}
FRAGMENTS = systemd.FRAGMENTS
