"""Make each machine of the group gateways a gateway: pyinfra -y inventory.py deploys/gateway.py

Data, none of it needed: gateway_settings (a mapping, as in docs/reference/environment.md), gateway_http
(False leaves out the HTTP server and its page), gateway_package, gateway_wheels, gateway_python.
See docs/how-to/gateway.md.
"""

from scitex_ssh.deploys import gateway

gateway()
