"""The keepers, and the files of a tunnel."""

from __future__ import annotations

import json

from reference.text import ROOT, fence, page

EXAMPLE = ROOT / "tests/golden/plain"


def keepers() -> str:
    """What each keeper can do, as it declares it."""
    import importlib

    from scitex_ssh.keepers import ABILITIES

    rows = [
        "| keeper | root | logout | crash | reboot | reboot without login | needs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, able in ABILITIES.items():
        root = "yes" if able.root else "no"
        cells = (root, able.logout, able.crash, able.reboot, able.unattended, able.needs)
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    notes = []
    for name in ABILITIES:
        doc = importlib.import_module(f"scitex_ssh.keepers.{name.replace('-', '_')}").__doc__ or ""
        what = doc.strip().partition(": ")[2]
        notes.append(f"- `{name}`: {what}")
    return page(
        [
            "# Keepers",
            "What keeps a tunnel alive: `--keeper` of `setup`, `keeper` in an inventory and in "
            "Python. How to "
            "choose: [without root](../how-to/without-root.md).",
            "What a tunnel survives:",
            "\n".join(rows),
            "*Crash*: the supervisor and its ssh are killed at once. A lost connection, a restarted "
            "bastion, a "
            "new address or a killed ssh is the same for all of them: the "
            "[supervisor](../explanation/supervisor.md) "
            "connects again.",
            "\n".join(notes),
            "`auto`, the default, keeps a tunnel that is there as it is kept. Else it takes the first of "
            "`systemd` (as root, or where sudo lets you), `systemd-user`, `cron` and `profile` that "
            "will do here, "
            "and says which, and what that survives.",
        ]
    )


def unit() -> str:
    """The unit and the rest of one tunnel, as the program writes them (held by tests/golden)."""
    flags = json.loads((EXAMPLE / "flags.json").read_text(encoding="utf-8"))
    command = " ".join(
        [
            "scitex-ssh setup",
            *(f"-{flag} {flags[name]}" for flag, name in (("p", "port"), ("b", "bastion"), ("s", "key"))),
        ]
    )
    folder = f"/etc/scitex-ssh/tunnels/{flags['port']}"
    return page(
        [
            "# The files of a tunnel",
            f"What `{command}` writes for alice. The host keys and the id of the key are examples.",
            f"Besides these: `{folder}/run`, the supervisor (the same for every tunnel, "
            f"[its source](../../scitex_ssh/keepers/run.sh)), and `{folder}/key`, a link to the key. While "
            f"the tunnel runs, `/run/scitex-ssh/{flags['port']}/` holds its state. `remove` takes all of it "
            "away.",
            "Why each line of the unit is there: [the sandbox, line by line](../explanation/sandbox.md).",
            f"## /etc/systemd/system/autossh-tunnel-{flags['port']}.service",
            fence(_golden("unit"), "ini"),
            f"## {folder}/ssh_config",
            "The two long lines are the words that the tunnel says on the bastion: see [taking a port back]"
            "(../explanation/take-back.md).",
            fence(_golden("ssh_config"), "text"),
            f"## {folder}/known_hosts",
            "The bastion's host keys, pinned at set-up.",
            fence(_golden("known_hosts"), "text"),
            f"## {folder}/tunnel.json",
            "The description, for other programs.",
            fence(_golden("tunnel.json"), "json"),
        ]
    )


def _golden(name: str) -> str:
    return (EXAMPLE / name).read_text(encoding="utf-8")
