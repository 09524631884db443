"""A support archive: what doctor and status say, and the files of the tunnels, without secrets."""

from __future__ import annotations

import io
import json
import platform
import re
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from scitex_ssh import __version__
from scitex_ssh.health import standing
from scitex_ssh.health.standing import Standing
from scitex_ssh.health.whole import whole

README = """\
What scitex-ssh doctor saw on this machine, to be read by whoever helps. Look through it before you send it:
it names hosts, accounts and paths. It holds no private key and no passphrase. The commands on_up and on_down,
values in drop-ins, and logins in addresses are left out of it.

doctor.txt                  the checks, in words
doctor.json, status.json    the same and all tunnels, for programs
versions.txt                this machine and its ssh
tunnels/NAME/               the files of each tunnel, its unit and its journal, or the log of its process
"""

# By name, so that nothing comes along that happens to lie there; `key` leads to the private key.
FILES = ("ssh_config", "known_hosts", "tunnel.json")
_MOST = 30000
_PRIVATE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
# The commands on_up and on_down, in ssh_config and in tunnel.json, may hold a token of some service.
_HOOK = re.compile(r'^(# on_(?:up|down): |  "on_(?:up|down)": "(?!",?$)).+?("?,?)$', re.MULTILINE)
# What an administrator wrote beside our unit, and what stands in an address before its host.
_VALUES = re.compile(r"^(\s*(?:Environment|SetCredential\w*)=).+$", re.MULTILINE)
_LOGIN = re.compile(r"(://)[^/\s@]+@")
# A word of a command that could be a token: what such a command prints, and so the journal, repeats it.
_TOKEN = re.compile(r"(?=[^\s]*\d)(?=[^\s]*[A-Za-z])[A-Za-z0-9_~+/.-]{8,}")
# What of a unit is of use; "systemctl status" would show the command lines of the hooks at work as well.
_PROPERTIES = (
    "Id,LoadState,UnitFileState,FragmentPath,DropInPaths,ActiveState,SubState,Result,NRestarts,MainPID,"
    "ExecMainCode,ExecMainStatus,ActiveEnterTimestamp,InactiveEnterTimestamp"
)


def contents(
    doctor: Mapping[str, object],
    status: Mapping[str, object],
    words: str,
    tunnels: Iterable[Standing] | None = None,
) -> dict[str, str]:
    """The texts of the archive by their names in it, each without a private key that may have got in."""
    described = list(standing.tunnels() if tunnels is None else tunnels)
    texts = {
        "README.txt": README,
        "doctor.txt": words,
        "doctor.json": json.dumps(dict(doctor), indent=2),
        "status.json": json.dumps(dict(status), indent=2),
        "versions.txt": _versions(),
        **dict(_tunnels(described)),
    }
    hooks = [str(each.description.get(name) or "") for each in described for name in ("on_up", "on_down")]
    return {name: _without_secrets(text, hooks) for name, text in texts.items()}


def _without_secrets(text: str, hooks: Iterable[str]) -> str:
    text = _HOOK.sub(r"\1[a command was here]\2", _PRIVATE.sub("[a private key was here]", text))
    text = _LOGIN.sub(r"\1[a login was here]@", _VALUES.sub(r"\1[values were here]", text))
    for command in filter(None, hooks):
        text = text.replace(command, "[a command was here]")
        for token in sorted(_TOKEN.findall(command), key=len, reverse=True):
            text = text.replace(token, "[a word of a command was here]")
    return text


def write(path: Path, texts: Mapping[str, str]) -> None:
    """Write them as a .tar.gz, readable by its owner alone, there at once or not at all.

    Raises:
        OSError: when it cannot be written.
    """
    with whole(path, 0o600) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for inner, text in texts.items():
            data = text.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"scitex-ssh-support/{inner}")
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o644
            archive.addfile(entry, io.BytesIO(data))


def _tunnels(tunnels: Iterable[Standing]) -> Iterator[tuple[str, str]]:
    for tunnel in tunnels:
        place = f"tunnels/{tunnel.name}"
        for name in FILES:
            if (tunnel.folder / name).is_file():
                yield f"{place}/{name}", _text(tunnel.folder / name)
        if tunnel.unit is None:
            yield f"{place}/log.txt", _text(tunnel.state / "log")[-_MOST:]
        else:
            whose = ["--user"] if tunnel.keeper == "systemd-user" else []
            yield f"{place}/unit.txt", _said("systemctl", *whose, "cat", "--no-pager", tunnel.unit)
            yield f"{place}/status.txt", _said("systemctl", *whose, "show", "-p", _PROPERTIES, tunnel.unit)
            journal = ("journalctl", *whose, "--no-pager", "-n", "300", "-u", tunnel.unit)
            yield f"{place}/journal.txt", _said(*journal)
        yield f"{place}/state.txt", _text(tunnel.state / "state")


def _versions() -> str:
    lines = [f"scitex-ssh {__version__}, Python {platform.python_version()}", " ".join(platform.uname())]
    return "\n".join([*lines, _said("ssh", "-V"), _said("systemctl", "--version"), ""])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        return f"({problem.strerror})\n"


def _said(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"({problem})\n"
    return done.stdout.decode("utf-8", "replace")
