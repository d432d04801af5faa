"""Enqueues of the same moment go in one statement: each caller still awaits its own job, durable, and its own error.

A call that finds the door free goes through at once, with those that came in the same turn of the loop; those that come
while it is under way wait for it, and then go together; beside it only where it is slow. So nobody waits for company
that may not come, and many callers share a commit. Of many that wait half go at a time: while the database has the one
half, this process answers the other and takes in what it asks next; all together, each side would wait for the other.
A job with an idempotency key may have to wait for another transaction to end, and nobody else's job is to wait long
with it: a batch with keys has little patience; then they go by themselves, as all keys do for a while. Jobs with a
unique key or an id of their own always do: there a refusal is an everyday answer, and would be everybody's.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from jobledger.errors import BadInput, Conflict, Forbidden, Unavailable, Unreachable
from jobledger.store.enqueue import Enqueued, NewJob, enqueue_job, enqueue_stated
from jobledger.store.line import HELD_S, KeptLine
from jobledger.store.pool import COLLISIONS, GivenUp, is_lost

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jobledger.store.pool import Connection, Store

T = TypeVar("T")

_LANES: Final = 4
_SLOW_S: Final = 0.1
"""When a call that is not answered is no longer waited for by those that come. Two at a time are slower than one: each
costs half a millisecond by itself, and on few cores they take turns with the caller."""
_TOGETHER: Final = 500
_FEW: Final = 8
"""Who are no more than these go together: their statement costs more than they do."""
_BYTES: Final = 4 * 1024 * 1024
_PATIENCE_MS: Final = 50
"""How long jobs that go together wait for a key that another transaction holds."""
_APART_S: Final = 1.0
"""How long keys go by themselves after one was not free."""
_LOCKED: Final = "55P03"
STATEMENT_S: Final = 30.0
"""Seconds after which those that wait for an answer are told that there is none, and the lane goes on."""
_LOOK_S: Final = 1.0
"""How often it is looked whether anybody still waits for it."""


class _Manner(NamedTuple):
    actor: str | None
    strict: bool


class _Waiting(NamedTuple):
    job: NewJob
    stated: dict[str, Any]
    manner: _Manner
    answer: asyncio.Future[Enqueued]


class _Watched:
    """Lets a deadline pass soon after the last who waited for the answer gave up.

    Nobody wants the jobs any more; and whoever closes the pool waits for its connections.
    """

    __slots__ = ("_batch", "_deadline", "_handle", "_loop")

    def __init__(self, deadline: asyncio.Timeout, batch: list[_Waiting]) -> None:
        self._deadline = deadline
        self._batch = batch

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(_LOOK_S, self._look)

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()

    def _look(self) -> None:
        if all(one.answer.done() for one in self._batch):
            self._deadline.reschedule(self._loop.time())
        else:
            self._handle = self._loop.call_later(_LOOK_S, self._look)


class Gathering:
    """Enqueues jobs one by one as they come, or together as they come while others are under way. Of one event loop."""

    def __init__(self, store: Store) -> None:
        """Enqueue through this store's pool."""
        self._store = store
        self._waiting: list[_Waiting] = []
        self._under_way = 0
        self._departed = 0.0
        self._keyed_alone = False
        self._apart_until = 0.0
        self._company = True
        self._line = KeptLine(store)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def enqueue(self, job: NewJob, *, actor: str | None, strict: bool) -> Enqueued:
        """Enqueue one job in a transaction of its own or of a few; raises what `enqueue_job` does, for this job only.

        Cancelled while it waits for company, it is not enqueued; later it may be.
        """
        manner = _Manner(actor, strict)
        if job.unique_key is not None or job.id is not None:
            return await self._alone(job, manner)
        if job.key is not None:
            return await self._keyed(job, manner)
        if not self._under_way:
            self._under_way = 1
            self._departed = time.monotonic()
            try:
                if self._company:
                    # Who comes in the same turn of the loop goes along: one by one each would pay for a commit. Where
                    # nobody came the last time, this call need not give them the time.
                    await asyncio.sleep(0)
                if not self._waiting:
                    return await self._alone(job, manner)
                mine = self._wait(job, manner)
            finally:
                self._company = bool(self._waiting)
                self._leave()
            return await mine.answer
        mine = self._wait(job, manner)
        self._open_lane()
        return await mine.answer

    async def _keyed(self, job: NewJob, manner: _Manner) -> Enqueued:
        """Enqueue a job with an idempotency key: by itself, without a lane, where nobody goes beside it."""
        if time.monotonic() < self._apart_until:
            return await self._alone(job, manner)
        if self._keyed_alone or self._under_way or self._company:
            self._company = True
            mine = self._wait(job, manner)
            self._open_lane()
            return await mine.answer
        self._keyed_alone = True
        try:
            return await self._alone(job, manner)
        finally:
            self._keyed_alone = False

    def _open_lane(self) -> None:
        """Let those that wait go, where nobody is under way, or beside one that takes long."""
        slow = self._under_way < _LANES and time.monotonic() - self._departed > _SLOW_S
        if slow or not self._under_way:
            self._under_way += 1
            self._leave()
        if self._waiting and self._timer is None:
            # Nobody else may come, who would look.
            self._timer = asyncio.get_running_loop().call_later(_SLOW_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiting:
            self._open_lane()

    def _wait(self, job: NewJob, manner: _Manner) -> _Waiting:
        """Wait for a lane, with what else does. What is wrong with a job is its caller's affair, and found here."""
        mine = _Waiting(job, job.stated(), manner, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        return mine

    async def close(self) -> None:
        """Give back the connection that is kept between two calls."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._line.close()

    async def _alone(self, job: NewJob, manner: _Manner) -> Enqueued:
        line = self._line
        lent = line.kept() or await line.borrowed()
        # Who brings a key or an id may have to wait for another's transaction to end, however long that is.
        waits = job.key is not None or job.unique_key is not None or job.id is not None
        try:
            async with asyncio.timeout(None if waits else STATEMENT_S) as deadline:
                enqueued = await self._one(lent.connection, job, manner)
        except BaseException as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                await line.fail(lent, GivenUp())
                raise _silence() from None
            await line.fail(lent, error)
            raise
        await line.settle(lent)
        return enqueued

    async def _one(self, connection: Connection, job: NewJob, manner: _Manner) -> Enqueued:
        return await enqueue_job(connection, job, actor=manner.actor, strict=manner.strict, shard=self._store.shard)

    def _leave(self) -> None:
        """Give the lane to those that wait, or free it."""
        if not self._waiting:
            self._under_way -= 1
            return
        self._begin(self._lane())

    async def _lane(self) -> None:
        """Send what waits, batch after batch, over one connection, which now and then is given back for others."""
        batch = self._next(0)
        while batch:
            try:
                async with self._store.connection(ours=True) as connection:
                    until = time.monotonic() + HELD_S
                    while batch:
                        # The next is on its way before those that this one answers go on: the database need not wait.
                        await self._together(connection, batch)
                        self._company = len(batch) > 1
                        batch = self._next(len(batch))
                        if time.monotonic() > until or is_lost(connection):
                            break
            except GivenUp:
                batch = []
            except BaseException as error:  # noqa: BLE001 - each caller gets it, as if it had called by itself
                for one in batch:
                    _fail(one, error)
                batch = []
            # Looked once more when the connection is back: meanwhile others may have come, who trust in this lane.
            batch = batch or self._next(0)
        self._under_way -= 1

    async def _answered(self, batch: list[_Waiting], call: Coroutine[Any, Any, T]) -> T:
        """Await a statement for some of those that wait; where no answer comes, the server is asked to give it up.

        So what only waits for a lock writes nothing later. The line goes back to the pool, which closes it where the
        server does not answer that either.

        Raises:
            GivenUp: each of them was told.
        """
        try:
            async with asyncio.timeout(STATEMENT_S) as deadline:
                with _Watched(deadline, batch):
                    return await call
        except TimeoutError:
            if not deadline.expired():
                raise
            for one in batch:
                _fail(one, _silence())
            raise GivenUp from None

    def _next(self, answered: int) -> list[_Waiting]:
        """Take those that go next; none: nobody waits. So many were `answered` just now, and are likely to return."""
        waiting = [one for one in self._waiting if not one.answer.done()]
        together = _first_together(waiting, max(_FEW, (len(waiting) + answered + 1) // 2))
        taken = set(map(id, together))
        self._waiting = [one for one in waiting if id(one) not in taken]
        self._departed = time.monotonic()
        return together

    async def _together(self, connection: Connection, batch: list[_Waiting]) -> None:
        keyed = any(one.job.key is not None for one in batch)
        if len(batch) == 1 and not keyed:
            await self._one_by_one(connection, batch)
            return
        manner = batch[0].manner
        items = [one.stated for one in batch]
        shard, patience_ms = self._store.shard, _PATIENCE_MS if keyed else None
        try:
            sending = enqueue_stated(
                connection, items, actor=manner.actor, strict=manner.strict, shard=shard, patience_ms=patience_ms
            )
            done = await self._answered(batch, sending)
        except (BadInput, Conflict, Forbidden, *COLLISIONS):
            # All or nothing: nothing was written, and the others are not to suffer for one.
            await self._one_by_one(connection, batch)
        except Unavailable as error:
            if not keyed or error.detail.get("sqlstate") != _LOCKED:
                raise
            self._apart_until = time.monotonic() + _APART_S
            await self._one_by_one(connection, batch)
        else:
            for one, enqueued in zip(batch, done, strict=True):
                if not one.answer.done():
                    one.answer.set_result(enqueued)

    async def _one_by_one(self, connection: Connection, batch: list[_Waiting]) -> None:
        for one in batch:
            if one.job.key is not None and not one.answer.done():
                task = self._begin(self._by_itself(one))
                # Who gives up is not to keep a connection.
                one.answer.add_done_callback(_ending(task))
        rest = [one for one in batch if one.job.key is None]
        while rest:
            one = rest.pop(0)
            if one.answer.done():
                continue
            try:
                enqueued = await self._answered([one], self._one(connection, one.job, one.manner))
            except GivenUp:
                # Nothing was sent for the others: they go by the next line.
                self._waiting[:0] = rest
                raise
            except Exception as found:  # noqa: BLE001 - its caller gets it
                _fail(one, found)
                if is_lost(connection):
                    # Nothing was sent for the others: they go by the next line.
                    self._waiting[:0] = rest
                    return
            else:
                if not one.answer.done():
                    one.answer.set_result(enqueued)

    async def _by_itself(self, one: _Waiting) -> None:
        try:
            enqueued = await self._alone(one.job, one.manner)
        except BaseException as found:  # noqa: BLE001 - its caller gets it
            _fail(one, found)
        else:
            if not one.answer.done():
                one.answer.set_result(enqueued)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name="jobledger-enqueue")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _first_together(waiting: list[_Waiting], most: int) -> list[_Waiting]:
    """Return those that can go with the first of them: in the same manner, so many, 500, and 4 MiB of arguments."""
    most = min(most, _TOGETHER)
    together: list[_Waiting] = []
    size = 0
    for one in waiting:
        if one.manner == waiting[0].manner and len(together) < most:
            size += len(one.job.args) if isinstance(one.job.args, bytes | str) else 0
            if together and size > _BYTES:
                break
            together.append(one)
    return together


def _silence() -> Unreachable:
    return Unreachable(
        f"The database did not answer in {STATEMENT_S:g} s.",
        hint="The job may be there all the same: only a call with an idempotency key can be repeated.",
    )


def _ending(task: asyncio.Task[None]) -> Callable[[object], None]:
    def end(_: object) -> None:
        task.cancel()

    return end


def _fail(one: _Waiting, error: BaseException) -> None:
    if one.answer.done():
        return
    if isinstance(error, asyncio.CancelledError):
        one.answer.cancel()
    else:
        one.answer.set_exception(error)
