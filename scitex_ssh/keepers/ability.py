"""What a keeper can do, as it declares it: the table in the docs and the words of ``auto``."""

from __future__ import annotations

from dataclasses import dataclass

# What a logout does to whatever a login has started.
OF_A_LOGIN = "yes, but where logind has KillUserProcesses=yes only if the user lingers"


@dataclass(frozen=True)
class Ability:
    """What a tunnel that is kept this way survives, and what it takes.

    Attributes:
        root: True when setting it up needs root.
        logout: what becomes of it when its user logs out: ``yes``, or what it takes.
        crash: the same when the supervisor and its ssh are killed.
        reboot: the same when the machine starts again.
        unattended: the same when it starts again and nobody logs in.
        needs: what the machine must have.
    """

    root: bool
    logout: str
    crash: str
    reboot: str
    unattended: str
    needs: str

    def survives(self) -> str:
        """What it survives without any condition, in words."""
        named = {
            "logout": self.logout,
            "crash": self.crash,
            "reboot": self.reboot,
            "reboot without login": self.unattended,
        }
        return ", ".join(name for name, what in named.items() if what.startswith("yes")) or "nothing of it"


def of_a_process(needs: str) -> Ability:
    """What a process can that nothing starts again."""
    return Ability(False, logout=OF_A_LOGIN, crash="no", reboot="no", unattended="no", needs=needs)
