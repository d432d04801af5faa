"""A replay by a service: its lines as events, and the time between them, told here as the core tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobledger.errors import FeedReset, Unreachable
from jobledger.events.cloudevent import read_event
from jobledger.order.filters import shown_by
from jobledger.order.kinds import check_kind
from jobledger.order.replay import Pauses, Steps
from jobledger.remote.connection import path_of
from jobledger.remote.feed import REPLAY_SILENCE_S, Lines, query_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from jobledger.order.filters import EventFilter, Shown
    from jobledger.order.replay import Replayed
    from jobledger.remote.connection import ServiceConnection


class ServiceReplay(Steps):
    """The events between two places or times, in order: `async for one in replay`; it ends by itself.

    A connection that is lost is opened anew behind the last event that came with a cursor. Where events come without
    (the history of a job) and some were given, the loss is raised.
    """

    def __init__(
        self, connection: ServiceConnection, wanted: EventFilter, more: Mapping[str, Any], shown: Shown
    ) -> None:
        """Prepare; nothing is sent yet. `more` are after, until, kind and heartbeats."""
        super().__init__(after=more["after"], until=more["until"])
        check_kind(more["kind"])
        self._query = query_of(wanted) | dict(more)
        self._shown = shown
        self._lines = Lines(connection, path_of("replay"), silence_s=REPLAY_SILENCE_S)

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
