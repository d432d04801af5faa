"""The events as a stream: live, from any cursor, for a page in a browser and for programs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import Field

from jobledger.errors import BadCursor, Busy, InvalidArgument, NotFound
from jobledger.events.cloudevent import CloudEvent
from jobledger.http.route import NDJSON, SSE, Routes
from jobledger.http.stream import Stream, form_for
from jobledger.http.words import OfEvents
from jobledger.order.filters import SHARED
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from collections.abc import Hashable

    from aiohttp import web

    from jobledger.http.route import Call
    from jobledger.order.log import Sealed
    from jobledger.order.reader import Feed

routes = Routes("Events")

RESUME: Final = "Last-Event-ID"


class EventQuery(OfEvents):
    """Which events, and from where."""

    job: UUID | None = Field(None, description="Only of this job.")
    after: str | None = Field(None, description="Begin behind this cursor. The header Last-Event-ID comes before it.")
    from_end: bool = Field(False, description="Begin at the end, in the place of the beginning.")
    live: bool = Field(True, description="Go on with what comes; else end where the log ends.")


class Whole:
    """Events as CloudEvents; their positions only where they are of every tenant."""

    def key(self, feed: Feed, one: Sealed) -> Hashable:
        """Return the tenant; for what names jobs of many, the whole filter."""
        return feed.wanted if one.event.type in SHARED else feed.wanted.tenant

    async def text(self, feed: Feed, one: Sealed, cursor: str | None) -> bytes:
        """Return the CloudEvent, marked arguments masked."""
        event = await feed.show(one.event)
        return CloudEvent.of(event, whole=feed.wanted.tenant is None, cursor=cursor).json_text()


_WHOLE: Final = Whole()


@routes.get(
    "/v1/events",
    needs=(Role.READ,),
    query=EventQuery,
    answer=CloudEvent,
    media=(SSE, NDJSON),
    errors=(BadCursor, InvalidArgument, NotFound, Busy),
    headers={RESUME: "The id of the last event that came: the stream goes on behind it."},
)
async def follow_events(call: Call[EventQuery, None]) -> web.StreamResponse:
    """Follow the events, from any place and then live.

    Each is a CloudEvent. As `text/event-stream` its `id` is a cursor: a browser's EventSource that lost its connection
    sends the last one as `Last-Event-ID`, and gets what came since, nothing twice and nothing left out. With
    `Accept: application/x-ndjson` each line is an event, and its attribute `cursor` goes into `after`.

    Beside events come: a comment (an empty line) after 15 seconds without any; `reset`, where the log no longer has
    what comes after the cursor, with the `cursor` from which the stream then goes on; `bye`, when the service ends,
    with `retry_ms`. In NDJSON these are lines with the name in `control`, and with `from_end` there is one first,
    `begin`, with the cursor of the beginning.

    Cursors of a tenant's stream are good for that tenant's streams only. Owner and queue are those that a job was
    enqueued with. Of a worker's events, which name jobs of many, only the own jobs are told.
    """
    query, access = call.query, call.access
    wanted = query.wanted(access) | {"job": query.job, "live": query.live}
    after = call.request.headers.get(RESUME) or query.after
    stream = Stream(call, _WHOLE, partial(call.service.feed, **wanted), form_for(call.request))
    return await stream.run(after=after, from_end=query.from_end)
