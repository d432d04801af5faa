"""Durable subscriptions as the database keeps them: what each wants, its slices, their checkpoints, what was set aside.

One statement each, and no decision. A slice is a share of the streams (`slice_of`), so that each job's events keep
their order whoever consumes them.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - part of the answers' types
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID  # noqa: TC003 - part of the answers' types

import orjson

from jobledger.events import Event
from jobledger.order.cursor import Place
from jobledger.order.filters import EventFilter
from jobledger.order.log import Sealed
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from jobledger.store.pool import Connection

EVERYBODY = "_global"


class Options(NamedTuple):
    """How a subscription works: `slices` and `strict` are fixed, the others may be changed by creating it again."""

    slices: int = 8
    strict: bool = False
    max_failures: int = 5
    backoff_s: float = 1.0
    lease_s: int = 30


class Lag(NamedTuple):
    """How far behind the end of the log: events of everybody, and how long the oldest of them has been waiting.

    `exact` is false where the events are an estimate by their positions: far behind, or within a block.
    """

    events: int
    seconds: float
    exact: bool


class Registered(NamedTuple):
    """A subscription; `place` and `lag` are of the slice that is furthest behind. `tenant` None is everybody."""

    id: UUID
    tenant: str | None
    name: str
    wanted: EventFilter
    kind: str | None
    options: Options
    disabled: bool
    created_at: datetime
    changed_at: datetime
    consumers: int
    aside: int
    place: Place
    lag: Lag


class Taken(NamedTuple):
    """A slice that a consumer has: `taken` fences it, `place` is its checkpoint.

    `deaths`: consumers that ended there without a word; `surrender`: to be given back; `aside`: the streams set aside
    in it, where the subscription is strict; `again`: something is to be tried again.
    """

    slice: int
    taken: int
    place: Place
    deaths: int
    surrender: bool
    aside: frozenset[UUID]
    again: bool


class Move(NamedTuple):
    """A checkpoint that is to be moved from one place to another."""

    slice: int
    taken: int
    came: Place
    upto: Place


class Slice(NamedTuple):
    """One slice of a subscription, and who consumes it (None: nobody)."""

    slice: int
    place: Place
    moved_at: datetime
    failures: int
    lag: Lag
    consumer: UUID | None
    about: str | None
    lease_until: datetime | None


class SetAside(NamedTuple):
    """An event that was set aside; `state` is aside, held, retry or dropped. `type` is None where it was dropped."""

    place: Place
    stream_id: UUID
    version: int
    type: str | None
    at: datetime | None
    tenant: str | None
    state: str
    failures: int
    error: str | None
    first_at: datetime
    changed_at: datetime
    changed_by: str | None
    reason: str | None


def slice_of(stream: UUID, slices: int) -> int:
    """Return the slice of a stream: its last 28 bits, which are random, by the number of slices."""
    return (stream.int & 0xFFFFFFF) % slices


async def create(
    connection: Connection,
    shard: int,
    name: str,
    wanted: EventFilter,
    options: Options,
    *,
    kind: str | None = None,
    to: str = "beginning",
    place: Place | None = None,
    at: datetime | None = None,
    actor: str | None = None,
    reason: str | None = None,
) -> bool:
    """Create a subscription; false if it was there. Raises `SubscriptionDiffers`."""
    document = {"types": wanted.types, "queue": wanted.queue, "kind": kind, "owner": wanted.owner}
    kept = orjson.dumps({name: value for name, value in document.items() if value is not None}).decode()
    with translated():
        new = await connection.fetchval(
            statement("order/subscription_create"),
            *(shard, wanted.tenant or EVERYBODY, name, kept, options.slices, options.strict, options.max_failures),
            *(options.backoff_s, options.lease_s, to, *_facts_of(place), at, actor, reason),
        )
    return bool(new)


async def listed(
    connection: Connection, shard: int, *, tenant: str | None = None, name: str | None = None
) -> list[Registered]:
    """Return the subscriptions, all or by tenant (`_global`: everybody's) and name."""
    with translated():
        rows = await connection.fetch(statement("order/subscription_list"), shard, tenant, name)
    return [_registered(row) for row in rows]


async def take(connection: Connection, shard: int, id: UUID, consumer: UUID, about: str | None) -> list[Taken]:  # noqa: A002 - the domain's word
    """Join or renew, and return the slices that this consumer has now. Raises `NotFound`: it was removed."""
    with translated():
        rows = await connection.fetch(statement("order/subscription_take"), shard, id, consumer, about)
    return [
        Taken(
            *(row["slice"], row["taken"], _place(row), row["deaths"], row["surrender"]),
            frozenset(row["aside"] or ()),
            row["again"],
        )
        for row in rows
    ]


async def advance(connection: Connection, shard: int, id: UUID, consumer: UUID, moves: Sequence[Move]) -> set[int]:  # noqa: A002
    """Move checkpoints, each by compare-and-set, and return the slices that moved."""
    with translated():
        rows = await connection.fetch(
            statement("order/subscription_advance"),
            *(shard, id, consumer, [move.slice for move in moves], [move.taken for move in moves]),
            *([move.came.block for move in moves], [move.came.position for move in moves]),
            *([move.upto.epoch for move in moves], [move.upto.block for move in moves]),
            [move.upto.position for move in moves],
        )
    return {row["slice"] for row in rows}


async def failed(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002
    consumer: UUID,
    held: Taken,
    what: str,
    event: Sealed,
    error: str | None = None,
) -> tuple[int, bool]:
    """Count a failure of the event behind a slice's checkpoint; return how many, and whether it was set aside.

    Raises:
        SliceLost: the slice is no longer this consumer's.
    """
    with translated():
        row = await connection.fetchrow(
            statement("order/subscription_failed"),
            *(shard, id, consumer, held.slice, held.taken, what, *_facts_of(event.place)),
            *(event.event.stream_id, event.event.version, error),
        )
    assert row is not None  # noqa: S101 - the function returns one row or raises
    return row["failures"], row["aside"]


async def release(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002
    consumer: UUID,
    slices: Sequence[int] | None = None,
) -> None:
    """Give slices back; without any named give all back and leave."""
    with translated():
        await connection.execute(statement("order/subscription_release"), shard, id, consumer, slices)


async def again(connection: Connection, shard: int, id: UUID, consumer: UUID, limit: int) -> list[tuple[int, Sealed]]:  # noqa: A002
    """Return what is to be tried again, with the slice of each; what retention took is noted as dropped instead."""
    with translated():
        rows = await connection.fetch(statement("order/subscription_again"), shard, id, consumer, limit)
    return [(row["slice"], Sealed(_place(row), Event.from_row(dict(row)), row["sealed_at"])) for row in rows]


async def settled(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002
    consumer: UUID,
    position: int,
    error: str | None = None,
) -> int:
    """Say that an event tried again is done, or failed; return how many of its stream are still set aside.

    Raises:
        SliceLost: the slice is no longer this consumer's.
    """
    with translated():
        left = await connection.fetchval(statement("order/subscription_settled"), shard, id, consumer, position, error)
    return int(left)


async def mend(connection: Connection, shard: int, id: UUID) -> tuple[int, str | None]:  # noqa: A002
    """Move the slices whose checkpoint the log does not have; return how many, and why."""
    with translated():
        row = await connection.fetchrow(statement("order/subscription_mend"), shard, id)
    assert row is not None  # noqa: S101 - the function returns one row or raises
    return row["moved"], row["reason"]


async def slices_of(connection: Connection, shard: int, tenant: str | None, name: str) -> list[Slice]:
    """Return the slices of a subscription."""
    with translated():
        rows = await connection.fetch(statement("order/subscription_places"), shard, tenant, name)
    return [
        Slice(
            *(row["slice"], _place(row), row["moved_at"], row["failures"], _lag(row)),
            *(row["consumer"], row["about"], row["lease_until"]),
        )
        for row in rows
    ]


async def set_aside(
    connection: Connection, shard: int, tenant: str | None, name: str, *, after: Place, limit: int
) -> list[SetAside]:
    """Return a page of what was set aside, in the order of the log."""
    with translated():
        rows = await connection.fetch(
            statement("order/subscription_aside"), shard, tenant, name, after.block, after.position, limit
        )
    return [SetAside(_place(row), *list(row.values())[3:]) for row in rows]


def _facts_of(place: Place | None) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if place is None else (place.epoch, place.block, place.position)


def _place(row: asyncpg.Record) -> Place:
    return Place(row["block"], row["position"], row["epoch"])


def _lag(row: asyncpg.Record) -> Lag:
    return Lag(row["lag_events"], row["lag_s"], row["lag_exact"])


def _registered(row: asyncpg.Record) -> Registered:
    kept: dict[str, Any] = orjson.loads(row["filter"])
    tenant = None if row["tenant"] == EVERYBODY else row["tenant"]
    types = tuple(kept["types"]) if "types" in kept else None
    return Registered(
        *(row["id"], tenant, row["name"], EventFilter(tenant, types, None, kept.get("queue"), kept.get("owner"))),
        kept.get("kind"),
        Options(row["slices"], row["strict"], row["max_failures"], row["backoff_s"], row["lease_s"]),
        *(row["disabled"], row["created_at"], row["changed_at"], row["consumers"], row["aside"]),
        *(_place(row), _lag(row)),
    )
