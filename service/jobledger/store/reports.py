"""Reports: how jobs ended, in batches, each fenced by its claim."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from uuid import UUID  # noqa: TC003 - what goes over the wire is described by its annotations

from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobledger.store.pool import Connection

Outcome = Literal["succeeded", "failed", "snoozed", "interrupted", "cancelled", "parked", "progressed"]

_BY_ID: Final = itemgetter(0)
_PLAIN: Final = {"succeeded"}


class Report(NamedTuple):
    """One outcome: `claim` is the version of the claim's event, `data` the JSON text of the event's data or None.

    The data of `failed` may say `retry_in` (seconds), `retry_at` or `final`; that of `snoozed` says `run_at`.
    """

    id: UUID
    claim: int
    outcome: str
    data: bytes | str | None = None


class Verdict(NamedTuple):
    """The answer to one report.

    `verdict` is accepted, repeated (it was accepted before, and the answer was lost) or rejected (the job is not the
    worker's any more; `reason` says why). `state` is the job's state now.
    """

    id: UUID
    verdict: str
    state: str | None
    reason: str | None


async def report(
    connection: Connection, shard: int, worker: UUID, reports: Sequence[Report], *, terse: bool = False
) -> list[Verdict]:
    """Record outcomes, one a job, and return a verdict for each; durable once the connection's transaction commits.

    They are sorted by id here: batches that lock in different orders deadlock. `terse` leaves out the verdicts of what
    was accepted: most often all of them.

    Raises:
        BadInput: a report is not well formed or its data too large; nothing of the batch was written.
        NotOpen: the live tables are not rebuilt yet.
    """
    if not reports:
        return []
    ids, claims, outcomes, datas = zip(*sorted(reports, key=_BY_ID), strict=True)
    with translated():
        if len(set(claims)) == 1 and set(outcomes) == _PLAIN and not any(datas):
            # The commonest batch by far: what is the same for all is sent once.
            rows = await connection.fetch(statement("report_successes"), shard, worker, ids, claims[0], len(ids), terse)
        else:
            texts = [data.decode() if isinstance(data, bytes) else data for data in datas]
            rows = await connection.fetch(statement("report"), shard, worker, ids, claims, outcomes, texts, terse)
    return [Verdict(row["id"], row["verdict"], row["state"], row["reason"]) for row in rows]
