"""Keep each host's tunnels: pyinfra -y inventory.py deploys/tunnel.py

The inventory says which, as data of the host or of its group: see inventory.example.py.
"""

from scitex_ssh.deploys import tunnel

tunnel()
