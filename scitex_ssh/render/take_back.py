"""The words that a tunnel's session says on the bastion to hold its port, or to get it back."""

from __future__ import annotations

from importlib.resources import files


def remote_command(word: str) -> str:
    """The ssh_config(5) RemoteCommand for ``hold`` or ``release``, with gaps for port and key id.

    The login shell of the account may be any (fish and csh too), so the whole program is one
    single-quoted argument of ``sh``; ``exec`` makes that ``sh`` the child of sshd itself.
    """
    program = one_line(source())
    assert "'" not in program, "the program stands in single quotes"
    return f"exec sh -c '{program}' scitex-ssh {word} @mark@ @key_id@".replace("%", "%%")


def source() -> str:
    """The program, as it is written (comments and all)."""
    return files("scitex_ssh.render").joinpath("take_back.sh").read_text(encoding="utf-8")


def one_line(text: str) -> str:
    """A shell text in which no line needs its break, without comments, on one line."""
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line for line in lines if line and not line.startswith("#"))
