"""Pushes: which queues are delivered to endpoints, and how."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime  # noqa: TC003 - pydantic reads the annotations where it goes over the wire
from typing import TYPE_CHECKING, Literal, NamedTuple

import orjson

from jobledger.errors import InvalidArgument
from jobledger.lifecycle.backoff import from_data
from jobledger.lifecycle.retry import RetryPolicy
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from jobledger.store.pool import Connection

StartFailure = Literal["attempt", "free"]


class Push(NamedTuple):
    """One queue's push; `tenant` None: of every tenant.

    batch: jobs of one request at most; concurrency: jobs under way at a time, in each process that delivers; max_run:
    seconds that the endpoint may work on a job. start_failure: whether a delivery that could not start costs an
    attempt. generation counts the secrets, the last since `rotated_at`.
    """

    queue: str
    tenant: str | None
    url: str
    batch: int
    concurrency: int
    max_run: int
    start_failure: StartFailure
    generation: int
    rotated_at: datetime
    changed_at: datetime
    changed_by: str | None
    reason: str | None


async def set_push(
    connection: Connection,
    shard: int,
    queue: str,
    *,
    tenant: str | None,
    url: str,
    batch: int = 1,
    concurrency: int = 10,
    max_run: int = 60,
    start_failure: str = "attempt",
    rotate: bool = False,
    actor: str | None,
    reason: str | None,
) -> bool:
    """Deliver a queue to an endpoint, or change how; false if it was so already. `rotate` takes the next secret.

    `batch` 1 to 1000 jobs, `concurrency` 1 to 10000 jobs, `max_run` 1 to 86400 s; 1000 pushes at most.

    Raises:
        InvalidArgument: a number or name is out of range.
        Conflict: a kind of the queue may run longer than `max_run`, or the queue is pushed for other tenants otherwise.
        Forbidden: the role may not act for that tenant.
    """
    with translated():
        return bool(
            await connection.fetchval(
                statement("push_set"),
                *(shard, queue, tenant, url, batch, concurrency, max_run, start_failure, rotate, actor, reason),
            )
        )


async def remove_push(
    connection: Connection, shard: int, queue: str, *, tenant: str | None, actor: str | None, reason: str | None
) -> None:
    """Deliver a queue no more; its jobs wait for a worker. Raises `NotFound` where it was not."""
    with translated():
        await connection.execute(statement("push_remove"), shard, queue, tenant, actor, reason)


async def pushes(
    connection: Connection, shard: int, *, tenant: str | None = None, queue: str | None = None
) -> list[Push]:
    """Return the pushes that the role may see: of one tenant, or all; of one queue, or all."""
    with translated():
        rows = await connection.fetch(statement("push_list"), shard, tenant, queue)
    return [Push(**dict(row)) for row in rows]


async def kind_policies(connection: Connection, shard: int) -> dict[str, RetryPolicy]:
    """Return what follows a failure of each kind that is registered, under its name and aliases.

    Of a policy by types of errors only what the registration tells: the back-off, and what a time-out means.
    """
    with translated():
        rows = await connection.fetch(statement("push_kinds"), shard)
    found: dict[str, RetryPolicy] = {}
    for row in rows:
        policy = RetryPolicy(on_timeout="fail" if row["on_timeout"] == "fail" else "retry")
        if row["backoff"] is not None and row["backoff"] != "null":
            with suppress(InvalidArgument):  # of a newer version: the default stands in for it
                policy = policy.with_backoff(from_data(orjson.loads(row["backoff"])))
        found |= dict.fromkeys([row["name"], *row["aliases"]], policy)
    return found
