"""Claims over HTTP: numbered, so that one that is asked for again gives the same jobs, and waiting for jobs to come.

The number is the claim's identity. In one process a request that comes again joins the claim under way, and its wait
takes the place of the first one's; over processes, restarts and lost answers the database knows what a number took
(`jobledger.claimed`), and holds the number while it is being taken.

Those that wait stand in lines: workers of the same bounds in one, for what one of them does not find, the others do not
either. A hint or the line's timer sends the first of a line to look, once more for each that found something. So what
waiting costs grows with the lines, not with who waits, and at most `_CLAIMS` claims run at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jobledger.store.mending import claim_mending
from jobledger.store.tasks import end
from jobledger.store.workers import set_idle
from jobledger.worker.idle import IdleFlag
from jobledger.worker.lines import Lines, patiently
from jobledger.worker.listen import Ears, listening

if TYPE_CHECKING:
    from collections.abc import Coroutine, Hashable, Mapping, Sequence
    from uuid import UUID

    from jobledger.http.desks import Desk
    from jobledger.store.claim import ClaimedJob, Ticking
    from jobledger.store.pool import Connection, Store
    from jobledger.worker.listen import Hint

T = TypeVar("T")

_log = logging.getLogger("jobledger.http")

POLL_S: Final = 0.25
"""How long a line waits between two looks while nobody tells it of jobs."""
_TOLD_POLL_S: Final = 1.0
"""The same while hints come: for jobs that came back, of which no hint tells."""
_CLAIMS: Final = 4
_LINGER_S: Final = 0.1
_SEEN_S: Final = 5.0
_PATIENCE_S: Final = 30.0
_VAIN_MOST: Final = 3
_VAIN_S: Final = 0.005


class Numbered:
    """One claim under its number, for however many requests that ask for it."""

    def __init__(
        self,
        desk: Desk,
        number: int,
        *,
        n: int,
        held: Mapping[str, int],
        room: Mapping[str, int] | None,
        timeout_s: int | None,
        until: float,
    ) -> None:
        """Ask for `n` jobs at most, until a moment of the loop's clock."""
        self.desk = desk
        self.number = number
        self.n = n
        self.held = held
        self.room = room
        self.timeout_s = timeout_s
        self.until = until
        self.requests = 0
        self.task: asyncio.Task[Sequence[ClaimedJob]]
        self.turn: asyncio.Future[Sequence[ClaimedJob]] | None = None
        self.looked_for = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def line(self) -> Hashable:
        """Whom it stands in line with: by itself where it leaves out what others of its bounds would take."""
        narrow = self.timeout_s is not None or any(room < self.n for room in (self.room or {}).values())
        return (*self.desk.bounds, self.desk.id if narrow else None)

    @property
    def waits(self) -> bool:
        """Whether it still stands in line."""
        return self.turn is not None and not self.turn.done()

    def stand(self) -> asyncio.Future[Sequence[ClaimedJob]]:
        """Begin to wait."""
        self.turn = asyncio.get_running_loop().create_future()
        self.wait_until(self.until)
        return self.turn

    def wait_until(self, until: float) -> None:
        """Wait no longer than that; a moment that has passed ends it at once."""
        self.until = until
        if self._timer is not None:
            self._timer.cancel()
        if self.waits:
            self._timer = asyncio.get_running_loop().call_at(until, self.expire)

    def expire(self) -> None:
        """End the wait with nothing; while jobs are being taken for it, it is theirs to say."""
        self.until = 0.0
        if not self.looked_for:
            self.settle(())

    def settle(self, jobs: Sequence[ClaimedJob]) -> None:
        """End the wait."""
        if self._timer is not None:
            self._timer.cancel()
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(jobs)

    def fail(self, error: Exception) -> None:
        """End the wait with an error."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_exception(error)
        self.settle(())


class _Line:
    """Those who wait for the same jobs. Its task looks for the first of them, and ends when nobody waits any more."""

    def __init__(self, lobby: Lobby) -> None:
        self._lobby = lobby
        self._waiting: deque[Numbered] = deque()
        self._wake = asyncio.Event()
        self._told = False
        self._vain = 0
        self._flag = IdleFlag(lobby.say_idle)
        self._flagged: UUID | None = None
        self._seen_at = 0.0

    def join(self, one: Numbered) -> asyncio.Future[Sequence[ClaimedJob]]:
        """Stand at the end of the line."""
        self._waiting.append(one)
        self._wake.set()
        return one.stand()

    def hear(self) -> None:
        """A job came, perhaps for this line."""
        self._told = True
        self._wake.set()

    def listens(self, stands: bool) -> None:
        """Hints come from now on, or no longer: what was said meanwhile is lost, so look."""
        self._flag.listening = stands
        if not stands:
            self._flag.take_down()
        self.hear()

    def let_go(self) -> None:
        """Let everybody go, with nothing."""
        for one in self._waiting:
            one.expire()
        self._wake.set()

    async def run(self) -> None:
        """Look for those who wait until nobody does."""
        try:
            while (first := await self._first()) is not None:
                await self._show(first)
                if not first.waits:
                    # Its wait has ended meanwhile: it was answered with nothing, and what it took would be lost.
                    continue
                self._told = False
                if await self._look(first):
                    self._vain = 0
                else:
                    await self._rest()
        finally:
            # In one step with having found nobody: who comes now begins a line of its own.
            self._lobby.close_line(self)
            self.let_go()
            self._flag.take_down()
        await self._flag.settled()

    async def _first(self) -> Numbered | None:
        """Return who has waited longest, None where nobody has come for a moment."""
        while True:
            while self._waiting:
                if self._waiting[0].waits:
                    return self._waiting[0]
                self._waiting.popleft()
            self._wake.clear()
            try:
                async with asyncio.timeout(_LINGER_S):
                    await self._wake.wait()
            except TimeoutError:
                if not self._waiting:
                    return None

    async def _look(self, one: Numbered) -> Sequence[ClaimedJob]:
        self._waiting.rotate(-1)
        one.looked_for = True
        try:
            jobs = await self._lobby.take(one)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer to who waits
            one.fail(error)
            return ()
        finally:
            one.looked_for = False
        if jobs or one.until <= asyncio.get_running_loop().time():
            one.settle(jobs)
        return jobs

    async def _rest(self) -> None:
        """Wait for a hint or the timer. Hints in vain, for what others took, may not turn into a loop."""
        now = time.monotonic()
        until = now + (_TOLD_POLL_S if self._flag.listening else POLL_S)
        not_before = now
        if self._vain >= _VAIN_MOST:
            not_before = now + min(_VAIN_S * 2 ** (self._vain - _VAIN_MOST), POLL_S)
        while (left := until - time.monotonic()) > 0 and any(one.waits for one in self._waiting):
            if self._told and (left := min(left, not_before - time.monotonic())) <= 0:
                self._vain += 1
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
        self._vain = 0

    async def _show(self, one: Numbered) -> None:
        """Say in the database that a worker of this line waits; one that was here a moment ago will do."""
        now = time.monotonic()
        flagged = self._flagged
        if flagged is not None and any(other.desk.id == flagged and other.waits for other in self._waiting):
            self._seen_at = now
        if flagged is not None and self._flag.up(flagged) and now - self._seen_at < _SEEN_S:
            return
        if self._flag.wanted(one.desk.id):
            self._flag.take_down()
            self._flagged, self._seen_at = one.desk.id, now
            await self._flag.put_up(one.desk.id)


class Lobby:
    """Where the claims of one process are made and wait."""

    def __init__(self, store: Store, listen_dsn: str | None) -> None:
        """Open nothing yet. Without an address to listen at, every line looks by its timer."""
        self._store = store
        self._listen_dsn = listen_dsn
        self._lines: dict[Hashable, _Line] = {}
        self._kept = Lines(store)
        self._places = asyncio.Semaphore(_CLAIMS)
        self._listening = False
        self._ears: contextlib.AsyncExitStack | None = None
        self._over = False
        self.looks = 0
        """How often the database was asked for jobs."""
        self._tasks: set[asyncio.Task[object]] = set()

    async def claim(self, asked: Numbered) -> Sequence[ClaimedJob]:
        """Return the jobs of a claim. One of its number that is under way is joined, with the wait of this one."""
        one = asked.desk.under_way.get(asked.number)
        if one is None:
            one = asked
            one.desk.under_way[one.number] = one
            one.task = self._begin(self._claimed(one))
        else:
            one.wait_until(asked.until)
        one.requests += 1
        try:
            return await asyncio.shield(one.task)
        finally:
            one.requests -= 1
            if not one.requests:
                # Whoever asked has left: it takes nothing any more, unless it is being taken just now.
                one.wait_until(0.0)

    async def take(self, one: Numbered) -> Sequence[ClaimedJob]:
        """Look once: return what the number took before, else take jobs under it."""
        claimer = one.desk.claimer

        async def look(n: int, _: Ticking | None) -> Sequence[ClaimedJob]:
            async with self._kept.line() as connection:
                return await patiently(connection, within(connection, n), _PATIENCE_S)

        async def within(connection: Connection, n: int) -> Sequence[ClaimedJob]:
            async with connection.transaction():
                jobs = await claimer.claimed(one.number, connection)
                if jobs or one.desk.was_answered(one.number):
                    return jobs
                return await claimer.claim(
                    n, one.held, one.number, connection, queues=one.room, timeout_s=one.timeout_s
                )

        async with self._places:
            if not one.requests:
                return ()
            self.looks += 1
            jobs = await claim_mending(self._store, one.n, None, look)
        if jobs:
            one.desk.answered(one.number)
        return jobs

    async def claim_job(self, desk: Desk, number: int, job: UUID) -> ClaimedJob:
        """Take one waiting job by its id; return it again where this number took it before."""

        async def within(connection: Connection) -> ClaimedJob:
            async with connection.transaction():
                for one in await desk.claimer.claimed(number, connection):
                    if one.id == job:
                        return one
                return await desk.claimer.claim_job(job, number, connection)

        async with self._places, self._kept.line() as connection:
            return await patiently(connection, within(connection), _PATIENCE_S)

    async def say_idle(self, worker: UUID, idle: bool) -> bool:
        """Say that a worker waits for jobs, or no longer does; return whether its flag stands."""
        async with self._store.connection(ours=True) as connection:
            return await patiently(connection, set_idle(connection, self._store.shard, worker, idle), _PATIENCE_S)

    def drain(self) -> None:
        """Let everybody go, with nothing, and let nobody wait any more."""
        self._over = True
        for line in tuple(self._lines.values()):
            line.let_go()

    async def close(self) -> None:
        """End what runs here, and give back the connections."""
        self.drain()
        await end(list(self._tasks))
        if self._ears is not None:
            await self._ears.aclose()
        await self._kept.close()

    async def _claimed(self, one: Numbered) -> Sequence[ClaimedJob]:
        try:
            jobs = await self.take(one)
            if jobs or self._over or one.until <= asyncio.get_running_loop().time():
                return jobs
            await self._listen()
            line = self._lines.get(one.line)
            if line is None:
                line = self._lines[one.line] = _Line(self)
                line.listens(self._listening)
                self._begin(line.run())
            return await line.join(one)
        finally:
            del one.desk.under_way[one.number]

    def close_line(self, line: _Line) -> None:
        """Let nobody stand in this line any more."""
        self._lines = {name: other for name, other in self._lines.items() if other is not line}

    async def _listen(self) -> None:
        """Open the process's ear, once; it closes with the service."""
        if self._ears is None:
            self._ears = contextlib.AsyncExitStack()
            await self._ears.enter_async_context(
                listening(self._listen_dsn, self._store.shard, Ears(self._heard, self._stands))
            )

    def _heard(self, _: Hint | None) -> None:
        for line in self._lines.values():
            line.hear()

    def _stands(self, stands: bool) -> None:
        self._listening = stands
        for line in self._lines.values():
            line.listens(stands)

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name="jobledger-http-claim")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            # Who asked was told, unless nobody does any more.
            _log.debug("a claim failed (%s)", type(error).__name__)
