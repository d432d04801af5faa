"""How many jobs were in each state at a moment of the past, from stored levels and the events of one slice at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jobledger.order.moment import moment_of
from jobledger.store.failures import translated
from jobledger.store.seen import AsOf  # noqa: TC001 - part of the answer's type
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from datetime import datetime

    from jobledger.store.pool import Connection


class TenantCount(NamedTuple):
    """How many jobs of a tenant, queue and kind were in a state."""

    tenant: str
    queue: str
    kind: str
    state: str
    jobs: int


class PastCounts(NamedTuple):
    """The counts of a moment, none of them 0, by tenant, queue, kind and state."""

    as_of: AsOf
    counts: list[TenantCount]


async def counts_as_of(
    connection: Connection, shard: int, moment: str | datetime, *, tenant: str | None = None
) -> PastCounts:
    """Return how many jobs of a tenant (None: of every one) were in each state at a moment.

    By the token of a live answer it is what that answer counted; by a time, what was sealed by then.

    Raises:
        InvalidArgument: the moment is none.
        MomentLost: the log, or the counts, do not reach back to it.
        Unavailable: the projection `tenants` has not counted so far yet.
        Forbidden: the role is bound to tenants.
    """
    resolved = await moment_of(connection, shard, tenant, moment)
    with translated():
        rows = await connection.fetch(statement("order/counts_as_of"), shard, tenant, resolved.row)
    return PastCounts(resolved.as_of, [TenantCount(*row.values()) for row in rows])
