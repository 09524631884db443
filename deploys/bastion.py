"""Make the machines of the group bastions such: pyinfra -y inventory.py deploys/bastion.py"""

from scitex_ssh.deploys import bastion

bastion()
