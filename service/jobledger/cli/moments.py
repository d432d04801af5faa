"""Moments of the past on the command line: `--as-of`, and the tokens of answers."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from jobledger.store.filters import JobFilter
    from jobledger.store.jobs_read import JobDetail, JobPage
    from jobledger.store.pool import Connection
    from jobledger.store.seen import AsOf, Seen

AsOfMoment = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="As it was: at a time (2026-05-01T12:00:00Z, or 10m, 2h, 3d ago), a cursor, or an answer's token.",
        metavar="MOMENT",
        show_default=False,
    ),
]
Token = Annotated[bool, typer.Option("--token", help="Also print the token by which this answer can be asked again.")]


def asked(text: str | None) -> str | datetime | None:
    """Return a moment as it was typed; `10m` is ten minutes ago.

    Raises:
        InvalidArgument: it is a time without a zone, or none.
    """
    from jobledger.cli import values

    return text if text is None or not text[:1].isdigit() else values.past("--as-of", text)


async def shown(
    connection: Connection, shard: int, job: UUID, tenant: str | None, moment: str | datetime | None, token: bool
) -> JobDetail:
    """Return one job, as it is or as it was."""
    from jobledger.order.past import job_as_of
    from jobledger.store.jobs_read import show_job

    if moment is not None:
        return await job_as_of(connection, shard, job, moment, tenant=tenant)
    told = await _tokens(connection, tenant) if token else None
    return await show_job(connection, shard, job, tenant=tenant, told=told)


async def listed(
    connection: Connection,
    shard: int,
    wanted: JobFilter,
    moment: str | datetime | None,
    token: bool,
    **page: Any,
) -> JobPage:
    """Return a page of jobs, as they are or as they were."""
    from jobledger.order.past import jobs_as_of
    from jobledger.store.jobs_read import list_jobs

    if moment is not None:
        return await jobs_as_of(connection, shard, wanted, moment, **page)
    told = await _tokens(connection, wanted.tenant) if token else None
    return await list_jobs(connection, shard, wanted, told=told, **page)


async def _tokens(connection: Connection, tenant: str | None) -> Callable[[Seen | None], AsOf | None] | None:
    """Return what makes tokens; None for a role that is bound to tenants, which gets its answer without."""
    from jobledger.errors import Forbidden
    from jobledger.order.moment import moments_for

    try:
        return (await moments_for(connection, tenant)).token
    except Forbidden:
        return None


def document(as_of: AsOf | None) -> dict[str, Any] | None:
    """Return what `--json` prints of an answer's moment; a live answer and a tenant's name no block."""
    if as_of is None:
        return None
    return {name: value for name, value in as_of._asdict().items() if value is not None}


def tell(as_of: AsOf | None, token: bool) -> None:
    """Say, beside the table, of which moment it is, and how to ask for it again."""
    from jobledger.cli import output

    if as_of is None:
        if token:
            output.note("There is no token to give: this role is bound to tenants, or the database is not open.")
    elif token:
        output.note(f"Ask again: --as-of {as_of.moment}")
    else:
        sealed = f", block {as_of.block:,}, sealed {output.moment(as_of.sealed_at)}" if as_of.sealed_at else ""
        output.note(f"As of {output.moment(as_of.at) if as_of.at else 'the cursor'}{sealed}.")
