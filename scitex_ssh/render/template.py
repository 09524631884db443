"""Texts with named gaps, filled in by Python for one tunnel or by a shell for any."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

_GAP = re.compile(r"@(\w+)@")


@dataclass(frozen=True)
class Template:
    """A text in which ``@name@`` stands for a value of the tunnel.

    The values are validated where they come in (`scitex_ssh.model`, and the same rules in the shell
    prelude), so that filling a gap can never change the meaning of what stands around it.
    """

    text: str

    def gaps(self) -> tuple[str, ...]:
        """The names of the gaps, each once, in order."""
        return tuple(dict.fromkeys(_GAP.findall(self.text)))

    def fill(self, values: Mapping[str, str]) -> str:
        """The text for these values; `KeyError` for a gap without one."""
        return _GAP.sub(lambda match: values[match.group(1)], self.text)

    def shell(self) -> str:
        """A shell word that expands to the text, each gap to the variable ``t_name``."""
        parts = _GAP.split(self.text)
        words = []
        for index, part in enumerate(parts):
            if index % 2:
                words.append(f'"$t_{part}"')
            elif part:
                words.append(shlex.quote(part))
        return "".join(words) or "''"
