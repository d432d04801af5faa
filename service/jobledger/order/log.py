"""The log in its order: what the database is asked for, one statement each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jobledger.events import Event
from jobledger.order.cursor import Place
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from jobledger.errors import FeedReset
    from jobledger.store.pool import Connection

PAGE_MAX: Final = 10_000
PAGE: Final = 2_000
_BLOCKS: Final = 1_000


class Sealed(NamedTuple):
    """One event in the order: its place, and when its block was sealed."""

    place: Place
    event: Event
    sealed_at: datetime


class Page(NamedTuple):
    """What came after a place, how far was looked, the bytes of the events' data, and whether more waits already."""

    events: list[Sealed]
    reached: Place
    size: int
    more: bool = False


class Sealing(NamedTuple):
    """What one call of `seal` did: the block it wrote (None: none), of how many events.

    `more`: the rest of a large difference waits; `busy`: another sealer is at it; `followed`: somebody listened for it.
    """

    block: int | None
    events: int
    more: bool
    busy: bool
    followed: bool = False


async def seal(connection: Connection, shard: int) -> Sealing:
    """Seal what was committed since the last block: at most one block of at most 10,000 events; tell who listens.

    The connection must not be inside a transaction.

    Raises:
        NotOpen: the database was restored or promoted; opening it begins a new epoch.
    """
    with translated():
        row = await connection.fetchrow(statement("order/seal"), shard)
        done = Sealing(*row.values()) if row is not None else Sealing(None, 0, False, False)
        if done.block is not None and not done.more:
            done = done._replace(followed=await _told(connection, shard, sealed=True))
    return done


async def followed(connection: Connection, shard: int) -> bool:
    """Say whether anybody listens for what is sealed."""
    return await _told(connection, shard, sealed=False)


async def read_page(
    connection: Connection,
    shard: int,
    after: Place,
    *,
    limit: int = PAGE,
    tenant: str | None = None,
    types: Sequence[str] | None = None,
    stream: UUID | None = None,
) -> Page:
    """Return the sealed events after a place, in order: at most `limit` (10,000), from at most 1,000 blocks.

    With a tenant or a stream the heartbeats and rejected reports are among them: they name jobs of many.

    Raises:
        FeedReset: the log does not have this place; `detail["place"]` is where to go on.
        Forbidden: the role is bound to tenants.
    """
    with translated():
        rows = await connection.fetch(
            statement("order/read_log"),
            *(shard, after.epoch, after.block, after.position, limit, tenant, types, stream),
        )
    if not rows:
        return Page([], after, 0)
    reached = Place(rows[-1]["block"], rows[-1]["position"], rows[-1]["epoch"])
    more = rows[-1]["type"] is not None or reached.block - after.block >= _BLOCKS
    if rows[-1]["type"] is None:
        rows.pop()
    return Page([_sealed(row) for row in rows], reached, sum(len(row["data"] or "") for row in rows), more)


async def log_end(connection: Connection, shard: int) -> Place:
    """Return the end of what is sealed: where a reader begins that wants only what comes.

    Raises:
        Forbidden: the role is bound to tenants.
    """
    with translated():
        row = await connection.fetchrow(statement("order/log_end"), shard)
    return Place(row["block"], row["position"], row["epoch"]) if row is not None else Place()


def place_in(reset: FeedReset) -> Place:
    """Return where to go on after a reset."""
    facts = reset.detail
    return Place(int(facts.get("block", 0)), int(facts.get("position", 0)), int(facts.get("epoch", 0)))


async def _told(connection: Connection, shard: int, *, sealed: bool) -> bool:
    with translated():
        return bool(await connection.fetchval(statement("order/tell_sealed"), shard, sealed))


def _sealed(row: Iterable[Any]) -> Sealed:
    block, epoch, sealed_at, *event = row
    return Sealed(Place(block, event[1], epoch), Event.from_columns(event), sealed_at)
