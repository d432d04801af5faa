"""What happened, in order, between two places or times: as lines that end."""

from __future__ import annotations

import re
import time
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

import orjson
from pydantic import Field

from jobledger.errors import BadCursor, Busy, FeedReset, InvalidArgument, JobGone, MomentLost, NotFound, Unavailable
from jobledger.events.cloudevent import CloudEvent
from jobledger.http.frames import LINES, retry_ms
from jobledger.http.outlet import PIECE_BYTES, Outlet, TooSlow
from jobledger.http.route import NDJSON, Routes
from jobledger.http.words import OfEvents
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from aiohttp import web

    from jobledger.http.route import Call
    from jobledger.order.replay import Replayed

routes = Routes("Events")

_CURSOR: Final = re.compile(r"[ps][A-Za-z0-9_-]+", re.ASCII)
_FLUSH_S: Final = 0.5
_BETWEEN: Final = "A cursor, or a time with its zone; a time is the last block sealed at or before it."


class ReplayedEvent(CloudEvent):
    """A CloudEvent, and the seconds that passed before it, as text."""

    after: str | None = Field(None, description="Seconds since the event before it of the same job; not of the first.")
    since: str | None = Field(None, description="Seconds since the event before it; not of the first.")


class ReplayQuery(OfEvents):
    """Which events, and between what."""

    job: UUID | None = Field(None, description="Only of this job; without bounds its whole history, sealed or not.")
    kind: str | None = Field(None, description="Only of jobs of this kind.")
    after: str | None = Field(None, description=f"Begin behind it: {_BETWEEN} Default: the beginning.")
    until: str | None = Field(None, description=f"End with it: {_BETWEEN} Default: now.")
    heartbeats: bool = Field(False, description="Also heartbeats and rejected reports of workers.")


@routes.get(
    "/v1/replay",
    needs=(Role.READ,),
    query=ReplayQuery,
    answer=ReplayedEvent,
    media=(NDJSON,),
    errors=(BadCursor, FeedReset, MomentLost, InvalidArgument, NotFound, JobGone, Busy, Unavailable),
)
async def replay_events(call: Call[ReplayQuery, None]) -> web.StreamResponse:
    """Replay what happened, in order, with the time between.

    A CloudEvent a line, with its `cursor`, and in `after` and `since` the seconds since the event before it, of its job
    and of all. Lines with `control` in them are no events: `reset`, where what came first was dropped by retention;
    `bye`, where the service ends before the replay does: go on behind the last cursor. An answer that breaks off is not
    whole.
    """
    query, access = call.query, call.access
    wanted = query.wanted(access) | {
        "after": _moment("after", query.after),
        "until": _moment("until", query.until),
        **query.model_dump(include={"job", "kind", "heartbeats"}),
    }
    steps = call.service.client.replay(**wanted)
    with call.service.hold():
        async with steps:
            first = await anext(steps, None)
            out = Outlet(call, NDJSON, call.service.settings.http_write_s)
            out.response.enable_compression()
            await out.open()
            try:
                if steps.reset is not None:
                    await out.send(LINES.reset(steps.reset.detail))
                if first is not None:
                    await _send(call, out, _chained(first, steps), whole=wanted["tenant"] is None)
            except (TooSlow, ConnectionError):
                pass
            except Exception:
                # The head was sent long ago; that the answer is not whole is seen by its end.
                out.cut()
                raise
    return out.response


async def _send(call: Call[Any, Any], out: Outlet, steps: AsyncIterator[Replayed], *, whole: bool) -> None:
    pieces: list[bytes] = []
    size, sent_at = 0, time.monotonic()
    async with aclosing(steps) as going:  # type: ignore[type-var]
        async for one in going:
            pieces.append(_line(one, whole))
            size += len(pieces[-1])
            if size >= PIECE_BYTES or time.monotonic() - sent_at > _FLUSH_S:
                await out.send(b"".join(pieces))
                pieces, size, sent_at = [], 0, time.monotonic()
            if call.service.draining.is_set():
                pieces.append(LINES.bye(retry_ms()))
                break
    if pieces:
        await out.send(b"".join(pieces))


def _line(one: Replayed, whole: bool) -> bytes:
    text = CloudEvent.of(one.event, whole=whole, cursor=one.cursor).json_text()
    spans = {name: _seconds(span) for name, span in (("after", one.after), ("since", one.since)) if span is not None}
    return text + b"\n" if not spans else text[:-1] + b"," + orjson.dumps(spans)[1:] + b"\n"


async def _chained(first: Replayed, steps: AsyncIterator[Replayed]) -> AsyncIterator[Replayed]:
    yield first
    async for one in steps:
        yield one


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.6f}"


def _moment(name: str, text: str | None) -> str | datetime | None:
    if text is None or _CURSOR.fullmatch(text):
        return text
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidArgument(
            f"{name} is a cursor, or a time with its zone.",
            hint="Such as 2026-05-01T12:00:00Z.",
            detail={"option": name},
        )
    return at
