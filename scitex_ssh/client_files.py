"""The files of ours in a person's ~/.ssh, and the line of their own file that includes them."""

from __future__ import annotations

from pathlib import Path

# Where the hosts of the fleets are that were made from this machine.
FLEETS = "~/.ssh/scitex-ssh"


def put(path: Path, text: str) -> None:
    """Write a file that is for its owner only, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o600)
    new.replace(path)


def read(path: Path) -> str:
    """The text of a file; "" where there is none."""
    return path.read_text("utf-8", "replace") if path.exists() else ""


def without(text: str, begin: str, unit: str) -> str:
    """The text without the unit (a line, or what begins with ``unit``) that begins so."""
    kept, skipping = [], False
    for line in text.splitlines():
        if line.startswith(unit):
            skipping = line.strip() == begin if unit else line.startswith(begin)
        if not skipping:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def includes(path: Path, name: str) -> bool:
    """Whether a file of ssh_config(5) includes one of that name."""
    words = [line.split() for line in read(path).splitlines()]
    return any(each[0].lower() == "include" and name in " ".join(each) for each in words if each)


def blocks(text: str) -> dict[str, dict[str, str]]:
    """The ``Host`` blocks of a file of ours: what each says, by the name that it is for."""
    found: dict[str, dict[str, str]] = {}
    said: dict[str, str] = {}
    for line in text.splitlines():
        word, _, value = line.strip().partition(" ")
        if word == "Host":
            said = found.setdefault(value, {})
        elif word and not word.startswith("#"):
            said[word] = value
    return found


def names(path: Path) -> set[str]:
    """The names that stand on the ``Host`` lines of a file itself."""
    words = [line.replace("=", " ").split() for line in read(path).splitlines()]
    return {name for each in words if each and each[0].lower() == "host" for name in each[1:]}
