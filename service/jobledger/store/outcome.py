"""How a job stands, and how it ended: what is asked again and again by who waits for its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jobledger.errors import NotFound
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.store.pool import Connection


class Outcome(NamedTuple):
    """A job's state, and of one that has ended what its last ending says.

    `result` is JSON text, None where there is none; `type` that of the event that ended it. The others are None where
    they were not said.
    """

    state: str
    attempt: int
    result: str | None = None
    type: str | None = None
    error_type: str | None = None
    error_class: str | None = None
    rule: str | None = None
    reason: str | None = None
    actor: str | None = None


async def outcome_of(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002 - the domain's word
    tenant: str,
) -> Outcome:
    """Return how a job stands. Raises `NotFound` for one that is not there, or not this tenant's."""
    with translated():
        row = await connection.fetchrow(statement("outcome"), shard, id, tenant)
    if row is None:
        raise NotFound("There is no such job.", hint="Was the transaction committed that enqueued it?")
    found = Outcome(*(row[name] for name in Outcome._fields))
    return found if row["has_result"] else found._replace(result=None)
