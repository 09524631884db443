"""The small program that makes the key of a host on that host."""

from __future__ import annotations

from importlib.resources import files


def key_program() -> str:
    """Its text: a POSIX sh program over four arguments (see the file)."""
    return files("scitex_ssh.render").joinpath("tunnel_key.sh").read_text(encoding="utf-8")
