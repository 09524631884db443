"""Show the whole fleet, each tunnel proven anew: pyinfra -y inventory.py deploys/status.py

As JSON: pyinfra -y --data json=true inventory.py deploys/status.py
"""

from scitex_ssh.deploys import status

status()
