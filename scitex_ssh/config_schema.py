"""The JSON Schema of a configuration file, for editors."""

from __future__ import annotations

from typing import Any

from scitex_ssh.config import ACTIONS, VERDICTS

HOST = r"^[A-Za-z0-9_.:\-]{1,255}$"
WORD = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]+$"

# Each key of a file that is the value of a flag.
DESCRIBED = {
    "bastion": "The bastion, [user@]host[:port], where neither -b nor SCITEX_SSH_BASTION_SERVER gives one; "
    "several with commas between them.",
    "key": "The private key, an absolute path or one below ~/, where neither -s nor "
    "SCITEX_SSH_SECRET_KEY_PATH gives one.",
    "keeper": "What keeps a tunnel alive (auto, systemd, systemd-user, cron, profile, nohup, screen, tmux), "
    "where --keeper is not given.",
    "keepalive": "fast, default, patient, or INTERVALxCOUNT, where --keepalive is not given.",
    "on_up": "A command that is run whenever a tunnel has come up, as its user, where --on-up is not given.",
    "on_down": "A command that is run whenever a tunnel is lost, as its user, where --on-down is not given.",
}


def schema() -> dict[str, Any]:
    """The schema, by the same rules as `scitex_ssh.config.faults`; a test holds the two together."""
    rules = {
        "type": ["object", "null"],
        "properties": {action: {"enum": list(VERDICTS)} for action in ACTIONS},
        "additionalProperties": False,
    }
    words = {
        name: {"type": "string", "pattern": WORD, "description": text} for name, text in DESCRIBED.items()
    }
    words["key"]["pattern"] = WORD.replace("^", "^(?=/|~/)", 1)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of scitex-ssh",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "default": {
                **rules,
                "description": "What is allowed for every host without an entry of its own.",
            },
            "hosts": {
                "type": ["object", "null"],
                "description": "What is allowed for a host, by its name.",
                "propertyNames": {"pattern": HOST},
                "additionalProperties": rules,
            },
            **words,
        },
    }
