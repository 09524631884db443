"""A world with a tunnel on it, and the runs on it one after another."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.lab import faults
from tests.lab.hosts import Host
from tests.lab.world import World

from .contenders import Contender
from .looking import answers, await_, listeners
from .played import FAULTS, Play

# A recovery that takes longer than this is not delayed by what the others do.
PATIENCE = 25


class Stage:
    """A world with one contender on it.

    `turns` are shared by the worlds that play side by side: one is held while something is done or measured,
    none while a tunnel just stands or an outage lasts. So the runs, which mostly wait, wait together, and
    what is measured has the processors for itself.
    """

    def __init__(
        self,
        world: World,
        contender: Contender,
        *,
        quick: bool,
        give_up: float,
        settle: float,
        turns: threading.Semaphore | None = None,
    ) -> None:
        self.world = world
        self.contender = contender
        self.quick = quick
        self.give_up = give_up
        self.settle = settle
        self.turns = turns or threading.Semaphore()
        allow_probes(world.workstation)

    def play(self, name: str) -> float | None:
        """One run of a fault: seconds, or nothing for never."""
        row = FAULTS[name]
        with self.turns:
            self.reset()
        # Uneven, so that the fault meets ssh's own clock at any point of its round.
        time.sleep(self.settle * random.uniform(1, 2))
        with self.turns:
            before = listeners(self.world.bastion, self.contender.door)
            length = row.quick if self.quick else row.outage
            play = Play(self.world, self.contender, length, self.give_up, before, self.turns)
            with _ended(play):
                try:
                    begun = row.play(play)
                    return self._back(play, begun)
                except TimeoutError:
                    # Not even an attempt.
                    return None

    def _back(self, play: Play, begun: float) -> float | None:
        """The seconds from a moment until the port answers."""
        soon = min(begun + self.give_up, time.monotonic() + PATIENCE)
        answered = self._answered(play, soon)
        if answered is None:
            # Not within seconds: others may have the turn.
            self.turns.release()
            answered = self._answered(play, begun + self.give_up)
            self.turns.acquire()
        return None if answered is None else max(answered - begun, 0)

    def _answered(self, play: Play, end: float) -> float | None:
        """When the door answered, or nothing until then."""
        bastion, door = self.world.bastion, self.contender.door
        if play.anew:
            try:
                await_(lambda: listeners(bastion, door) - play.before, end - time.monotonic())
            except TimeoutError:
                return None
        return answers(self.world, end - time.monotonic(), door)

    def reset(self) -> None:
        """The tunnel stands, with nothing left of the run before."""
        host, bastion = self.world.workstation, self.world.bastion
        faults.unsilence(host)
        faults.heal_flow(bastion)
        unit = self.contender.unit
        host.sh(f"systemctl stop {unit}; systemctl reset-failed {unit}", check=False)
        # Gently, and none that is logging in: newer sshd take a login that is killed for an attack, and
        # refuse the address for a while (PerSourcePenalties).
        bastion.sh(f"pkill -u {self.contender.account}; systemctl start ssh", check=False)
        with suppress(TimeoutError):
            await_(lambda: not listeners(bastion, self.contender.door), 5)
        host.sh(f"systemctl start {unit}")
        if answers(self.world, 60, self.contender.door) is None:
            raise RuntimeError(f"{self.contender.title} does not stand.\n{host.journal(unit)[-2000:]}")


@contextmanager
def _ended(play: Play) -> Iterator[None]:
    """Wait for the boots that a run began."""
    try:
        yield
    finally:
        for thread in play.booting:
            thread.join()


def allow_probes(host: Host) -> None:
    """Let the probes of the bench not be taken for an attack: newer sshd count who leaves without a login."""
    option = "PerSourcePenaltyExemptList=127.0.0.1,::1"
    host.sh(
        f"""
        if /usr/sbin/sshd -t -o {option} 2>/dev/null; then
            echo {option} | tr = ' ' >/etc/ssh/sshd_config.d/bench.conf
            systemctl reload ssh
        fi
        """
    )
