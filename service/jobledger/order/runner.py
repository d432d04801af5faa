"""The runner: folds every projection that it knows of as the log is sealed, each in a task of its own.

Any number of runners may run: a batch is taken under the lock of the projection's row, so that one is at it, and when
that one dies the next goes on from the checkpoint that was committed with the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import asyncpg

from jobledger.errors import FeedReset, Forbidden, JobledgerError, Unavailable, Unreachable
from jobledger.observations import ConnectionLost, ProjectionReset, ProjectionStopped, ProjectionSwapped, emit
from jobledger.order import projections as register
from jobledger.order.folding import (
    BATCH,
    BATCH_PYTHON,
    FoldFailed,
    NotMine,
    make,
    note_version,
    step,
    swap,
    what_failed,
)
from jobledger.store.statements import statement
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobledger.order.projections import Due, Projection
    from jobledger.store.pool import Connection, Store

_log = logging.getLogger("jobledger.order")

BUSY_S: Final = 1.0
IDLE_S: Final = 0.25
HINTED_S: Final = 3.0
_AT_ONCE: Final = 4
"""Projections that are folded at a time, each over a connection of the worker's pool; a fold has 60 s for a batch."""
_STANDBY_S: Final = 1.0
_SELDOM: Final = 10
_BACKOFF_S: Final = 1.0
# Connection, collision, resources, lock, the operator's intervention: the fold is not at fault, and is tried again.
_PASSING: Final = ("08", "40", "53", "57P", "55P03", "58")

# A migration made a function anew that a batch had begun to call.
_MADE_ANEW: Final = "cache lookup failed for "

# Another process may run as the role that owns the tables, so a role that may not is no reason to stop them.
_NOT_MINE: Final = "42501"
_NOT_MINE_S: Final = 30.0
_MISSING: Final = ("3F000", "42P01", "42883")

_Key = tuple[str, bool]


