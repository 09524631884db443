"""The JSON Schema of a fleet's file, for editors."""

from __future__ import annotations

from typing import Any

from scitex_ssh.fleet_file import BASTION, COMMON, HOST
from scitex_ssh.model.tunnel import FIELDS

DESCRIBED = {
    "ssh": "How this machine logs in to it: [user@]host[:port], or a name of ssh's own configuration; its "
    "name here by default.",
    "ssh_user": "The account to log in as.",
    "ssh_key": "The private key to log in with; a path, relative to this file.",
    "known_hosts": "The known_hosts file to trust, for ~/.ssh/known_hosts; a path, relative to this file.",
    "sudo": "Become root by sudo.",
    "address": "How hosts reach it, where that is not its name here.",
    "expected": "How many hosts there will be (100).",
    "plain": "The login is a plain account, without root.",
    "name": "What its bastion and ssh call it, where not its name here: up to 28 of a-z, 0-9, '-'.",
    "bastion": "The bastion that it has a port of, by its name here; the first by default.",
    "key": "The path of the key of its tunnels, on it (~/.ssh/scitex-ssh_ed25519).",
    "tunnels": "Its tunnels; one to its sshd by default.",
}
TYPES: dict[str, dict[str, Any]] = {
    "sudo": {"type": "boolean"},
    "plain": {"type": "boolean"},
    "expected": {"type": "integer", "minimum": 1, "maximum": 9999},
    "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,27}$"},
    "key": {"type": "string", "pattern": "^(/|~/)"},
}
# What a fleet says of a tunnel by itself.
FILLED = ("bastion", "key")


def schema() -> dict[str, Any]:
    """The schema, with the fields that `scitex_ssh.fleet_file` knows; a test holds the two together."""
    tunnel = {
        "type": ["object", "null"],
        "properties": {
            name: {"type": ["string", "integer", "array"]} for name in FIELDS if name not in FILLED
        },
        "additionalProperties": False,
    }

    def machine(fields: Any) -> dict[str, Any]:
        properties = {
            name: {**TYPES.get(name, {"type": "string"}), "description": DESCRIBED[name]} for name in fields
        }
        if "tunnels" in properties:
            properties["tunnels"] = {
                "type": "array",
                "items": tunnel,
                "description": DESCRIBED["tunnels"],
            }
        return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}

    def machines(fields: Any, what: str) -> dict[str, Any]:
        listed = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        named = {"type": "object", "additionalProperties": machine(fields), "minProperties": 1}
        return {"anyOf": [named, listed], "description": what}

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A fleet of scitex-ssh",
        "type": "object",
        "required": ["bastions", "hosts"],
        "additionalProperties": False,
        "properties": {
            "bastions": machines(BASTION, "The bastions, by name; nothing needs to be said of one."),
            "hosts": machines(HOST, "The hosts, by name; nothing needs to be said of one."),
            "defaults": {
                **machine(COMMON),
                "description": "What holds for each machine that says nothing else.",
            },
        },
    }
