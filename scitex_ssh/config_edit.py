"""Change one verdict in a configuration file, and nothing else of it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scitex_ssh import config
from scitex_ssh.config import Config
from scitex_ssh.errors import PolicyError, error


def put(path: Path, action: str, verdict: str, *, host: str | None, system: bool = False) -> bool:
    """Write ``action: verdict`` for a host, or for every host; False where it says so already.

    The lines of the file stay as they are, with their comments. Where the new line cannot be put
    between them, the file is left alone.

    Raises:
        PolicyError: for a file that is not as it must be.
        SSHError: ``config-by-hand``.
        OSError: where it cannot be written.
    """
    before = config.load(path, system=system)
    name = None if host is None else _written(before, host)
    rules = before.default if name is None else before.hosts.get(name, {})
    if rules.get(action) == verdict:
        return False
    text = path.read_text(encoding="utf-8-sig") if before.there else ""
    wanted = _changed(before, name, action, verdict)
    for candidate in _candidates(text, name, action, verdict):
        if _same(candidate, wanted):
            _write(path, candidate)
            return True
    place = f"default.{action}" if name is None else f"hosts.{name}.{action}"
    raise error("config-by-hand", path=path, place=place, verdict=verdict)


def _written(before: Config, host: str) -> str:
    """The name of the host as the file has it."""
    return next((name for name in before.hosts if name.lower() == host.lower()), host)


def _changed(before: Config, name: str | None, action: str, verdict: str) -> Config:
    default, hosts = dict(before.default), {host: dict(rules) for host, rules in before.hosts.items()}
    (default if name is None else hosts.setdefault(name, {}))[action] = verdict
    return Config(before.path, before.system, True, default, hosts, before.defaults)


def _same(text: str, wanted: Config) -> bool:
    try:
        return config.read(text, wanted.path, system=wanted.system) == wanted
    except PolicyError:
        return False


def _candidates(text: str, name: str | None, action: str, verdict: str) -> Iterator[str]:
    """The text with the line in each place where it may belong; the right one is known by reading it."""
    if text and not text.endswith("\n"):
        text += "\n"
    # The word itself, where it stands already.
    other = "allow" if verdict == "deny" else "deny"
    for match in re.finditer(rf"\b{action}[\"']?\s*:\s*[\"']?({other})\b", text):
        yield text[: match.start(1)] + verdict + text[match.end(1) :]
    # A new line below its heading, or within its braces.
    heading = "default" if name is None else re.escape(name)
    for match in re.finditer(rf"^( *)[\"']?{heading}[\"']?:[ ]*(#.*)?\n(?: *(?:#.*)?\n)*( *)", text, re.M):
        indent = match[3] if len(match[3]) > len(match[1]) else match[1] + "  "
        line = f"{indent}{action}: {verdict}\n"
        end = match.end() - len(match[3])
        yield text[:end] + line + text[end:]
    for match in re.finditer(rf"[\"']?{heading}[\"']?: *{{( *)", text):
        yield f"{text[: match.end(1)]}{action}: {verdict}, {text[match.end(1) :]}"
        yield f"{text[: match.end(1)]}{action}: {verdict}{text[match.end(1) :]}"
    if name is None:
        yield f"{text}default:\n  {action}: {verdict}\n"
        return
    for match in re.finditer(r"^hosts:[ ]*(#.*)?\n(?: *(?:#.*)?\n)*( *)", text, re.M):
        indent = match[2] or "  "
        end = match.end() - len(match[2])
        yield f"{text[:end]}{indent}{name}:\n{indent}  {action}: {verdict}\n{text[end:]}"
    yield f"{text}hosts:\n  {name}:\n    {action}: {verdict}\n"


def _write(path: Path, text: str) -> None:
    """Write beside and rename; a link stays one, and a file keeps its mode."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o7777 if path.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".config.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
