"""What pyinfra sees of a gateway, in one round trip."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api import FactBase, QuoteString, StringCommand


def install_command(python: str, http: bool) -> StringCommand:
    """The command that makes a machine a gateway."""
    flags = ["--http"] if http else []
    # Not where somebody may write: Python would look for the package there first.
    return StringCommand(
        "cd", "/", "&&", QuoteString(python), "-m", "scitex_ssh", "gateway", "install", *flags
    )


class GatewayDrift(FactBase[list[str]]):
    """What an installation of the gateway would change, a line each; nothing is changed."""

    @staticmethod
    def default() -> list[str]:
        """Nothing was said, not even that nothing is due."""
        return []

    def command(self, python: str, http: bool) -> StringCommand:
        """One round trip; where there is no gateway to ask, nothing is said."""
        return StringCommand(install_command(python, http), "--dry-run", "2>/dev/null", "||", "true")

    def process(self, output: Iterable[str]) -> list[str]:
        """The lines."""
        return list(output)


class GatewayPackage(FactBase[str]):
    """What was asked for when the gateway's own environment was made; "" unless a gateway is in it."""

    @staticmethod
    def default() -> str:
        """There is none."""
        return ""

    def command(self, home: str) -> StringCommand:
        """One round trip."""
        return StringCommand(
            *("cd", "/", "&&", QuoteString(f"{home}/bin/python"), "-c", "'import scitex_ssh.gateway.serve'"),
            *("2>/dev/null", "&&", "cat", QuoteString(f"{home}/asked-for"), "2>/dev/null", "||", "true"),
        )

    def process(self, output: Iterable[str]) -> str:
        """The text."""
        return "\n".join(output)
