"""Desks: what this process knows of each worker that speaks HTTP, and whose it is.

A worker belongs to the key, token or JWT that registered it, which is on record with it; for anybody else it answers
like one that nobody registered. What is kept here is memory only: another process finds the worker in the database.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

import orjson

from jobledger.errors import UnknownWorker
from jobledger.store.claim import Claimer
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from jobledger.http.access import Access
    from jobledger.http.waiting import Numbered
    from jobledger.store.pool import Store

DESKS_MOST: Final = 2000
"""Workers that a process remembers; the one longest unheard of goes first, and is looked up when it comes again."""
_ANSWERED_MOST: Final = 256


class Desk:
    """One worker: its bounds, the memory of its lanes, its claims under way, and those that brought it jobs."""

    def __init__(
        self, claimer: Claimer, by: str | None, queues: list[str] | None, tenants: list[str] | None, lease_s: int
    ) -> None:
        """Begin without any claim."""
        self.id = claimer.worker
        self.claimer = claimer
        self.by = by
        self.tenants = None if tenants is None else frozenset(tenants)
        self.lease_s = lease_s
        self.under_way: dict[int, Numbered] = {}
        self._answered: deque[int] = deque(maxlen=_ANSWERED_MOST)
        self.bounds = (
            None if queues is None else frozenset(queues),
            self.tenants,
            frozenset(claimer.kinds),
        )
        """Workers of the same bounds can take the same jobs."""

    def is_of(self, access: Access) -> bool:
        """Say whether the bearer may speak for it: the one that registered it, whose tenants are still its own."""
        if access.owner is not None or self.by != access.name:
            return False
        return access.tenants is None or (self.tenants is not None and self.tenants <= access.tenants)

    def answered(self, number: int) -> None:
        """Note that the claim of this number brought jobs."""
        self._answered.append(number)

    def was_answered(self, number: int) -> bool:
        """Say whether the claim of this number has brought jobs before: then it takes no others, ever."""
        return number in self._answered


class Desks:
    """The desks of one process."""

    def __init__(self, store: Store, *, window: int) -> None:
        """Remember nobody yet; one claim serves `window` tenants."""
        self._store = store
        self._window = window
        self._desks: OrderedDict[UUID, Desk] = OrderedDict()

    def __iter__(self) -> Iterator[Desk]:
        """Go through those that are remembered."""
        return iter(tuple(self._desks.values()))

    async def of(self, worker: UUID, access: Access) -> Desk:
        """Return the desk of a worker of the bearer's own.

        Raises:
            UnknownWorker: there is none, or it is somebody else's.
        """
        desk = self._desks.get(worker) or await self._found(worker)
        if desk is None or not desk.is_of(access):
            raise UnknownWorker(hint="Register it with POST /v1/workers, and go on under the id that is answered.")
        self._desks.move_to_end(worker)
        return desk

    def forget(self, worker: UUID) -> None:
        """Forget a worker, which has stopped."""
        self._desks.pop(worker, None)

    async def _found(self, worker: UUID) -> Desk | None:
        async with self._store.connection(ours=True) as connection:
            row = await connection.fetchrow(statement("worker_facts"), self._store.shard, worker)
        if row is None:
            return None
        queues = None if row["queues"] is None else orjson.loads(row["queues"])
        claimer = Claimer(self._store, worker, queues, row["kinds"], window=self._window)
        # Another request may have been quicker; the claims under way are with its desk.
        desk = self._desks.setdefault(
            worker, Desk(claimer, row["by"], None if queues is None else list(queues), row["tenants"], row["lease"])
        )
        if len(self._desks) > DESKS_MOST:
            self._desks.popitem(last=False)
        return desk
