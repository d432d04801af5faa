"""Stopping: claim no more, finish, then hand back.

The first SIGTERM or SIGINT lets running jobs finish within the grace; jobs that no slot has begun are handed back at
once. What still runs after that is ended and handed back as `interrupted`, which costs no attempt. A second signal ends
the grace at once, a third one the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

from jobledger.worker.link import no_longer_than
from jobledger.worker.slots import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobledger.worker.fetch import Fetcher
    from jobledger.worker.incarnation import Incarnation
    from jobledger.worker.slots import SlotPool

_INTERRUPTED = {"reason": "the worker is stopping"}
_LOOK_S = 0.02
_REPORTS_S = 30.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Whether a worker was asked to stop, why, and how urgently."""

    def __init__(self) -> None:
        """Begin unasked."""
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reason = ""
        self._signals = 0

    def ask(self, reason: str, *, hurry: bool = False) -> None:
        """Ask to stop; the first reason stays. `hurry` ends the grace."""
        if not self.asked.is_set():
            self.reason = reason
            self.asked.set()
        if hurry:
            self.hurry.set()

    def on_signal(self, number: int) -> None:
        """Count a signal: the first asks, the second hurries, the third ends the process."""
        self._signals += 1
        if self._signals > 2:
            os._exit(128 + number)
        self.ask(f"signal {signal.Signals(number).name}", hurry=self._signals > 1)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT for a block; in the main thread only."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.on_signal, number)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


async def wind_down(
    stopping: Stopping,
    fetcher: Fetcher,
    fetching: asyncio.Task[None],
    pool: SlotPool,
    incarnations: Sequence[Incarnation],
    *,
    grace_s: float,
    ignore_s: float,
) -> None:
    """Bring the work to its end; afterwards every job is reported, or left to the lease where that was impossible."""
    fetcher.stop()
    _hand_back(incarnations)
    loop = asyncio.get_running_loop()
    end = loop.time() + grace_s
    while (pool.running or not fetching.done()) and loop.time() < end and not stopping.hurry.is_set():
        await no_longer_than(_LOOK_S, stopping.hurry)
        # A claim that was under way may still bring jobs.
        _hand_back(incarnations)
    if not fetching.done():
        fetcher.give_up()
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
    _hand_back(incarnations)
    await _interrupt(pool, ignore_s)
    for incarnation in incarnations:
        try:
            async with asyncio.timeout(_REPORTS_S):
                await incarnation.reporter.drained()
        except TimeoutError:
            await incarnation.reporter.give_up()
    await pool.closing()


def _hand_back(incarnations: Sequence[Incarnation]) -> None:
    for incarnation in incarnations:
        for job in incarnation.held.hand_over():
            incarnation.reporter.add(job, "interrupted", _INTERRUPTED)


async def _interrupt(pool: SlotPool, ignore_s: float) -> None:
    for slot, _ in pool.busy():
        pool.stop(slot, Ending.INTERRUPTED)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ignore_s):
            await pool.rested()
    for slot, _ in pool.busy():
        pool.abandon(slot)
