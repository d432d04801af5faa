"""A replay by a service: its lines as events, and the time between them, told here as the core tells it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from jobledger.errors import FeedReset, InvalidArgument, Unreachable
from jobledger.events.cloudevent import read_event
from jobledger.order.filters import shown_by
from jobledger.order.kinds import check_kind
from jobledger.order.replay import Pauses
from jobledger.remote.connection import path_of
from jobledger.remote.feed import REPLAY_SILENCE_S, Lines, query_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from jobledger.order.filters import EventFilter, Shown
    from jobledger.order.replay import Replayed
    from jobledger.remote.connection import ServiceConnection

_MOMENTS: Final = ("after", "until")


class ServiceReplay:
    """The events between two places or times, in order: `async for one in replay`; it ends by itself.

    A connection that is lost is opened anew behind the last event that came with a cursor. Where events come without
    (the history of a job) and some were given, the loss is raised.
    """

    def __init__(
        self, connection: ServiceConnection, wanted: EventFilter, more: Mapping[str, Any], shown: Shown
    ) -> None:
        """Prepare; nothing is sent yet. `more` are after, until, kind and heartbeats."""
        for name in _MOMENTS:
            moment = more[name]
            if not (moment is None or isinstance(moment, str) or (isinstance(moment, datetime) and moment.tzinfo)):
                raise InvalidArgument(f"{name} is a cursor, or a datetime with a time zone.")
        check_kind(more["kind"])
        self._query = query_of(wanted) | dict(more)
        self._shown = shown
        self._lines = Lines(connection, path_of("replay"), silence_s=REPLAY_SILENCE_S)
        self.reset: FeedReset | None = None
        """What came first was dropped by retention: the replay began behind it. None where nothing is missing."""
        self._steps = self._run()

    def __aiter__(self) -> AsyncIterator[Replayed]:
        """Give them from here on."""
        return self

    async def __anext__(self) -> Replayed:
        """Give the next one.

        Raises:
            NotFound: a job was asked for that is not there, or is another tenant's.
            BadCursor, FeedReset: a cursor is none, or what comes after it is gone.
            Unreachable: the service could not be reached, or the connection was lost where it cannot be gone on.
        """
        return await anext(self._steps)

    async def aclose(self) -> None:
        """End it."""
        await self._steps.aclose()
        await self._lines.close()

    async def __aenter__(self) -> Self:
        """Return the replay."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def _run(self) -> AsyncGenerator[Replayed]:
        pauses = Pauses()
        given, cursor = False, None
        try:
            while (found := await self._lines.next(self._query)) is not None:
                control = found.get("control")
                if control is None:
                    event = await shown_by(self._shown, read_event(found).event())
                    given, cursor = True, found.get("cursor")
                    yield pauses.of(event, cursor)
                elif control == "reset":
                    facts = FeedReset(detail={name: found.get(name) for name in ("reason", "cursor")})
                    if isinstance(self._query["after"], str):
                        raise facts
                    self.reset = facts
                elif control in ("lost", "bye"):
                    if given and cursor is None:
                        raise Unreachable("The connection to the service was lost in the middle of a replay.")
                    if cursor is not None:
                        self._query["after"] = cursor
                    if control == "bye":
                        await self._lines.rest(found)
        finally:
            await self._lines.close()
