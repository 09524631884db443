"""Checks on text that may reach a command line, a unit file or a script."""

from __future__ import annotations


def shown(value: object) -> str:
    """``value`` as an error message may show it: quoted, escaped, at most 80 characters."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:76] + "...'"


def control_character(text: str) -> str:
    """Why ``text`` cannot be written to a line of a file, or "" if it can."""
    for character in text:
        code = ord(character)
        if code < 32 or code == 127 or 128 <= code < 160 or code in (0x2028, 0x2029):
            return f"it holds the control character U+{code:04X}"
        if 0xD800 <= code <= 0xDFFF:
            return "it is not valid UTF-8"
    return ""
