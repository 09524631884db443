"""Remove each host's tunnels: pyinfra -y inventory.py deploys/remove.py"""

from scitex_ssh.deploys import remove

remove()
