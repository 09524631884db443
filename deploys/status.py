"""Show each host's tunnels, proven anew: pyinfra -y inventory.py deploys/status.py"""

from pyinfra import host, logger

from scitex_ssh.facts.tunnels import Tunnels

for seen in host.get_fact(Tunnels):
    logger.info(f"{host.print_prefix}{seen['port']} {seen['level']} {seen['bastion']} {seen['detail']}")
