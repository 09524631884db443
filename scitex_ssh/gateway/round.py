"""What a gateway did by itself in one round."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Round:
    """One round of upkeep.

    Attributes:
        live: how many tunnels stand.
        dialled: how many of them were dialled.
        expired: the ids of the machines whose lease has ended.
        cut: the ports whose sessions were ended, or are gone.
    """

    live: int
    dialled: int
    expired: tuple[str, ...]
    cut: tuple[int, ...]
