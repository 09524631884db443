"""What is read from the environment and from the configuration."""

from __future__ import annotations

import json
import re

from reference.text import ROOT, fence, page

VARIABLES = {
    "SCITEX_SSH_GATEWAY_TOKEN": "`setup --gateway`: the join token, where no `--token-file` is given.",
    "SCITEX_SSH_GATEWAY_DATABASE": "`gateway`: its database, a URL of SQLAlchemy. By default "
    "`sqlite:///$STATE_DIR/gateway.db`. This and all below may also stand in `/etc/scitex-ssh/gateway.env`.",
    "SCITEX_SSH_GATEWAY_APPROVE": "`gateway`: `1` has new machines wait for an admin.",
    "SCITEX_SSH_GATEWAY_SERVER_KEYS": "`gateway`: `1` makes keys for agents of ssh-tunnel-gateway 0.4.3.",
    "SCITEX_SSH_GATEWAY_ENROL_USER": "`gateway`: the account over which machines enrol (`enrol`).",
    "SCITEX_SSH_GATEWAY_BASTION": "`gateway`: what this bastion is called, where several share a database.",
    "SCITEX_SSH_GATEWAY_OPEN_PAGE": "`gateway`: `1` shows its page, read only, to whoever reaches it.",
    "SCITEX_SSH_GATEWAY_TLS_CERT": "`gateway`: a certificate (PEM), as `--tls-cert`.",
    "SCITEX_SSH_GATEWAY_TLS_KEY": "`gateway`: its private key, as `--tls-key`.",
    "SCITEX_SSH_GATEWAY_PLAIN_HTTP": "`gateway`: `1` serves other machines without TLS, as `--plain-http`.",
    "SCITEX_SSH_GATEWAY_PROXY": "`gateway`: the address of a proxy in front, as `--proxy`.",
    "SCITEX_SSH_GATEWAY_SSH_PORT": "`gateway`: the port of the bastion's sshd, as machines reach it (22).",
    "API_KEY": "`gateway`: a shared key that enrols machines over HTTP.",
    "API_KEYS": "`gateway`: several, with commas between them.",
    "API_KEY_HEADER": "`gateway`: the header that holds it (`X-API-Key`).",
    "STATE_DIR": "`gateway`: the folder of the database (`/var/lib/scitex-ssh-gateway`).",
    "SERVER_HOST": "`gateway`: where HTTP is served (`127.0.0.1`).",
    "SERVER_PORT": "`gateway`: its port (12000).",
    "SSH_USER": "`gateway`: the account that holds the tunnels (`tunnel`).",
    "SSH_JUMP_USER": "`gateway`: the account through which people reach them (the same).",
    "SSH_PUBLIC_HOST": "`gateway`: the bastion's name, as machines and people write it.",
    "AUTHORIZED_KEYS_PATH": "`gateway`: a file in which a block of keys is kept, where sshd does not ask.",
    "AGENT_REVERSE_BIND_HOST": "`gateway`: the address on which tunnels listen (`localhost`).",
    "PORT_RANGE_START": "`gateway`: the first port that is given out (20000).",
    "PORT_RANGE_END": "`gateway`: the last one (32767). Ephemeral ports in between are left out.",
    "LEASE_TTL_DAYS": "`gateway`: how long a machine that is not seen keeps its port (7).",
    "SCITEX_SSH_BASTION_SERVER": "The bastion, where `-b` is not given. A flag wins.",
    "SCITEX_SSH_SECRET_KEY_PATH": "The key, where `-s` is not given. A flag wins.",
    "SCITEX_SSH_CONFIG": "Your own [configuration](configuration.md), in place of "
    "`~/.scitex/ssh/config.yaml`.",
    "SCITEX_SSH_TUNNEL": "Set for the commands [on_up and on_down](../how-to/hooks.md): the tunnel's name.",
    "SCITEX_SSH_STATE": "Set for the same: `up` or `down`.",
    "SCITEX_SSH_DEBUG_MODE": "`1`: show every shell command as it is run (`sh -x`), and tracebacks.",
    "SCITEX_SSH_PYTHON": "Read by the .pyz only. A path: use this Python; `search`: try each Python before "
    "it is used; `none`: be the shell program, as on a machine without Python.",
    "NO_COLOR": "Set to anything: no colours (no-color.org).",
    "FORCE_COLOR": "Set to anything: colours where the output is no terminal, too.",
    "TERM": "`dumb`: no colours.",
    "TMPDIR": "Where the temporary folder of a run is made.",
    "SUDO_USER": "Set by sudo: the account that the tunnel is for, where `--user` is not given.",
    "PATH": "Where `ssh`, `ssh-keygen`, `systemctl`, `sudo` and the rest are looked for.",
}
# Between parts of the program; not to be set by anybody else.
INTERNAL = {
    "SCITEX_SSH_ATTEMPT",
    "SCITEX_SSH_DETACHED",
    "SCITEX_SSH_ROOTED",
    # The caller's XDG folders, for root.
    "SCITEX_SSH_CONFIG_HOME",
    "SCITEX_SSH_STATE_HOME",
    "SCITEX_SSH_ZDOTDIR",
    "SCITEX_SSH_STOP",
}


