"""Notes when the event loop was held up, by its own work or by the machine: what ended then could not end in time."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from typing import Final

_PROBE_S: Final = 0.005
HELD_UP_S: Final = 0.005
"""Lateness from which the loop counts as held up: a quarter of the slack, because a job may meet several."""


class Holdups:
    """Stretches in which a timer of the loop was due and did not fire; times of `time.monotonic`."""

    def __init__(self) -> None:
        """Begin with none."""
        self._starts: list[float] = []
        self._ends: list[float] = []
        self.longest_s = 0.0

    async def probe(self) -> None:
        """Look at the loop's lateness all the time, until cancelled."""
        while True:
            due = time.monotonic() + _PROBE_S
            await asyncio.sleep(_PROBE_S)
            self.note(due, time.monotonic())

    def note(self, due: float, fired: float) -> None:
        """Take a timer into account that was due and fired at these times."""
        late_s = fired - due
        if late_s > HELD_UP_S:
            self._starts.append(due - _PROBE_S)
            # What piled up meanwhile is worked off in the same turn as the probe, after it.
            self._ends.append(fired + late_s)
            self.longest_s = max(self.longest_s, late_s)

    def met(self, at: float) -> bool:
        """Say whether the loop was held up at this time."""
        place = bisect_right(self._starts, at) - 1
        return place >= 0 and at <= self._ends[place]
