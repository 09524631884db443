#!/usr/bin/env python3
"""Write the reference pages, docs/reference/, from the code.

    python build/docs.py            write them anew
    python build/docs.py --check    write nothing; exit status 1, and a diff, when a page has drifted

The pages are the same on every machine and every Python from 3.10 on, and carry no date.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

REFERENCE = ROOT / "docs/reference"
EXAMPLE = ROOT / "tests/golden/plain"
WIDTH = 90


# --- the command line -------------------------------------------------------------------------


def cli() -> str:
    """The help of every command, and of the generic scripts."""
    import click

    from scitex_ssh.cli.app import app

    parts = [
        "# Command line",
        "Every command answers `--help`; `scitex-ssh --help-recursive` prints all of it. What each "
        "ends with is in [exit statuses](exit-statuses.md), what it reads from the environment in "
        "[environment](environment.md), what `--json` prints in [JSON](json.md).",
        "The commands below `scitex-ssh tunnel` are the same as those at the top, and are not listed twice.",
    ]
    for path, command in _commands(app, "scitex-ssh"):
        parent = None
        for name in path.split()[:-1]:
            parent = click.Context(click.Group(), info_name=name, parent=parent)
        settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
        with click.Context(command, info_name=path.split()[-1], parent=parent, **settings) as context:
            parts += [f"## {path}", _fence(command.get_help(context), "text")]
    parts += [
        "## The generic scripts",
        "Written by `scitex-ssh scripts FOLDER`; for a machine without Python. The .pyz is the same "
        "program there: `sh scitex-ssh.pyz setup ...`.",
    ]
    for name, text in _scripts().items():
        parts += [f"### {name}", _fence(_script_help(name, text), "text")]
    return _page(parts)


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The commands below a group, each with the words that call it; those of `tunnel` are known."""
    import click

    yield path, group
    if not isinstance(group, click.Group):
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        child = group.get_command(context, name)
        assert child is not None
        if path == "scitex-ssh tunnel" or child.hidden:
            continue
        yield from _commands(child, f"{path} {name}")


def _scripts() -> dict[str, str]:
    from scitex_ssh.backends.shell import generic_scripts

    return generic_scripts()