class Runner:
    """Folds until cancelled: it looks four times a second (`idle_s`), and once a second while something comes.

    One that is hinted at each block can wait longer in between. A fold costs the less for each event the more it takes
    in at once: a job that began and ended within a second is looked up once.
    """

    def __init__(
        self, store: Store, projections: Iterable[Projection], *, busy_s: float = BUSY_S, idle_s: float = IDLE_S
    ) -> None:
        """Prepare, with every version of every projection that this process has the fold of."""
        self._store = store
        self._known: dict[str, dict[int, Projection]] = {}
        for one in projections:
            self._known.setdefault(one.name, {})[one.version] = one
        self._busy_s = busy_s
        self._idle_s = idle_s
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._later: dict[_Key, float] = {}
        self._alone: dict[_Key, int] = {}
        self._blocked: set[str] = set()
        self._told: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Fold until cancelled. Ends at once for a role that is bound to tenants: it may not see everybody's events."""
        try:
            while self._known:
                try:
                    busy = await self.look()
                except Forbidden:
                    _log.info("this role is bound to tenants; projections are left to others")
                    return
                except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                    emit(ConnectionLost(where="projections", error=type(error).__name__))
                    await asyncio.sleep(_BACKOFF_S)
                    continue
                await (asyncio.sleep(self._busy_s) if busy else self._idle())
        finally:
            await self.aclose()

    def hint(self) -> None:
        """Something was sealed: look soon, unless it is being folded already."""
        self._wake.set()

    async def _idle(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        # No hint comes for what was put off.
        wait_s = min([self._idle_s, *(at - began for at in self._later.values() if at > began)])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        # Hints at blocks that are not to be folded here come as often as those are sealed.
        await asyncio.sleep(began + min(IDLE_S, self._idle_s) - loop.time())
        self._wake.clear()

    async def aclose(self) -> None:
        """End what is being folded; a batch that is not committed is folded again by the next runner."""
        await end(self._tasks.values())

    async def settle(self) -> None:
        """Fold until nothing waits and nothing is to be swapped, or what is left is stopped or another runner's."""
        while await self.look() or self._blocked:
            if self._tasks:
                await asyncio.wait(self._tasks.values())
            else:
                await asyncio.sleep(self._busy_s)

    async def look(self) -> bool:
        """Look once at the register, and begin whatever is to be done; whether anything is being done."""
        async with self._store.connection(ours=True, prompt=True) as connection:
            rows = {(row.name, row.shadow): row for row in await register.due(connection, self._store.shard)}
            if await self._enter(connection, rows):
                rows = {(row.name, row.shadow): row for row in await register.due(connection, self._store.shard)}
        now = asyncio.get_running_loop().time()
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        for key, row in rows.items():
            if key in self._tasks or self._later.get(key, 0) > now or not self._is_to_do(row):
                continue
            self._tasks[key] = asyncio.create_task(self._advance(row), name=f"jobledger-projection-{row.name}")
        return bool(self._tasks)

    # ---- what is to be done

    async def _enter(self, connection: Connection, rows: dict[_Key, Due]) -> bool:
        """Enter projections that are new, and shadows for versions that are."""
        entered = False
        shard = self._store.shard
        for name, versions in self._known.items():
            newest = versions[max(versions)]
            live, shadow = rows.get((name, False)), rows.get((name, True))
            if live is None and shadow is None:
                entered |= await register.begin(connection, shard, name, newest.version, effects=newest.effects)
            elif live is not None and live.version < newest.version and not live.effects and shadow is None:
                if not live.made:
                    continue
                entered |= await register.begin(connection, shard, name, newest.version, shadow=True)
            elif live is not None and live.version == newest.version and live.made:
                self._compare(live, newest)
        return entered

    def _compare(self, live: Due, newest: Projection) -> None:
        if live.checksum != newest.checksum and (live.name, live.version) not in self._told:
            self._told.add((live.name, live.version))
            _log.warning("the SQL of projection %s differs from what was made: raise its version", live.name)

    def _version(self, row: Due) -> Projection | None:
        """Return what folds this row here: the same version, or for SQL, which lies in the database, any."""
        versions = self._known.get(row.name, {})
        exact = versions.get(row.version)
        if exact is not None or not versions:
            return exact
        newest = versions[max(versions)]
        return newest if newest.fold is None or (newest.effects and newest.version > row.version) else None

    def _is_to_do(self, row: Due) -> bool:
        if row.state == "stopped" or row.name not in self._known:
            return False
        if not row.made:
            return self._newest(row.name).version >= row.version
        return self._version(row) is not None and (
            row.block != row.last_block or row.shadow or (row.state == "rebuilding" and not row.shadow)
        )

    # ---- doing it

    async def _advance(self, row: Due) -> None:
        """Make it, fold it until it is at the end, swap it in: whatever it needs. What fails is told."""
        key = (row.name, row.shadow)
        try:
            try:
                async with self._room:
                    await self._work(row)
            except FeedReset as reset:
                await self._reset(row, str(reset.detail.get("reason")))
            except FoldFailed as failed:
                await self._failed(row, failed)
        except (NotMine, asyncpg.InsufficientPrivilegeError):
            self._leave(row)
        except (JobledgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            self._put_off(key, _BACKOFF_S)
            emit(ConnectionLost(where="projections", error=type(error).__name__))
        except Exception:  # noqa: BLE001 - the next look tries again
            self._put_off(key, _BACKOFF_S)
            _log.exception("the projection %s could not be seen to", row.name)

    async def _work(self, row: Due) -> None:
        key, shard = (row.name, row.shadow), self._store.shard
        projection = self._version(row)
        if not row.made:
            chosen = projection or self._newest(row.name)
            await make(self._store, shard, chosen, shadow=row.shadow)
            return
        if projection is not None and projection.effects and row.version < projection.version:
            await note_version(self._store, shard, projection)
        usual = BATCH if projection is None or projection.fold is None else BATCH_PYTHON
        while True:
            events = 1 if key in self._alone else usual
            done = await step(self._store, shard, row.name, projection, shadow=row.shadow, events=events)
            if done is None:
                self._put_off(key, _STANDBY_S)
                return
            if key in self._alone and (done.upto is None or done.upto >= self._alone[key]):
                del self._alone[key]
            if done.upto is None or not done.more:
                break
        if row.shadow:
            await self._swap(row)

    def _newest(self, name: str) -> Projection:
        versions = self._known[name]
        return versions[max(versions)]

    async def _swap(self, row: Due) -> None:
        self._blocked.discard(row.name)
        try:
            if await swap(self._store, self._store.shard, self._newest(row.name)):
                emit(ProjectionSwapped(row.name, row.version))
        except (asyncpg.LockNotAvailableError, Unavailable):
            # Whoever reads the old tables goes first. Those behind it wait while this one does, so that is seldom.
            self._blocked.add(row.name)
            self._put_off((row.name, True), _SELDOM * self._busy_s)

    def _put_off(self, key: _Key, for_s: float) -> None:
        self._later[key] = asyncio.get_running_loop().time() + for_s

    # ---- what goes wrong

    async def _failed(self, row: Due, failed: FoldFailed) -> None:
        """Try a failed batch again block by block, and stop at the block that fails by itself."""
        key, error = (row.name, row.shadow), failed.error
        state = getattr(error, "sqlstate", None) or ""
        if isinstance(error, (Unavailable, Unreachable)) or (
            isinstance(error, asyncpg.PostgresError)
            and (state.startswith(_PASSING) or (state == "XX000" and str(error).startswith(_MADE_ANEW)))
        ):
            self._put_off(key, _BACKOFF_S)
            emit(ConnectionLost(where="projections", error=type(error).__name__))
            return
        if state == _NOT_MINE:
            self._leave(row)
            return
        if state in _MISSING and row.made and not await self._has_tables(row):
            emit(ProjectionReset(row.name, row.shadow, "tables_missing"))
            await self._begin_again(row)
            return
        if failed.upto > failed.after + 1 and key not in self._alone:
            self._alone[key] = failed.upto
            return
        self._alone.pop(key, None)
        told = what_failed(error)
        if failed.upto:
            told = f"block {failed.upto}: {told}"
        await self._stop(row, told, failed.after if row.made else None)

    def _leave(self, row: Due) -> None:
        self._put_off((row.name, row.shadow), _NOT_MINE_S)
        if (row.name, 0) not in self._told:
            self._told.add((row.name, 0))
            _log.warning("this role may not make or write the tables of projection %s: it is left to others", row.name)

    async def _reset(self, row: Due, reason: str) -> None:
        """The log does not have the checkpoint: make it anew where that can be, else stop and say so."""
        emit(ProjectionReset(row.name, row.shadow, reason))
        shard = self._store.shard
        if reason == "below_horizon":
            told = "What comes next was dropped by retention; `resume --skip` goes on without it."
            await self._stop(row, told, row.block)
            return
        async with self._store.connection(ours=True, prompt=True) as connection:
            if row.effects:
                await register.stop(connection, shard, row.name, block=row.block)
                await register.resume(connection, shard, row.name, skip=True)
            elif row.shadow:
                await self._begin_again(row)
            else:
                told = "The log no longer has the place up to which it was folded; it is being made anew."
                await register.stop(connection, shard, row.name, error=told, shadow=False, block=row.block)
                await register.begin(connection, shard, row.name, None, shadow=True)

    async def _has_tables(self, row: Due) -> bool:
        async with self._store.connection(ours=True, prompt=True) as connection:
            schema = register.schema_of(row.name, shadow=row.shadow)
            return bool(await connection.fetchval(statement("order/projection_schema_there"), schema))

    async def _begin_again(self, row: Due) -> None:
        """Forget it (a rebuild: and enter that again); the next look begins what is declared and not there."""
        async with self._store.connection(ours=True, prompt=True) as connection:
            await register.drop(connection, self._store.shard, row.name, shadow_only=row.shadow)
            if row.shadow:
                await register.begin(connection, self._store.shard, row.name, row.version, shadow=True)

    async def _stop(self, row: Due, told: str, block: int | None) -> None:
        async with self._store.connection(ours=True, prompt=True) as connection:
            count = await register.stop(
                connection, self._store.shard, row.name, error=told, shadow=row.shadow, block=block
            )
        if count:
            emit(ProjectionStopped(row.name, row.shadow, told))
