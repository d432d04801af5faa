"""What there is beside jobs: queues, kinds, workers. Lists go by name or by start, in pages, each found by index."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import orjson

from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobledger.store.pool import Connection

COUNTED_MOST: Final = 1_000
"""Claimable jobs of a queue that are counted; there may be more."""
LOOKED_AT: Final = 1_000
"""Scheduled jobs, and running ones, that are looked at for their queues: those whose time comes first.

And as many tenants of those with waiting jobs, for the queues of what is parked.
"""
PARKED_LOOKED_AT: Final = 10
"""Parked jobs of a tenant that are looked at for their queues: the oldest."""
HELD_SHOWN: Final = 1_000
"""Jobs of a worker that are listed."""
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
_TOP: Final = UUID(int=2**128 - 1)


class QueueRow(NamedTuple):
    """A queue: how many jobs can be claimed (`at_least`: there may be more), whether it is paused, its defaults.

    `reason` and `since` are those of the pause; times in seconds, None where unset.
    """

    name: str
    ready: int
    at_least: bool
    paused: bool
    reason: str | None
    since: datetime | None
    max_attempts: int | None = None
    timeout: int | None = None
    kill_after: int | None = None


class KindRow(NamedTuple):
    """A kind as it was registered; times in seconds, None where it states none."""

    name: str
    version: int
    aliases: list[str]
    queue: str | None
    max_attempts: int | None
    timeout: int | None
    kill_after: int | None
    registered_at: datetime
    paused: bool


class KindDetail(NamedTuple):
    """A kind with the JSON Schema of its arguments; None for one that was never described."""

    kind: KindRow
    args_schema: dict[str, Any] | bool | None


class WorkerRow(NamedTuple):
    """A worker: `alive`, `lost` (its lease is over) or `stopped`; `held` jobs, 10,000 counted at most.

    `queues` maps names to places, None for any queue; `tenants` None: of every one. `stalled_s` is for how long its
    loop has stood still.
    """

    id: UUID
    state: str
    started_at: datetime
    seen_at: datetime
    lease_until: datetime
    stopped_at: datetime | None
    queues: dict[str, int | None] | None
    kinds: list[str]
    tenants: list[str] | None
    about: dict[str, Any]
    stalled_s: float
    held: int


class HeldJob(NamedTuple):
    """A job that a worker holds."""

    id: UUID
    tenant: str
    queue: str
    kind: str
    attempt: int
    claimed_at: datetime
    timeout_at: datetime


class WorkerDetail(NamedTuple):
    """A worker with the jobs that it holds, the oldest claim first, 1,000 at most."""

    worker: WorkerRow
    jobs: list[HeldJob]


async def list_queues(connection: Connection, shard: int, *, after: str = "", limit: int = 100) -> list[QueueRow]:
    """Return the queues after a name: those with open jobs, and those that a kind, limit or live worker names.

    Of the scheduled and the running jobs 1,000 are looked at each, those whose time comes first; of the parked ones the
    10 oldest of each of 1,000 tenants.
    """
    with translated():
        rows = await connection.fetch(
            statement("queues"), shard, after, limit, COUNTED_MOST, LOOKED_AT, PARKED_LOOKED_AT
        )
    return [QueueRow(**dict(row)) for row in rows]


async def list_kinds(connection: Connection, shard: int, *, after: str = "", limit: int = 100) -> list[KindRow]:
    """Return the registered kinds after a name."""
    with translated():
        rows = await connection.fetch(statement("kinds"), shard, after, limit)
    return [KindRow(**dict(row)) for row in rows]


async def show_kind(connection: Connection, shard: int, name: str) -> KindDetail | None:
    """Return one kind by its name or an alias; None where there is none."""
    with translated():
        row = await connection.fetchrow(statement("kind_show"), shard, name)
    if row is None:
        return None
    facts = dict(row)
    schema = facts.pop("schema")
    return KindDetail(KindRow(**facts), orjson.loads(schema) if schema is not None else None)


async def list_workers(
    connection: Connection,
    shard: int,
    *,
    among: Collection[str] | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[WorkerRow]:
    """Return the workers that have not stopped, the last started first, behind one of that start and id.

    With `among` only those that are bound to some of these tenants, and to no other.
    """
    bound = None if among is None else list(among)
    with translated():
        rows = await connection.fetch(statement("workers"), shard, bound, *(before or (_LATEST, _TOP)), limit)
    return [_worker(dict(row)) for row in rows]


async def show_worker(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002 - the domain's word
    *,
    among: Collection[str] | None = None,
) -> WorkerDetail | None:
    """Return one worker with what it holds; None where there is none, or not `among` these tenants."""
    bound = None if among is None else list(among)
    with translated():
        row = await connection.fetchrow(statement("worker_show"), shard, id, bound)
        if row is None:
            return None
        held = await connection.fetch(statement("worker_jobs"), shard, id, HELD_SHOWN)
    return WorkerDetail(_worker(dict(row)), [HeldJob(**dict(one)) for one in held])


def _worker(row: dict[str, Any]) -> WorkerRow:
    queues = orjson.loads(row["queues"]) if row["queues"] is not None else None
    return WorkerRow(**row | {"queues": queues, "about": orjson.loads(row["about"])})
