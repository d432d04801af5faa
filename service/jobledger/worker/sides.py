"""What a worker with a database does beside its jobs: ticks, queue snapshots, sealing, projections, hearing of jobs.

One that works through a service has none of it to do: `Aside` stands in the place.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from jobledger.order.upkeep import Upkeep
from jobledger.worker.housekeeping import Ticker, copy_when
from jobledger.worker.idle import IdleFlag
from jobledger.worker.listen import Ears, listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from jobledger.jobs.app import App
    from jobledger.settings import Settings
    from jobledger.store.claim import Ticking
    from jobledger.store.tick import TickResult
    from jobledger.worker.link import Link
    from jobledger.worker.listen import Hint

_CLAIM_S: Final = 0.005


class Around(NamedTuple):
    """What the sides need of the worker: whom to tell that jobs are worth a poll, that one came, or to beat now."""

    app: App
    settings: Settings
    tick_s: float
    reopen: Callable[[], Awaitable[None]]
    worth: Callable[[], None]
    notified: Callable[[UUID | None], None]
    hurry: Callable[[], None]


class Sides(Protocol):
    """The sides of one worker."""

    @property
    def idle(self) -> IdleFlag | None:
        """How the database knows that this worker waits; None where nobody has to."""

    def begin(self) -> list[asyncio.Task[None]]:
        """Begin what runs beside the jobs."""

    def listening(self) -> AbstractAsyncContextManager[None]:
        """Hear of jobs inside a block."""

    def riding(self) -> Ticking | None:
        """Return what a poll needs to tick as well."""

    def alone(self) -> None:
        """A poll that ticked as well has failed."""

    async def nothing_due(self) -> bool:
        """Say that time brings nothing about just now."""


class DatabaseSides:
    """The sides of a worker that is connected to its database."""

    def __init__(self, link: Link, around: Around) -> None:
        """Prepare; nothing is sent yet."""
        self._link = link
        self._around = around
        self._settings = around.settings
        self.idle = IdleFlag(link.say_idle, always=self._settings.notify == "always")
        self._ticker = Ticker(link.tick, reopen=around.reopen, ticked=self._ticked, every_s=around.tick_s)
        self._copy_due = asyncio.Event()
        self._upkeep = Upkeep(link.store, around.settings, around.app.projections, reopen=around.reopen)

    def begin(self) -> list[asyncio.Task[None]]:
        """Begin to tick, to copy, to seal and to fold, as the settings say."""
        loop = asyncio.get_running_loop()
        works = {"tick": self._ticker.run(), "snapshot": copy_when(self._copy_due, self._link.snapshot)}
        works |= self._upkeep.works()
        return [loop.create_task(work, name=f"jobledger-{name}") for name, work in works.items()]

    def listening(self) -> AbstractAsyncContextManager[None]:
        """Hear of jobs inside a block, by the listener that the workers of a process share."""
        return listening(self._listen_dsn(), self._link.store.shard, Ears(self._notified, self._listens))

    def riding(self) -> Ticking | None:
        """Return what a poll needs to tick as well; None while a tick is under way or was only just."""
        return self._ticker.riding()

    def alone(self) -> None:
        """A poll that ticked as well has failed: for some seconds each goes alone."""
        self._ticker.alone()

    async def nothing_due(self) -> bool:
        """Tick, and say whether that found nothing to do."""
        result = await self._ticker.once()
        return not (result is None or result.found_work or result.skipped)

    def _listen_dsn(self) -> str | None:
        """Return where to listen: behind a transaction pooler only at an address past it. None: this worker polls."""
        direct = self._settings.listen_dsn
        if self._settings.notify == "off":
            return None
        if direct is not None:
            return direct.get_secret_value()
        return self._link.store.dsn if self._link.store.pooler == "none" else None

    def _notified(self, hint: Hint | None) -> None:
        if hint is None or self._link.serves(hint):
            self._around.notified(hint.job if hint else None)
        # The claim goes first, alone; its event is sealed together with that of the job.
        asyncio.get_running_loop().call_later(_CLAIM_S, self._upkeep.hint)

    def _listens(self, stands: bool) -> None:
        """The listener's connection came, or went: what was said meanwhile is lost, so look."""
        self.idle.listening = stands
        if not stands:
            self.idle.take_down()
        self._around.worth()

    def _ticked(self, result: TickResult) -> None:
        self._upkeep.ticked(result)
        if result.promoted or result.rescued or result.released_holds:
            self._around.worth()
        if result.killed or result.timed_out:
            self._around.hurry()
        if result.snapshot_due:
            self._copy_due.set()


class Aside:
    """The sides of a worker that works through a service, which does all of it."""

    idle = None

    def __init__(self, settle_s: float) -> None:
        """Prepare; what comes due is claimable after `settle_s` at most, for so often the service ticks."""
        self._settle_s = settle_s

    def begin(self) -> list[asyncio.Task[None]]:
        """Begin nothing."""
        return []

    def listening(self) -> AbstractAsyncContextManager[None]:
        """Hear nothing: claims wait at the service."""
        return contextlib.nullcontext()

    def riding(self) -> Ticking | None:
        """Nobody ticks here."""
        return None

    def alone(self) -> None:
        """Nobody ticks here."""

    async def nothing_due(self) -> bool:
        """Wait until the service has ticked."""
        await asyncio.sleep(self._settle_s)
        return True
