"""Jobs as they were: one, or a list, at a moment of the past.

A job is folded from the events of its own stream that count at the moment; in a list those that have not changed since
are taken as they lie. Which jobs there are, and so which can be listed, the tables of now say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.order.moment import moment_of
from jobledger.store.failures import translated
from jobledger.store.jobs_read import LOOKED_AT_MAX, as_listed, below_of, detail_in, page_in, unknown_job
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from jobledger.store.filters import JobFilter
    from jobledger.store.jobs_read import JobDetail, JobPage
    from jobledger.store.pool import Connection


async def job_as_of(
    connection: Connection,
    shard: int,
    id: UUID,  # noqa: A002 - the domain's word
    moment: str | datetime,
    *,
    tenant: str | None = None,
) -> JobDetail:
    """Return one job whole, as it was at a moment; with `tenant` the moment is that tenant's own.

    Raises:
        NotFound: there was no such job yet, or it is another tenant's.
        JobGone: its partition of the log was dropped.
        InvalidArgument, MomentLost, Forbidden: as `resolve` does.
    """
    resolved = await moment_of(connection, shard, tenant, moment)
    with translated():
        row = await connection.fetchrow(statement("order/job_as_of"), shard, id, resolved.row, tenant)
    if row is None:
        raise unknown_job()
    return detail_in(dict(row), resolved.as_of)


async def jobs_as_of(
    connection: Connection,
    shard: int,
    wanted: JobFilter,
    moment: str | datetime,
    *,
    limit: int = 50,
    cursor: str | None = None,
) -> JobPage:
    """Return a page of the jobs that fitted at a moment, newest first, as `list_jobs` does for now.

    At most the newest 10,000 jobs are looked at, whatever is asked for; the page says where it stopped.

    Raises:
        InvalidArgument: the limit or the cursor is not one, or the moment is none.
        NotOpen: the tables of now are not rebuilt yet.
        MomentLost, Forbidden: as `resolve` does.
    """
    below = below_of(limit, cursor)
    resolved = await moment_of(connection, shard, wanted.tenant, moment)
    wanted = as_listed(wanted)
    states = [*wanted.open, *wanted.finished]
    narrow = (wanted.queue, wanted.kind, wanted.owner, wanted.tag)
    with translated():
        rows = await connection.fetch(
            statement("order/jobs_as_of"), shard, resolved.row, wanted.tenant, states, below, limit + 1, *narrow
        )
    page = page_in(rows, limit, LOOKED_AT_MAX)
    return page._replace(as_of=resolved.as_of, horizon=rows[-1]["horizon"] if page.next is None else None)
