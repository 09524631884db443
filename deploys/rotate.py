"""New for old, proven before the old one goes: pyinfra -y inventory.py deploys/rotate.py

As it is, every host gets a new key. Hosts whose data name another bastion now are moved there with
pyinfra -y --data rotate=bastion inventory.py deploys/rotate.py. See docs/how-to/fleet.md.
"""

from scitex_ssh.deploys import rotate

rotate()
