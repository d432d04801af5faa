"""One tenant's or one job's part of the log, by its own streams: what others did is not read.

Where each of its events lies in the order is looked up for a stretch at a time, and the events themselves page by page;
so a tenant of a thousand jobs and one of millions take the same memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobledger.errors import NotOpen
from jobledger.events import Event
from jobledger.order.cursor import Place
from jobledger.order.log import Page, Sealed, log_end
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobledger.order.filters import EventFilter
    from jobledger.store.pool import Connection

STRETCH: Final = 10_000
"""Events whose places are looked up at once: about 3 MB."""
WORTH: Final = 20_000
"""Behind by fewer positions than this a reader walks the blocks."""
_JOB_COSTS: Final = 40
"""Looking up the events of one job costs as much as passing over so many events of others."""
_EVENTS_A_JOB: Final = 3
_LOOKS: Final = 3
_COUNTED_MOST: Final = 10_000_000


class OwnStreams:
    """Reads what a filter by tenant or job wants, for as long as that is cheaper than to read everybody's blocks."""

    def __init__(self, wanted: EventFilter, shard: int) -> None:
        """Prepare; nothing is known yet."""
        self._wanted = wanted
        self._shard = shard
        self._places: Sequence[Any] = ()
        self._at = 0
        self._from: Place | None = None
        self._walk_to: Place | None = None

    async def page(
        self, connection: Connection, place: Place, limit: int, *, stretch: int | None = None
    ) -> Page | None:
        """Return the next events after a place, at most `limit`; None: walk the blocks, which costs less here.

        The places of `stretch` events are looked up at once.

        Raises:
            FeedReset: the log does not have this place.
        """
        wanted = self._wanted
        if wanted.tenant is None and wanted.job is None:
            return None
        if self._from == place and self._at < len(self._places):
            page = await self._read(connection, place, limit)
            if page is not None:
                return page
        elif not await self._pays(connection, place):
            return None
        for _ in range(_LOOKS):
            self._at = 0
            try:
                self._places = await self._look(connection, place, min(stretch or STRETCH, STRETCH))
            except NotOpen:
                break
            if not self._places:
                return Page([], place, 0)
            page = await self._read(connection, place, limit)
            if page is not None:
                return page
            # Retention has taken events since their places were looked up; looking anew raises what the reader is told.
        self._places = ()
        self._walk_to = await log_end(connection, self._shard)
        return None

    async def _pays(self, connection: Connection, place: Place) -> bool:
        """Say whether the own streams are fewer than what lies between here and the end."""
        if self._walk_to is not None:
            if place < self._walk_to:
                return False
            self._walk_to = None
        end = await log_end(connection, self._shard)
        behind = end.position - place.position
        # Positions of late transactions lie below: a reader at the end may seem to be behind, and looks once in vain.
        if behind >= WORTH and place.block < end.block:
            if self._wanted.job is not None:
                return True
            most = min(behind // _JOB_COSTS, _COUNTED_MOST - 1)
            with translated():
                # One more than may be: a count that was cut off says nothing about the rest.
                jobs = await connection.fetchval(
                    statement("order/own_streams"), self._shard, self._wanted.tenant, most + 1
                )
            # Each stretch looks at all of the tenant's jobs again.
            if (
                jobs is not None
                and jobs <= most
                and jobs * _JOB_COSTS * max(1, jobs * _EVENTS_A_JOB // STRETCH) <= behind
            ):
                return True
        self._walk_to = end
        return False

    async def _look(self, connection: Connection, place: Place, stretch: int) -> Sequence[Any]:
        wanted = self._wanted
        with translated():
            return await connection.fetch(
                statement("order/read_own"),
                *(self._shard, place.epoch, place.block, place.position, stretch),
                *(wanted.tenant, wanted.types, wanted.job),
            )

    async def _read(self, connection: Connection, after: Place, limit: int) -> Page | None:
        """Read the next of the events whose places are known; None where some are there no more."""
        chosen = self._places[self._at : self._at + limit]
        keys = [row for row in chosen if row["stream_id"] is not None]
        with translated():
            rows = await connection.fetch(
                statement("order/read_events"),
                self._shard,
                [row["stream_id"] for row in keys],
                [row["version"] for row in keys],
            )
        if len(rows) < len(keys):
            return None
        events: list[Sealed] = []
        for row in rows:
            key = keys[row["ord"]]
            place = Place(key["block"], key["position"], key["epoch"])
            if place <= after:
                continue  # a job that lies in two live tables: the doctor's affair, and no reader's
            after = place
            event = Event.from_columns(row[1:])
            if key["named"] is not None:
                event = _listing(event, {str(job) for job in key["named"]})
            events.append(Sealed(place, event, key["sealed_at"]))
        self._at += len(chosen)
        self._from = Place(chosen[-1]["block"], chosen[-1]["position"], chosen[-1]["epoch"])
        return Page(events, self._from, sum(len(row["data"] or "") for row in rows))


def _listing(event: Event, own: set[str]) -> Event:
    """Return a heartbeat with these jobs only."""
    data = event.data or {}
    return event.model_copy(update={"data": {**data, "held": [job for job in data.get("held", ()) if job in own]}})
