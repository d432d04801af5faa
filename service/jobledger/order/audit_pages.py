"""The log in pages of whole streams, each with what the tables say of them, read ahead of whoever folds them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from jobledger.store.failures import translated
from jobledger.store.statements import statement
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from jobledger.store.pool import Connection, Store

EVENTS_PAGE: Final = 5_000
PAGE_S: Final = 300.0
"""Seconds after which a line that does not answer with a page, and what belongs to it, is closed."""
BEGINNING: Final = UUID(int=0)
END: Final = UUID(int=2**128 - 1)
_LAST: Final = 2**31 - 1


class Chunk(NamedTuple):
    """The events of whole streams, with what tables and views say of all streams up to the last of them.

    A stream that is longer than a page comes in several chunks; all but the last have nothing of the tables (None).
    `gone` are streams without a row whose partition retention is giving up.
    """

    events: Sequence[Any]
    rows: Sequence[Any] | None
    views: Sequence[Any]
    gone: frozenset[UUID] = frozenset()


async def chunks(
    store: Store, after: UUID = BEGINNING, upto: UUID = END, *, lean: bool = False
) -> AsyncGenerator[Chunk]:
    """Yield the streams after one up to another, each chunk in a snapshot of its own; `lean`: positions alone."""
    while after != upto:
        async with store.attended(PAGE_S, ours=True, isolation="repeatable_read", readonly=True) as (
            connection,
            silence,
        ):
            events, reached, is_cut = _whole(await _read(connection, store.shard, after, _LAST, upto, lean), upto)
            while is_cut:
                with silence.resting():
                    yield Chunk(events, None, ())
                events = await _read(connection, store.shard, reached, events[-1]["version"], reached, lean)
                is_cut = len(events) == EVENTS_PAGE
            last = Chunk(events, (), ())
            if not lean:
                bounds = (store.shard, after, reached)
                with translated():
                    rows = await connection.fetch(statement("order/verify_rows"), *bounds)
                    views = await connection.fetch(statement("order/verify_views"), *bounds)
                without = {*(event["stream_id"] for event in events), reached} - {row["id"] for row in rows}
                with translated():
                    gone = await connection.fetch(statement("order/gone_among"), store.shard, list(without))
                last = Chunk(events, rows, views, frozenset(row["id"] for row in gone))
        yield last
        after = reached


async def read_ahead(source: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    """Yield what another one yields, the next being read meanwhile: who folds lets the loop turn now and then."""
    queue: asyncio.Queue[Chunk | None] = asyncio.Queue(1)

    async def fill() -> None:
        try:
            async with aclosing(source):
                async for chunk in source:
                    await queue.put(chunk)
        except Exception:
            await queue.put(None)
            raise
        await queue.put(None)

    task = asyncio.create_task(fill(), name="jobledger-verify")
    try:
        while (chunk := await queue.get()) is not None:
            yield chunk
        await task
    finally:
        await end([task])


def _whole(events: list[Any], upto: UUID) -> tuple[list[Any], UUID, bool]:
    """Return the whole streams of a page, the last of them, and whether that one is cut, being longer than a page."""
    if len(events) < EVENTS_PAGE:
        return events, upto, False
    last = events[-1]["stream_id"]
    for at in range(len(events) - 1, -1, -1):
        if events[at]["stream_id"] != last:
            return events[: at + 1], events[at]["stream_id"], False
    return events, last, True


async def _read(connection: Connection, shard: int, after: UUID, version: int, upto: UUID, lean: bool) -> list[Any]:
    with translated():
        return await connection.fetch(statement("order/verify_events"), shard, after, version, upto, EVENTS_PAGE, lean)
