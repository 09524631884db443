"""The description of one tunnel as JSON, for programs."""

from __future__ import annotations

from scitex_ssh.render.template import Template

# `key_json` is the key's path as a JSON string without its quotes, `jumps_json` escaped likewise; every other
# value needs no escape.
DESCRIPTION = Template(
    """\
{
  "version": 1,
  "name": "@name@",
  "bastion": "@bastion@",
  "forwards": [@forwards_json@],
  "key": "@key_json@",
  "jumps": [@jumps_json@],
  "proxy": "@proxy@",
  "user": "@user@",
  "keeper": "@keeper@",
  "engine": "@engine@",
  "keepalive": "@keepalive@"
}
"""
)
