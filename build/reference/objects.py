"""What `--json` prints."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable

from reference.text import fence, page

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
        raise SystemExit(f"docs: build/reference/objects.py and the code differ: {difference}")
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
        parts += [f"## {title}", fence(json.dumps(sample, indent=2, ensure_ascii=False), "json")]
    return page(parts)


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
