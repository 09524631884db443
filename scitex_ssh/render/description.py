"""The description of one tunnel as JSON, for programs."""

from __future__ import annotations

from scitex_ssh.render.template import Template

# `key_json`, `on_up_json` and `on_down_json` are JSON strings without their quotes, `jumps_json` is escaped
# likewise; every other value needs no escape.
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
  "keepalive": "@keepalive@",
  "on_up": "@on_up_json@",
  "on_down": "@on_down_json@"
}
"""
)
