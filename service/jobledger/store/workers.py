"""A worker's start, heartbeats and end. The lease is the worker's, not the job's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from jobledger.errors import InvalidArgument
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from jobledger.store.pool import Connection


class Started(NamedTuple):
    """An incarnation of a worker, and how long its first lease lasts."""

    worker: UUID
    lease_until: datetime


class Told(NamedTuple):
    """What a heartbeat's answer says of one job: `what` is lost, cancel, killed or released."""

    what: str
    job: UUID
    at: datetime | None


class Renewed(NamedTuple):
    """The answer to a heartbeat; `lease_until` is None when its number was not above the last."""

    lease_until: datetime | None
    told: list[Told]


async def start_worker(
    connection: Connection,
    shard: int,
    *,
    kinds: Sequence[str],
    queues: Mapping[str, int | None] | None = None,
    tenants: Sequence[str] | None = None,
    lease_s: int = 30,
    about: Mapping[str, Any] | None = None,
    worker: UUID | None = None,
) -> Started:
    """Register an incarnation. None for `queues` or `tenants` means all; `queues` maps names to their concurrency.

    Raises:
        InvalidArgument: the lease is not 1 to 3600 s, or a name is out of rule.
        IdOutOfWindow, IdTaken: an id given as `worker` is not fit.
    """
    try:
        bound = None if queues is None else orjson.dumps(dict(queues)).decode()
        facts = orjson.dumps(dict(about or {})).decode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument("Queues and facts of a worker are plain JSON, of numbers up to 64 bits.") from None
    with translated():
        row = await connection.fetchrow(
            statement("worker_start"),
            shard,
            worker,
            bound,
            list(kinds),
            None if tenants is None else list(tenants),
            lease_s,
            facts,
        )
    assert row is not None  # noqa: S101 - the function returns one row or raises
    return Started(row["worker"], row["lease_until"])


async def heartbeat(
    connection: Connection,
    shard: int,
    worker: UUID,
    *,
    beat: int,
    settled: int,
    held: Collection[UUID],
    stalled_s: float = 0.0,
) -> Renewed:
    """Renew the lease, and release at no cost what was claimed by a settled call and is not in `held`.

    `beat` is this heartbeat's number; one that is not above the last changes nothing.

    Raises:
        LeaseOver: the lease ended before; the worker must start anew.
        UnknownWorker: no such worker.
        NotOpen: the live tables are not rebuilt yet.
    """
    with translated():
        rows = await connection.fetch(statement("heartbeat"), shard, worker, beat, settled, list(held), stalled_s)
    lease_until = next((row["at"] for row in rows if row["kind"] == "lease"), None)
    return Renewed(lease_until, [Told(row["kind"], row["job"], row["at"]) for row in rows if row["kind"] != "lease"])


async def stop_worker(connection: Connection, shard: int, worker: UUID, reason: str) -> None:
    """Say that a worker has ended; what it still held is given to others at the next tick.

    Raises:
        UnknownWorker: no such worker.
    """
    with translated():
        await connection.execute(statement("worker_stop"), shard, worker, reason)


async def set_idle(connection: Connection, shard: int, worker: UUID, idle: bool) -> bool:
    """Say that a worker waits for jobs, or no longer does; return whether its flag stands.

    Raises:
        UnknownWorker: no such worker.
    """
    with translated():
        return bool(await connection.fetchval(statement("worker_idle"), shard, worker, idle))


async def channel(connection: Connection, shard: int) -> str | None:
    """Return the channel on which idle workers are told that a job came; None for a role that is bound to tenants."""
    with translated():
        name: str | None = await connection.fetchval(statement("channel"), shard)
    return name