def environment() -> str:
    """The variables that are read; an own one that this file does not know stops the build."""
    package = ROOT / "scitex_ssh"
    sources = [*package.rglob("*.py"), *package.rglob("*.sh"), ROOT / "build/pyz_header.sh"]
    found = set()
    for path in sources:
        found |= set(re.findall(r"SCITEX_SSH_[A-Z_]+", path.read_text(encoding="utf-8")))
    known = {name for name in VARIABLES if name.startswith("SCITEX_SSH_")} | INTERNAL
    if found != known:
        raise SystemExit(f"docs: build/reference/settings.py and the code differ: {found ^ known}")
    rows = ["| variable | meaning |", "|---|---|"]
    rows += [f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items()]
    return page(
        [
            "# Environment variables",
            "\n".join(rows),
            "The tunnel itself reads none of them: what it needs stands in its folder and its unit.",
        ]
    )


def configuration() -> str:
    """The two files, their keys, and what beats what."""
    from scitex_ssh.config import ACTIONS
    from scitex_ssh.config_schema import DESCRIBED

    about = {
        "tunnels": "Keep a reverse tunnel; the host is this machine.",
        "exec": "Run a command on the host.",
        "copy": "Copy files from or to the host.",
        "attach": "Open a terminal on the host.",
        "forward": "Forward ports to the host.",
    }
    rows = ["| action | what it is |", "|---|---|", *(f"| `{name}` | {about[name]} |" for name in ACTIONS)]
    keys = [
        "| key | what it is |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in DESCRIBED.items()),
    ]
    example = """\
default:
  tunnels: allow
  exec: deny
hosts:
  lab1: {exec: allow, copy: allow}
bastion: tunnel@gw.example.com
key: ~/.ssh/id_ed25519
keeper: systemd-user
keepalive: fast
on_down: logger -t tunnel "$SCITEX_SSH_TUNNEL is down"
"""
    return page(
        [
            "# Configuration",
            "Two files of the same form, neither of which has to be there: the administrator's, "
            "`/etc/scitex-ssh/config.yaml`, and your own, `~/.scitex/ssh/config.yaml` (or the one that "
            "`SCITEX_SSH_CONFIG` names).",
            fence(example, "yaml"),
            "For editors there is a [JSON Schema](config.schema.json): begin the file with "
            "`# yaml-language-server: $schema=config.schema.json`, with the path or address of your copy.",
            "## What is allowed",
            "`default` holds a verdict (`allow` or `deny`) for an action, `hosts` the same for one host, "
            "whose "
            "entry beats the default of its file. A name is compared without regard to capitals. A deny "
            "in the "
            "administrator's file cannot be overridden; a deny in your own stands, too; else an allow in "
            "either "
            "is enough. `scitex-ssh policy show` tells the answers with their origin, "
            "[say what is allowed](../how-to/policy.md) more about it.",
            "\n".join(rows),
            "## Values for flags",
            "A flag beats the environment, that your file, that the administrator's, and that what is "
            "built in. "
            "`scitex-ssh config show --origin` tells which it is. The scripts for hosts without Python "
            "read the "
            "verdicts only.",
            "\n".join(keys),
            "## When a file is wrong",
            "An unknown key, a value that is none of the above, a key given twice, a file that is not "
            "UTF-8 or "
            "no YAML, one that cannot be read: nothing is allowed, and the error "
            "([policy-broken](errors.md#policy-broken), "
            "[policy-unreadable](errors.md#policy-unreadable)) says "
            "where. Every scalar is read as text, so that `tunnels: no` is an error and no verdict.",
        ]
    )


def config_schema() -> str:
    """The schema of the configuration."""
    from scitex_ssh.config_schema import schema

    return json.dumps(schema(), indent=2) + "\n"


def fleet_schema() -> str:
    """The schema of a fleet's file."""
    from scitex_ssh.fleet_schema import schema

    return json.dumps(schema(), indent=2) + "\n"
