"""Many worlds at once: each takes the next run of its contender until none is left."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.lab.lab import Lab
from tests.lab.world import inhabited

from .contenders import Contender
from .played import FAULTS
from .stage import Stage

# What a run takes besides its outage and the settling of its tunnel, about.
OVERHEAD = 12
# A run that a world could not play is given to another one, this often.
ATTEMPTS = 3


@dataclass
class Part:
    """One contender on one suite, with what is still to be played."""

    suite: str
    contender: Contender
    runs: list[str]
    settle: float
    give_up: float
    worlds: int = 0
    times: dict[str, list[float | None]] = field(default_factory=lambda: defaultdict(list))
    spoilt: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Troupe:
    """All parts, and the worlds that play them."""

    def __init__(self, parts: list[Part], *, quick: bool, turns: int) -> None:
        self.parts = parts
        self.quick = quick
        self.turns = threading.Semaphore(turns)
        self._lock = threading.Lock()
        self._labs: set[Lab] = set()
        for part in parts:
            # The longest first, or the last world would play them alone.
            part.runs.sort(key=self._length)

    def play(self, worlds: int) -> None:
        """Play everything, on so many worlds."""
        pool = ThreadPoolExecutor(max_workers=worlds)
        try:
            for future in [pool.submit(self._work) for _ in range(worlds)]:
                future.result()
        except KeyboardInterrupt:
            for lab in list(self._labs):
                lab.close()
            # The threads would go on for ten minutes, on worlds that are no more.
            os._exit(130)

    def _work(self) -> None:
        while part := self._chosen():
            try:
                self._inhabit(part)
            except Exception as reason:  # a world that breaks is one result less, not the end of all
                say(f"{part.suite} {part.contender.name}: a world broke: {type(reason).__name__}: {reason}")
            finally:
                with self._lock:
                    part.worlds -= 1

    def _inhabit(self, part: Part) -> None:
        with ExitStack() as stack:
            lab = stack.enter_context(Lab())
            self._labs.add(lab)
            stack.callback(self._labs.discard, lab)
            with self.turns:
                world = stack.enter_context(inhabited(lab, part.suite, ("workstation", "bastion")))
                part.contender.install(world)
                stage = Stage(
                    world,
                    part.contender,
                    quick=self.quick,
                    give_up=part.give_up,
                    settle=part.settle,
                    turns=self.turns,
                )
            while name := self._next(part):
                self._run(part, stage, name)

    def _run(self, part: Part, stage: Stage, name: str) -> None:
        try:
            seconds = stage.play(name)
        except Exception:
            with self._lock:
                part.spoilt[name] += 1
                if part.spoilt[name] < ATTEMPTS:
                    part.runs.append(name)
            raise
        with self._lock:
            part.times[name].append(seconds)
        say(f"{part.suite:9} {part.contender.name:18} {name:18} {shown(seconds)}")

    def _chosen(self) -> Part | None:
        """The part with the most left for each of its worlds."""
        with self._lock:
            left = [part for part in self.parts if part.runs]
            if not left:
                return None
            part = max(left, key=lambda part: sum(map(self._length, part.runs)) / (part.worlds + 1))
            part.worlds += 1
            return part

    def _next(self, part: Part) -> str | None:
        with self._lock:
            while part.runs:
                name = part.runs.pop()
                times = part.times[name]
                # Never three times is never.
                if len(times) < 3 or any(seconds is not None for seconds in times):
                    return name
            return None

    def _length(self, name: str) -> float:
        row = FAULTS[name]
        return OVERHEAD + (row.quick if self.quick else row.outage)


def say(words: str) -> None:
    """Tell whoever waits."""
    print(time.strftime("%H:%M:%S"), words, file=sys.stderr, flush=True)


def shown(seconds: float | None) -> str:
    """Seconds, as a table has them."""
    return "never" if seconds is None else f"{seconds:.1f}"
