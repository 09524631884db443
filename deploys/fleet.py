"""Keys, bastion and tunnels of a whole inventory: pyinfra -y inventory.py deploys/fleet.py

The group bastions holds the bastions; every other machine is a host. See docs/how-to/fleet.md.
"""

from scitex_ssh.deploys import fleet

fleet()