def _script_help(name: str, text: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(["sh", path, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


# --- errors and exit statuses -----------------------------------------------------------------

# What each status means to a script that looks at it.
STATUSES = {
    0: "Done, or already so.",
    1: "Failed: something on this machine went wrong, or there is no such tunnel.",
    2: "Usage: what was asked for cannot be right. Nothing was touched.",
    3: "Refused: it is not allowed, here or by the bastion.",
    10: "Configuration: this machine, or the key, is not as it must be. Nothing was touched.",
    20: "The bastion cannot be reached.",
    21: "The bastion does not let the key in.",
    22: "The bastion's host key is unknown, or is not the one that was expected.",
    23: "The port on the bastion is not to be had.",
    50: "The tunnel does not work or cannot be shown to (`setup`), or any of them (`status`), or a check "
    "failed (`doctor`).",
    130: "Interrupted; what was there before is back.",
}


def exit_statuses() -> str:
    """The statuses, and the errors that lead to each."""
    from scitex_ssh.errors import CATALOGUE, Exit

    rows = ["| status | meaning | errors |", "|---:|---|---|"]
    for status in Exit:
        slugs = [problem.slug for problem in CATALOGUE.values() if problem.status == status]
        links = ", ".join(f"[{slug}](errors.md#{slug})" for slug in slugs)
        rows.append(f"| {int(status)} | {STATUSES[int(status)]} | {links} |")
    return _page(
        [
            "# Exit statuses",
            "The same for the command, the scripts and the .pyz without Python. With several tunnels or "
            "several errors, the first error decides. pyinfra has its own: a host whose tunnel cannot be "
            "proven fails, and the run ends with 1.",
            "\n".join(rows),
        ]
    )


def errors() -> str:
    """The catalogue, a heading a slug."""
    from scitex_ssh.errors import CATALOGUE

    parts = [
        "# Errors",
        "Every error has a name that does not change (its slug), one sentence that says what and why, a "
        "next move and an exit status. `scitex-ssh explain SLUG` prints an entry. Words in `{braces}` "
        "are filled in by the error that you see.",
    ]
    for problem in CATALOGUE.values():
        parts += [
            f"## {problem.slug}",
            f"> {_braces(problem.sentence)}",
            f"Next: {_braces(problem.next_move)}",
            f"Exit status [{int(problem.status)}](exit-statuses.md).",
        ]
    return _page(parts)


def _braces(text: str) -> str:
    """A catalogue text as Markdown: its facts as code, nothing else read as markup."""
    plain = re.sub(r"([\\*<>\[\]_])", r"\\\1", text)
    return re.sub(r"\{([\w\\]+)\}", lambda match: f"`{{{match[1]}}}`".replace("\\", ""), plain)


# --- the environment --------------------------------------------------------------------------

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
        raise SystemExit(f"docs: build/docs.py describes other variables than are read: {found ^ known}")
    rows = ["| variable | meaning |", "|---|---|"]
    rows += [f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items()]
    return _page(
        [
            "# Environment variables",
            "\n".join(rows),
            "The tunnel itself reads none of them: what it needs stands in its folder and its unit.",
        ]
    )


# --- the configuration ------------------------------------------------------------------------


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
    return _page(
        [
            "# Configuration",
            "Two files of the same form, neither of which has to be there: the administrator's, "
            "`/etc/scitex-ssh/config.yaml`, and your own, `~/.scitex/ssh/config.yaml` (or the one that "
            "`SCITEX_SSH_CONFIG` names).",
            _fence(example, "yaml"),
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


# --- JSON -------------------------------------------------------------------------------------

FIELDS = {
    "version": "The version of this shape. Fields may be added; one that changes or goes raises it.",
    "command": "The command; empty where the command line itself was wrong.",
    "success": "True when the exit status is 0.",
    "status": "The [exit status](exit-statuses.md).",
    "changed": "Something was changed, or would be in a dry run.",
    "events": "What became of each step, in order.",
    "events[].tunnel": "The tunnel's name: its port.",
    "events[].event": "`ok`, `changed`, `would-change`, `failed` or `restored`.",
    "events[].step": "What the step is, in words.",
    "diff": "In a dry run, the lines that would change.",
    "diff[].tunnel": "The tunnel's name.",
    "diff[].line": "One line of a unified diff.",
    "proofs": "`setup`: what was shown of each tunnel.",
    "proofs[].tunnel": "The tunnel's name.",
    "proofs[].level": "`verified`, or `listening` with `--accept-listening`.",
    "proofs[].bastion": "The bastion.",
    "proofs[].target": "What the first forward leads to.",
    "proofs[].says": "What all its forwards do, in words.",
    "tunnels": "`status`: one entry a tunnel.",
    "tunnels[].tunnel": "The tunnel's name.",
    "tunnels[].port": "Its first port on the bastion, or null.",
    "tunnels[].forwards": "What it forwards, one a forward.",
    "tunnels[].forwards[].kind": "`remote`, `local`, or a SOCKS proxy: `socks` on the bastion, `dynamic` "
    "here.",
    "tunnels[].forwards[].listen": "Where it listens: `host:port`, `*` being every address, or a socket.",
    "tunnels[].forwards[].port": "The port there, or null.",
    "tunnels[].forwards[].target": "What it leads to, or null.",
    "tunnels[].forwards[].level": "What was seen of this forward, or null; the tunnel's is the worst.",
    "tunnels[].level": "`verified`, `listening`, `running` or `down`: see [what verified means]"
    "(../explanation/verified.md).",
    "tunnels[].cause": "The slug of an [error](errors.md) or a word such as `stopped`, or null.",
    "tunnels[].detail": "The same in words.",
    "tunnels[].bastion": "The bastion.",
    "tunnels[].jumps": "The hosts on the way to it, each `user@host[:port]`, the nearest first.",
    "tunnels[].proxy": "The proxy that the first connection of the way goes through, or null.",
    "tunnels[].target": "What the first forward leads to.",
    "tunnels[].keeper": "What keeps it alive: see [keepers](keepers.md).",
    "tunnels[].engine": "`ssh` or `autossh`.",
    "tunnels[].key": "The path of the key.",
    "tunnels[].user": "The account that keeps the tunnel.",
    "tunnels[].pid": "The process that keeps it, or null.",
    "tunnels[].started": "When that process began (Unix time), or null.",
    "tunnels[].since": "Unix time of the last change (connected, lost, waiting), or null.",
    "tunnels[].restarts": "How often it began anew since the service was started.",
    "tunnels[].uptime": "Seconds since its connection was made, or null where it is down.",
    "tunnels[].error": "The last thing that went wrong, in words, or null. It may be long over.",
    "tunnels[].error_at": "Unix time of that, or null.",
    "tunnels[].next_retry": "Unix time of the next attempt, or null when none is waited for.",
    "tunnels[].take_back": "`hold`: a stale port is taken back; `plain`: the bastion runs no command for "
    "this key, so it is not; null: not known.",
    "tunnels[].adopted": "True for a tunnel that another tool made.",
    "checks": "`doctor`: the checks, in the order in which SSH happens.",
    "checks[].tunnel": "The tunnel's name, or null where a way without one was examined.",
    "checks[].name": "The check's name, which does not change.",
    "checks[].title": "What is checked.",
    "checks[].verdict": "`ok`, `failed`, `warning` or `not-reached`.",
    "checks[].evidence": "What was seen.",
    "checks[].slug": "The [error](errors.md) that was found, or null.",
    "checks[].sentence": "Its words, or null.",
    "checks[].next": "What to do about it, or null.",
    "hosts": "`bastion`: the hosts that this bastion knows.",
    "hosts[].name": "The host's name.",
    "hosts[].account": "The account that it logs in as.",
    "hosts[].ports": "The ports that it may hold.",
    "hosts[].holds": "Those of them that are held now.",
    "hosts[].keys": "Its public keys.",
    "hosts[].fingerprints": "The fingerprints of those.",
    "keepers": "`setup --keeper auto`: which keeper it took.",
    "keepers[].tunnel": "The tunnel's name.",
    "keepers[].keeper": "The [keeper](keepers.md).",
    "keepers[].survives": "What a tunnel that is kept so survives.",
    "warnings": "What is not as good as it could be; with the fields of an error.",
    "warnings[].slug": "The name of the [error](errors.md).",
    "warnings[].sentence": "What is not so good, and why.",
    "warnings[].next": "What to do about it.",
    "warnings[].facts": "What the sentence names.",
    "warnings[].status": "The exit status that it would have alone; it does not set any.",
    "errors": "The errors, the first deciding the status.",
    "errors[].slug": "The error's name.",
    "errors[].sentence": "What went wrong, and why.",
    "errors[].next": "What to do next.",
    "errors[].facts": "What the sentence names, text by name.",
    "errors[].status": "The exit status of that error alone.",
    "stdout": "The events as text, for callers of version 1.",
    "stderr": "The errors as text, for callers of version 1.",
}


def json_shape() -> str:
    """The fields as the code makes them, with an example of each kind."""
    samples = _samples()
    types: dict[str, set[str]] = {}
    for sample in samples.values():
        _walk(sample, "", types)
    if set(types) != set(FIELDS):
        difference = set(types) ^ set(FIELDS)
        raise SystemExit(f"docs: build/docs.py describes other fields than are made: {difference}")
    rows = ["| field | type | meaning |", "|---|---|---|"]
    rows += [f"| `{path}` | {' or '.join(sorted(types[path]))} | {FIELDS[path]} |" for path in FIELDS]
    parts = [
        "# JSON",
        f"With `--json`, {_enumeration(_speaks_json())} and those of `bastion` and `key` print one object on "
        "standard output and nothing else, also when they fail. The functions of the same names in "
        "[Python](python.md) return a mapping with the same fields but `version` and `command`. The same "
        "for programs, of `status`: [status.schema.json](status.schema.json).",
        "\n".join(rows),
    ]
    elsewhere = _elsewhere()
    other = _other_fields(elsewhere)
    parts += [
        "## exec, probe, copy, sync, keys",
        "`exec`, `probe`, `copy` and `sync` print what became of each host instead, `key new`, `key list` "
        "and `key check` the keys.",
        "\n".join(other),
    ]
    for title, sample in [*elsewhere.items(), *samples.items()]:
        parts += [f"## {title}", _fence(json.dumps(sample, indent=2, ensure_ascii=False), "json")]
    return _page(parts)


# Words of a field that are all that can be there.
ONE_OF = {
    "tunnels[].level": ["verified", "listening", "running", "down"],
    "tunnels[].engine": ["", "ssh", "autossh"],
    "tunnels[].take_back": ["hold", "plain", None],
    "command": ["status"],
    "version": [1],
}
_JSON_TYPES = {
    "text": "string",
    "number": "integer",
    "true/false": "boolean",
    "list": "array",
    "object": "object",
    "null": "null",
}


def status_schema() -> str:
    """The JSON Schema of what ``status --json`` prints."""
    types: dict[str, set[str]] = {}
    for sample in _samples().values():
        _walk(sample, "", types)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "scitex-ssh status --json, version 1",
        **_object(types, ""),
    }
    return json.dumps(schema, indent=2) + "\n"


def _object(types: dict[str, set[str]], prefix: str) -> dict[str, object]:
    names = [
        path[len(prefix) :] for path in FIELDS if path.startswith(prefix) and "[]" not in path[len(prefix) :]
    ]
    properties = {name: _property(types, prefix + name) for name in names}
    return {"type": "object", "properties": properties, "required": names}


def _property(types: dict[str, set[str]], path: str) -> dict[str, object]:
    described: dict[str, object] = {"description": re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", FIELDS[path])}
    if path in ONE_OF:
        return {**described, "enum": ONE_OF[path]}
    kinds = sorted(_JSON_TYPES[kind] for kind in types[path])
    described["type"] = kinds[0] if len(kinds) == 1 else kinds
    if any(other.startswith(f"{path}[].") for other in FIELDS):
        described["items"] = _object(types, f"{path}[].")
    return described


OTHER = ("exec", "probe")
OTHER_FIELDS = {
    "would": "`exec`, `copy`: of a dry run, what would be done, a line each.",
    "version": "The version of this shape.",
    "command": "The command.",
    "success": "True when the exit status is 0.",
    "status": "What the command ends with: for `exec` that of the first host that failed.",
    "hosts": "`exec`: one entry a host.",
    "hosts[].host": "The host, as it was called.",
    "hosts[].success": "True when its command ended with 0.",
    "hosts[].returncode": "What its command ended with; 255 when ssh failed, 124 after a timeout.",
    "hosts[].stdout": "Its standard output; what is no UTF-8 is replaced.",
    "hosts[].stderr": "Its standard error, with the words of the error behind it.",
    "hosts[].error": "The slug of an [error](errors.md), or null.",
    "host": "`probe`, `copy`, `sync`, `key check`: the host, as it was called.",
    "reachable": "`probe`: a command ran there.",
    "capabilities": "`probe`: true or false by the name of a program.",
    "returncode": "`probe`: what ssh ended with; `copy`: 1 when something failed; `sync`: that of rsync.",
    "stdout": "`probe`: what the far side printed; `sync`: what rsync did.",
    "stderr": "What was said besides.",
    "error": "The slug of an [error](errors.md), or null.",
    "files": "`copy`: how many were copied whole.",
    "bytes": "`copy`: how many went over the line.",
    "failed": "`copy`: what was not copied.",
    "failed[].slug": "The slug of the error.",
    "failed[].message": "Its words.",
    "keys": "Of `key`: one entry a key.",
    "keys[].path": "`new`, `list`: its private half.",
    "keys[].type": "`new`, `list`: as ssh-keygen names it.",
    "keys[].bits": "`new`, `list`: its length.",
    "keys[].fingerprint": "As `ssh-keygen -l` shows it.",
    "keys[].comment": "`new`, `list`: what stands behind it in its public half.",
    "keys[].mode": "`new`, `list`: the mode of its private half, in octal digits.",
    "keys[].locked": "`new`, `list`: it has a passphrase.",
    "keys[].in_agent": "`new`, `list`: the agent of this login holds it.",
    "keys[].key": "`check`: its path, or its comment in the agent.",
    "keys[].verdict": "`check`: `accepted`; `locked`, where the server would take it, but its private half "
    "needs a passphrase or is not here; or `refused`.",
}


def _elsewhere() -> dict[str, object]:
    """What commands on other machines print."""
    from scitex_ssh.cli import present
    from scitex_ssh.cli.remote import _as_json
    from scitex_ssh.errors import error
    from scitex_ssh.keys import Answer, Key
    from scitex_ssh.remote import CopyResult, ProbeResult, SSHResult

    sample = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"
    own = Key("/home/alice/.ssh/id_ed25519", "ED25519", 256, sample, "alice@workstation", 0o600, False, True)
    tried = Answer(own.path, own.fingerprint, "accepted")
    gone = error("copy-failed", path="notes", why="no such file or directory")
    copied = CopyResult("lab1", 1, error=gone, files=2, sent=4096, failed=(gone,))
    lost = SSHResult("lab2", 255, error=error("bastion-unresolved", host="lab2"))
    done = SSHResult("lab1", 0, b"hello\n")
    probed = ProbeResult("lab1", True, {"rsync": True, "tmux": False}, 0, "", "")
    return {
        "A command on two hosts": _printed(lambda: _as_json("exec", [done, lost])),
        "A dry run": _printed(lambda: present.plan("copy", ["would copy notes to lab1:."], True)),
        "A host that was probed": _printed(
            lambda: present.envelope("probe", {**probed.as_dict(), "status": 1})
        ),
        "A copy of which one file failed": _printed(
            lambda: present.envelope("copy", {**copied.as_dict(), "status": int(gone.status)})
        ),
        "The keys of an account": _printed(
            lambda: present.envelope("key list", {"success": True, "status": 0, "keys": [own.as_dict()]})
        ),
        "A key that was tried": _printed(
            lambda: present.envelope(
                "key check", {"success": True, "status": 0, "host": "lab1", "keys": [tried.as_dict()]}
            )
        ),
    }


def _other_fields(samples: dict[str, object]) -> list[str]:
    types: dict[str, set[str]] = {}
    for sample in samples.values():
        _walk(sample, "", types)
    # Named by the programs that were asked for.
    types = {path: kinds for path, kinds in types.items() if not path.startswith("capabilities.")}
    if set(types) != set(OTHER_FIELDS):
        raise SystemExit(f"docs: other fields than those commands make: {set(types) ^ set(OTHER_FIELDS)}")
    rows = ["| field | type | meaning |", "|---|---|---|"]
    return rows + [
        f"| `{path}` | {' or '.join(sorted(types[path]))} | {OTHER_FIELDS[path]} |" for path in OTHER_FIELDS
    ]


def _speaks_json() -> list[str]:
    """The commands that take --json."""
    from scitex_ssh.cli.app import app

    return [
        f"`{name}`"
        for name, each in app.each()
        if any(item.name == "as_json" for item in each.params)
        and name not in ("exec", "probe", "copy", "sync", "list-python-apis")
    ]


def _enumeration(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1]


def _samples() -> dict[str, object]:
    """Real results, made of lines as a program says them."""
    from scitex_ssh.api import Result
    from scitex_ssh.plan.report import Report, read_line

    def envelope(command: str, status: int, *lines: str) -> object:
        from scitex_ssh.cli import present

        said = [read_line(line.replace("|", "\t")) for line in lines]
        assert None not in said, lines
        report = Report([line for line in said if line is not None], status)
        return _printed(lambda: present.finish(command, Result(status, report), True))

    def failure() -> object:
        from scitex_ssh.cli import present
        from scitex_ssh.errors import error

        problem = error("bad-port", value="'0'", what="the tunnel")
        return _printed(lambda: present.Failure(["setup", "--json"]).show(problem))

    return {
        "A tunnel that was set up": envelope(
            "setup",
            0,
            "event|2222|changed|file /etc/scitex-ssh/tunnels/2222/ssh_config",
            "event|2222|ok|port 2222 of tunnel@bastion leads to localhost:22",
            "result|2222|verified|tunnel@bastion|localhost:22|"
            "port 2222 of tunnel@bastion leads to localhost:22 on this machine",
            "keeper|2222|cron|logout, crash, reboot, reboot without login",
            "warning|2222|keeper-logout|keeper=nohup|user=alice",
        ),
        "A dry run": envelope(
            "setup",
            0,
            "event|2222|would-change|file /etc/scitex-ssh/tunnels/2222/known_hosts",
            "diff|2222|--- /dev/null",
            "diff|2222|+++ /etc/scitex-ssh/tunnels/2222/known_hosts (mode 644, root:root)",
        ),
        "The tunnels that there are": envelope(
            "status",
            50,
            "tunnel|2222|level=verified|cause=|detail=answers with this host's own key|bastion=tunnel@bastion"
            "|forwards=remote localhost:2222 localhost:22|levels=verified"
            "|target=localhost:22|keeper=systemd|adopted=|pid=812|started=1699999990"
            "|since=1700000000|uptime=60|restarts=3|user=alice"
            "|error=the name bastion does not resolve.|error_at=1699999990|next_retry="
            "|take_back=hold|engine=ssh|key=/home/alice/.ssh/id_ed25519",
            "tunnel|2223|level=down|cause=unit-stopped|detail=the unit is inactive (success)"
            "|forwards=remote localhost:2223 localhost:22|levels="
            "|bastion=tunnel@bastion|target=localhost:22|keeper=systemd|adopted=|since=|restarts=0|user=alice"
            "|take_back=|engine=ssh|key=/home/alice/.ssh/id_ed25519",
            "tunnel|2224|level=down|jumps=alice@gate,ops@[2001:db8::7]:2200|proxy=http://proxy.example.com:3128"
            "|cause=bastion-refused|detail=ssh: connect to host bastion port 22: "
            "Connection refused|forwards=remote localhost:2224 localhost:22|levels=|bastion=tunnel@bastion"
            "|target=localhost:22|keeper=systemd|adopted="
            "|since=1700000000|next_retry=1700000003|restarts=9|user=alice|take_back=hold|engine=ssh"
            "|key=/home/alice/.ssh/id_ed25519",
        ),
        "A tunnel that was examined": envelope(
            "doctor",
            50,
            "check|2222|name=key|title=the key|verdict=ok|evidence=/home/alice/.ssh/id_ed25519",
            "check|2222|name=login|title=the login|verdict=failed|evidence=|slug=account-expired"
            "|sentence=the bastion takes the key but the account tunnel@bastion is expired or its password "
            "must change.|next=have the bastion's administrator look at: chage -l USER.",
        ),
        "The hosts of a bastion": envelope(
            "bastion list",
            0,
            "host|lab1|account=t-lab1|ports=27891|holds=27891|keys=ssh-ed25519 AAAA|prints=SHA256:wL3AVa",
        ),
        "An error": envelope("setup", 20, "error|2222|bastion-unresolved|host=gw.example.com"),
        "A wrong command line": failure(),
    }


def _printed(call: Callable[[], object]) -> object:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        call()
    return json.loads(out.getvalue())


def _walk(value: object, path: str, types: dict[str, set[str]]) -> None:
    """The type of every field below a value, by its path."""
    # The facts of an error are named by the error.
    if isinstance(value, dict) and not path.endswith(".facts"):
        for name, child in value.items():
            inner = f"{path}.{name}" if path else name
            types.setdefault(inner, set()).add(_type(child))
            _walk(child, inner, types)
    elif isinstance(value, list):
        for child in value:
            _walk(child, f"{path}[]", types)


def _type(value: object) -> str:
    names = {bool: "true/false", int: "number", str: "text", list: "list", dict: "object", type(None): "null"}
    return names[type(value)]


# --- keepers ----------------------------------------------------------------------------------


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
    return _page(
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


# --- the files of a tunnel --------------------------------------------------------------------


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
    return _page(
        [
            "# The files of a tunnel",
            f"What `{command}` writes for alice. The host keys and the id of the key are examples.",
            f"Besides these: `{folder}/run`, the supervisor (the same for every tunnel, "
            f"[its source](../../scitex_ssh/keepers/run.sh)), and `{folder}/key`, a link to the key. While "
            f"the tunnel runs, `/run/scitex-ssh/{flags['port']}/` holds its state. `remove` takes all of it "
            "away.",
            "Why each line of the unit is there: [the sandbox, line by line](../explanation/sandbox.md).",
            f"## /etc/systemd/system/autossh-tunnel-{flags['port']}.service",
            _fence(_golden("unit"), "ini"),
            f"## {folder}/ssh_config",
            "The two long lines are the words that the tunnel says on the bastion: see [taking a port back]"
            "(../explanation/take-back.md).",
            _fence(_golden("ssh_config"), "text"),
            f"## {folder}/known_hosts",
            "The bastion's host keys, pinned at set-up.",
            _fence(_golden("known_hosts"), "text"),
            f"## {folder}/tunnel.json",
            "The description, for other programs.",
            _fence(_golden("tunnel.json"), "json"),
        ]
    )


def _golden(name: str) -> str:
    return (EXAMPLE / name).read_text(encoding="utf-8")


# --- Python and pyinfra -----------------------------------------------------------------------


REMOTE = [
    "scitex_ssh/remote/command.py",
    "scitex_ssh/remote/copy.py",
    "scitex_ssh/remote/sync.py",
    "scitex_ssh/remote/probe.py",
    "scitex_ssh/remote/terminal.py",
    "scitex_ssh/remote/results.py",
]
KEYS = [f"scitex_ssh/keys/{name}.py" for name in ("local", "authorize", "answers", "rotate", "known")]

# A command in Python, and those of its flags that are a call of their own.
IN_PYTHON = {
    "attach": 'scitex_ssh.attach("lab1", session="work")',
    "bastion authorize": 'scitex_ssh.bastions.authorize("lab1", [2222], "ssh-ed25519 AAAA...")',
    "bastion list": 'scitex_ssh.bastions.hosts()["hosts"]',
    "bastion revoke": 'scitex_ssh.bastions.revoke("lab1")',
    "bastion setup": "scitex_ssh.bastions.setup(hosts=100)",
    "bastion status": "scitex_ssh.bastions.status()",
    "config show": "scitex_ssh.defaults.every()",
    "copy": 'scitex_ssh.copy_to("lab1", ["a", "b"], "folder", recursive=True)',
    "doctor": "scitex_ssh.doctor(2222)",
    "doctor --bundle": 'scitex_ssh.bundle("support.tar.gz", scitex_ssh.doctor(2222))',
    "doctor --fix": "scitex_ssh.doctor(2222, fix=True)",
    "exec": 'scitex_ssh.exec_remote("lab1", "uname -a").stdout',
    "explain": 'scitex_ssh.explain("port-taken").next_move',
    "fleet apply": 'scitex_ssh.fleets.apply("fleet.yaml")',
    "fleet plan": 'scitex_ssh.fleets.plan("fleet.yaml")',
    "fleet status": 'scitex_ssh.fleets.status("fleet.yaml")',
    "forward": 'with scitex_ssh.forwards.hold("gw.example.com", "~/.ssh/id", local="5432:db:5432"): work()',
    "gateway approve": 'scitex_ssh.gateways.approve("lab1")',
    "gateway backup": 'scitex_ssh.gateways.backup("gateway.db")',
    "gateway export": 'scitex_ssh.gateways.export("json")',
    "gateway install": "scitex_ssh.gateways.install(http=True)",
    "gateway list": 'scitex_ssh.gateways.machines("active")',
    "gateway log": "scitex_ssh.gateways.audit(limit=20)",
    "gateway rename": 'scitex_ssh.gateways.rename("lab1", "lab2")',
    "gateway restore": 'scitex_ssh.gateways.restore("gateway.db")',
    "gateway revoke": 'scitex_ssh.gateways.revoke("lab1")',
    "gateway script": 'scitex_ssh.gateways.script("ssh://enrol@bastion")',
    "gateway show": 'scitex_ssh.gateways.machine("lab1"), scitex_ssh.gateways.connect("lab1")',
    "gateway tick": "scitex_ssh.gateways.tick()",
    "gateway token create": 'scitex_ssh.gateways.create_token("lab", uses=20, hours=48)',
    "gateway token list": "scitex_ssh.gateways.tokens()",
    "gateway token revoke": 'scitex_ssh.gateways.revoke_token("lab")',
    "key authorize": 'scitex_ssh.keys.authorize("lab1", "~/.ssh/id_ed25519")',
    "key check": 'scitex_ssh.keys.check("lab1")',
    "key fix": "scitex_ssh.keys.fix()",
    "key forget": 'scitex_ssh.keys.forget("lab1")',
    "key list": "scitex_ssh.keys.list_keys()",
    "key new": 'scitex_ssh.keys.new("~/.ssh/tunnel")',
    "key pin": 'scitex_ssh.keys.pin("lab1", fingerprint="SHA256:...")',
    "key rotate": 'scitex_ssh.keys.rotate(["lab1"], "~/.ssh/tunnel")',
    "policy allow": 'scitex_ssh.policy.allow("exec", "lab1")',
    "policy deny": 'scitex_ssh.policy.deny("exec", "lab1")',
    "policy show": 'scitex_ssh.policy.answer("exec", "lab1")',
    "probe": 'scitex_ssh.probe_remote("lab1", requires=["rsync"]).ok',
    "remove": "scitex_ssh.remove(2222)",
    "render": 'scitex_ssh.render_tunnel(2222, form="unit")',
    "script bastion": 'scitex_ssh.script("bastion")',
    "script remove": 'scitex_ssh.script("remove", 2222)',
    "script setup": 'scitex_ssh.script("setup", 2222, "tunnel@bastion", "~/.ssh/id_ed25519")',
    "script status": 'scitex_ssh.script("status")',
    "scripts": 'scitex_ssh.scripts("folder")',
    "setup": 'scitex_ssh.setup(2222, "tunnel@bastion", "~/.ssh/id_ed25519")',
    "setup --gateway": 'got = scitex_ssh.gateways.enrol("ssh://enrol@bastion", token); '
    "scitex_ssh.setup(got.port, got.bastion, got.key, host_key_fingerprint=got.fingerprints)",
    "skills get": 'scitex_ssh.skills.skill("setup-tunnel").text',
    "skills install": 'scitex_ssh.skills.install("skills")',
    "skills list": "scitex_ssh.skills.skills()",
    "ssh-config": "scitex_ssh.clients.config(scitex_ssh.clients.machine())",
    "status": "scitex_ssh.status()",
    "status --prometheus": 'scitex_ssh.metrics(scitex_ssh.status(), "scitex_ssh.prom")',
    "sync": 'scitex_ssh.sync_dir("folder/", "lab1:folder", delete=True)',
}
# What is for a shell or a person, or is a program that runs until it is ended: there is nothing to call.
NOT_IN_PYTHON = {"agent", "completion", "demo", "gateway serve", "list-python-apis", "man", "mcp *"}


def python() -> str:
    """The public names of the package, read from its sources."""
    import scitex_ssh
    from scitex_ssh import keys

    api = _module("scitex_ssh/api.py")
    errors_ = _module("scitex_ssh/errors.py")
    parts = [
        "# Python",
        "```python\nimport scitex_ssh\n\n"
        'result = scitex_ssh.setup(2222, "tunnel@bastion", "~/.ssh/id_ed25519")\n'
        "result.raise_for_error()\n```",
        "The functions do what the commands of their names do, and return a `Result`. Input that cannot "
        "be right raises `InputError`; everything else that goes wrong is in the result.",
    ]
    parts += [
        "## A command in Python",
        "\n".join(
            ["| Command | Python |", "|---|---|"]
            + [f"| `{command}` | `{call}` |" for command, call in sorted(IN_PYTHON.items())]
        ),
        "The rest has no call: `agent`, `mcp start` and `gateway serve` run until they are ended, and "
        "`completion`, `demo`, `list-python-apis`, `man` and the rest of `mcp` are for a person or a shell.",
    ]
    for name, node in [*api.items(), *_module("scitex_ssh/forms.py").items(), *errors_.items()]:
        if name in scitex_ssh.__all__ and isinstance(node, ast.FunctionDef):
            parts += _function(node, "##", f"scitex_ssh.{name}")
    parts += _class(api["Result"], "##", "scitex_ssh.Result")
    parts += _class(_module("scitex_ssh/health/fixes.py")["Fix"], "##", "scitex_ssh.Fix")
    parts += [
        "## Other machines",
        "What works on other machines returns a result whether it went well or not; `check=True`, or "
        "`raise_for_error()`, raises. All of it may be called from several threads at once.",
    ]
    for path in REMOTE:
        for name, node in _module(path).items():
            if name in scitex_ssh.__all__:
                make = _function if isinstance(node, ast.FunctionDef) else _class
                parts += make(node, "###", f"scitex_ssh.{name}")
    parts += [
        "## Keys",
        "In `scitex_ssh.keys`. What goes wrong is raised by `new`, `list_keys` and `check`, and is in the "
        "`Result` of the others.",
    ]
    for path in KEYS:
        for name, node in _module(path).items():
            if name in keys.__all__:
                make = _function if isinstance(node, ast.FunctionDef) else _class
                parts += make(node, "###", f"scitex_ssh.keys.{name}")
    for title, name in (
        ("Forwards for a while", "forwards"),
        ("A bastion", "bastions"),
        ("A gateway", "gateways"),
        ("A client's side", "clients"),
        ("A fleet", "fleets"),
        ("What is allowed", "policy"),
        ("What stands for flags that are not given", "defaults"),
        ("Guides", "skills"),
    ):
        parts += [f"## {title}", f"In `scitex_ssh.{name}`."]
        module = getattr(scitex_ssh, name)
        path = Path(module.__file__).relative_to(ROOT)
        for each, node in [*_values(module), *_module(str(path)).items()]:
            if each in module.__all__:
                make = _function if isinstance(node, ast.FunctionDef) else _class
                parts += make(node, "###", f"scitex_ssh.{name}.{each}")
    parts += [
        "## Errors",
        "One class a family; each is also the builtin that fits. [The catalogue](errors.md) names them all.",
    ]
    for name in ("SSHError", "InputError", "PolicyError", "ReachError", "TunnelError", "Problem"):
        parts += _class(errors_[name], "###", f"scitex_ssh.{name}")
    parts += [
        "## The rest",
        "`scitex_ssh.__version__` and `scitex_ssh.get_version()`: the version. `scitex_ssh.AVAILABLE`: True.",
    ]
    return _page(parts)


def _values(module: ModuleType) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """The classes that a module shows and another one has."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type) and value.__module__ != module.__name__:
            yield name, _module(value.__module__.replace(".", "/") + ".py")[name]


def pyinfra() -> str:
    """The operations, facts and deploys, read from their sources."""
    operations = _module("scitex_ssh/operations/tunnel.py")
    facts = _module("scitex_ssh/facts/tunnels.py")
    deploys = _module("scitex_ssh/deploys.py")
    gate = _module("scitex_ssh/operations/bastion.py")
    looks = _module("scitex_ssh/facts/bastion.py")
    parts = [
        "# pyinfra",
        "For Python 3.10 and newer. Operations need root on the host: `_sudo=True`, here or in the "
        "inventory. How to use them: [a fleet with pyinfra](../how-to/fleet.md).",
        "## Operations",
    ]
    for name in ("present", "absent"):
        parts += _function(operations[name], "###", f"scitex_ssh.operations.tunnel.{name}")
    for name in ("ready", "authorized", "revoked"):
        parts += _function(gate[name], "###", f"scitex_ssh.operations.bastion.{name}")
    entrance = _module("scitex_ssh/operations/gateway.py")
    parts += _function(entrance["installed"], "###", "scitex_ssh.operations.gateway.installed")
    parts += ["## Facts"]
    for name in ("Tunnels", "Drift"):
        parts += [f"### scitex_ssh.facts.tunnels.{name}", _markdown(ast.get_docstring(facts[name]) or "")]
    for name in ("Bastion", "BastionDrift", "TunnelKey", "Standing"):
        parts += [f"### scitex_ssh.facts.bastion.{name}", _markdown(ast.get_docstring(looks[name]) or "")]
    parts += ["## Deploys"]
    for name in ("fleet", "rotate", "bastion", "gateway", "tunnel", "remove", "status"):
        parts += _function(deploys[name], "###", f"scitex_ssh.deploys.{name}")
    return _page(parts)


def _module(path: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a source file, by name."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def _function(node: ast.AST, level: str, name: str) -> list[str]:
    assert isinstance(node, ast.FunctionDef)
    return [f"{level} {name}", _fence(_signature(node, name.split(".")[-1]), "python"), _docstring(node)]


def _class(node: ast.AST, level: str, name: str) -> list[str]:
    """A class with its public methods that have something to say."""
    assert isinstance(node, ast.ClassDef)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    parts = [f"{level} {name}", _fence(f"class {node.name}({bases})", "python"), _docstring(node)]
    members = []
    for method in node.body:
        if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
            continue
        kind = [ast.unparse(decorator) for decorator in method.decorator_list]
        head = f"`{method.name}`" if "property" in kind else f"`{method.name}()`"
        members.append(f"- {head}: {_inline(ast.get_docstring(method) or '')}")
    return [*parts, "What it can tell:", "\n".join(members)] if members else parts


def _docstring(node: ast.FunctionDef | ast.ClassDef) -> str:
    return _markdown(ast.get_docstring(node) or "")


def _signature(node: ast.FunctionDef, name: str) -> str:
    """A call with a line a parameter, once it is longer than one line."""
    arguments = node.args
    words = [ast.unparse(each) for each in arguments.args]
    for index, default in enumerate(reversed(arguments.defaults), 1):
        words[-index] += f" = {ast.unparse(default)}"
    if arguments.kwonlyargs:
        words.append("*")
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults):
        words.append(ast.unparse(each) + (f" = {ast.unparse(default)}" if default else ""))
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{name}({', '.join(words)}){returns}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){returns}"


def _markdown(docstring: str) -> str:
    """A docstring of this project as Markdown: sections, lists of parameters, code blocks."""
    lines = _code_blocks(docstring.splitlines())
    text = []
    for line in lines:
        match = re.fullmatch(r"(Args|Raises|Attributes|Returns):", line)
        item = re.fullmatch(r"(?: {4}|\+ )(\w+): (.*)", line)
        if match:
            text.append(f"{match[1]}:\n")
        elif item:
            text.append(f"- `{item[1]}`: {item[2]}")
        else:
            text.append(re.sub(r"^ {8}", "  ", line))
    return _inline("\n".join(text))


def _code_blocks(lines: list[str]) -> Iterator[str]:
    """`.. code:: python` and what is indented below it, fenced; the title before it goes."""
    rest = iter([*lines, ""])
    for line in rest:
        if line != ".. code:: python":
            yield line
            continue
        block = []
        for inner in rest:
            if inner and not inner.startswith("    "):
                break
            block.append(inner[4:])
        yield _fence("\n".join(block).strip("\n"), "python").replace("``", "\0")


def _inline(text: str) -> str:
    return text.replace("``", "`").replace("\0", "``")


# --- pages ------------------------------------------------------------------------------------

PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "config.schema.json": config_schema,
    "configuration.md": configuration,
    "environment.md": environment,
    "errors.md": errors,
    "exit-statuses.md": exit_statuses,
    "fleet.schema.json": fleet_schema,
    "json.md": json_shape,
    "keepers.md": keepers,
    "status.schema.json": status_schema,
    "pyinfra.md": pyinfra,
    "python.md": python,
    "unit.md": unit,
}


def _page(parts: Iterable[str]) -> str:
    head = "<!-- Written by build/docs.py: change the code, then run ./build/dev docs. -->"
    return "\n\n".join([head, *(part.strip("\n") for part in parts)]) + "\n"


def _fence(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def check(pages: dict[str, str]) -> int:
    """Show what differs from the pages as they are; 1 if anything does."""
    drifted = False
    for name, text in pages.items():
        path = REFERENCE / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        diff = difflib.unified_diff(
            old.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"docs/reference/{name}",
            f"docs/reference/{name} (as it should be)",
        )
        for line in diff:
            drifted = True
            sys.stdout.write(line)
    for path in sorted(REFERENCE.glob("*")):
        if path.name not in pages:
            drifted = True
            print(f"docs/reference/{path.name} is not made by build/docs.py")
    if drifted:
        print("docs: the reference has drifted; run ./build/dev docs", file=sys.stderr)
    return int(drifted)


def write(pages: dict[str, str]) -> int:
    """Write the pages, and name those that changed."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        path = REFERENCE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/reference/{name}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say what has drifted")
    chosen = parser.parse_args()
    pages = {name: make() for name, make in PAGES.items()}
    return check(pages) if chosen.check else write(pages)


if __name__ == "__main__":
    raise SystemExit(main())
