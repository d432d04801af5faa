"""A schedule of faults drawn from a seed: the same seed is the same schedule, whatever the machine does."""

from __future__ import annotations

import random
from typing import NamedTuple

# How often each comes, against the others; a pair is a fault that lasts, with the seconds it lasts at most.
WEIGHTS: dict[str, tuple[int, float]] = {
    "kill worker": (6, 0),
    "freeze worker": (4, 4),
    "kill server": (3, 0),
    "kill backend": (3, 0),
    "cut": (5, 0),
    "stall": (4, 3),
    "mute": (3, 0),
    "orphan": (3, 0),
    "refuse": (3, 3),
    "cancel": (8, 0),
    "kill": (8, 0),
    "retry": (12, 0),
    "reprioritise": (5, 0),
    "move": (5, 0),
    "pause": (4, 5),
    "prepare": (4, 5),
    "rebuild queue": (2, 0),
    "rebuild status": (2, 0),
    "switch persistence": (2, 0),
    "add partition": (2, 0),
    "tick": (6, 0),
    "migrate": (2, 0),
    "limit connections": (3, 4),
    "enqueue far off": (3, 0),
    "full disk": (2, 4),
    "clock back": (2, 4),
    "kill pooler": (2, 0),
    "old worker": (2, 6),
}
BETWEEN_S = 0.8


class Fault(NamedTuple):
    """One entry: when, what, whether it is the end of one that lasts, and a number to choose its target by."""

    at_s: float
    what: str
    ends: bool
    pick: int

    def __str__(self) -> str:
        """Say it as one line of the timeline."""
        return f"{self.at_s:7.2f} s  {'end of ' if self.ends else ''}{self.what} ({self.pick})"


def schedule(seed: int, seconds: float) -> list[Fault]:
    """Return the faults of a run in their order. What lasts ends at the run's end at the latest."""
    drawn = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    names = list(WEIGHTS)
    faults: list[Fault] = []
    at_s = drawn.expovariate(1 / BETWEEN_S)
    while at_s < seconds:
        what = drawn.choices(names, [WEIGHTS[name][0] for name in names])[0]
        pick = drawn.randrange(1_000_000)
        faults.append(Fault(at_s, what, False, pick))
        if WEIGHTS[what][1]:
            faults.append(Fault(min(seconds, at_s + drawn.uniform(0.2, 1) * WEIGHTS[what][1]), what, True, pick))
        at_s += drawn.expovariate(1 / BETWEEN_S)
    return sorted(faults)
