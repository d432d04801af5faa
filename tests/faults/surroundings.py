"""What may fail around everybody: the disk of the log, the database's clock, a pooler, workers of an older version."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tests.faults.disk import MIB, CannotMountError, Disk, log_moved_to, mounted_disk
from tests.faults.pooler import PROGRAM, Pooler, pooled
from tests.faults.test_versions import unpacked

from jobledger.testing.clock import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.faults.conftest import Crew, Hand
    from tests.faults.schedule import Fault

    from jobledger.embedded import Server
    from jobledger.store.pool import Store

HOUR = timedelta(hours=1)
SPACE = 512 * MIB
OLDER = "older"
"""A role that may not look which migrations there are: a worker of the first version starts as it."""
MAKE = f"create role {OLDER} login in role jobledger_worker, jobledger_every_tenant"


class Ground(NamedTuple):
    """What everybody stands on: the disk that holds the log, a pooler in front of the server, the older version."""

    disk: Disk | None
    pooler: Pooler | None
    old: Path


class Surroundings:
    """Faults of what everybody stands on. What this machine does not have (`missing`) is left out."""

    def __init__(self, server: Server, crew: Crew, store: Store, ground: Ground) -> None:
        """Keep what can fail."""
        self.server = server
        self.crew = crew
        self.store = store
        self._disk, self.pooler, self._old = ground
        self.missing = {what for what, one in (("full disk", self._disk), ("kill pooler", self.pooler)) if one is None}
        self._clock = Clock(store)
        self._older: dict[int, Hand] = {}
        self._old_hands: list[Hand] = []

    async def put_right(self) -> None:
        """Give the disk its space and the clock its hour; dismiss the older workers. May be called again."""
        await self.make_room()
        await self._clock.set(datetime.now(UTC))
        for pick in list(self._older):
            self._older.pop(pick).kill()
        if self.pooler is not None and not self.pooler.running:
            self.pooler.spawn()

    async def make_room(self) -> None:
        """Give the disk its space again, and start the server if it has ended: the want of space may have been why."""
        if self._disk is not None:
            self._disk.grow(SPACE)
        await self.server.astart()

    async def _full_disk(self, fault: Fault) -> None:
        assert self._disk is not None
        if fault.ends:
            await self.make_room()
        else:
            self._disk.fill()

    async def _clock_back(self, fault: Fault) -> None:
        # To a moment, not by an hour: where the answer is lost it is set once more, and is the same.
        now = datetime.now(UTC)
        await self._clock.set(now if fault.ends else now - HOUR)

    async def _kill_pooler(self, _: Fault) -> None:
        assert self.pooler is not None
        self.pooler.kill()
        await self.pooler.start()

    @property
    def old_have_worked(self) -> bool:
        """Whether a worker of the first version has begun a job."""
        return any(hand.notes("begun") for hand in self._old_hands)

    async def _old_worker(self, fault: Fault) -> None:
        """One of the first version comes, works beside the others, and is killed."""
        if not fault.ends:
            dsn = self.server.dsn.replace("postgres@", f"{OLDER}@", 1)
            self._older[fault.pick] = self.crew.hire(dsn=dsn, PYTHONPATH=str(self._old / "service"))
            self._old_hands.append(self._older[fault.pick])
        elif fault.pick in self._older:
            self._older.pop(fault.pick).kill()


@contextlib.asynccontextmanager
async def ground(server: Server, store: Store, folder: Path) -> AsyncIterator[Ground]:
    """Put the log on a disk of its own, a pooler in front of the server, and the older version into the folder."""
    await Clock(store).install()
    async with store.connection() as connection:
        await connection.execute(MAKE)
    old = unpacked(folder)
    async with contextlib.AsyncExitStack() as stack:
        disk = pooler = None
        with contextlib.suppress(CannotMountError):
            disk = stack.enter_context(mounted_disk(SPACE))
            await log_moved_to(disk, server.dsn, "small")
            # The disk must be there until the server has ended.
            stack.push_async_callback(server.astop)
        if PROGRAM is not None:
            pooler = await stack.enter_async_context(pooled(server.dsn, PROGRAM))
        yield Ground(disk, pooler, old)
