"""`jobs`, `show`: look at many jobs, look at one."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.moments import AsOfMoment, Token  # noqa: TC001 - typer reads the annotations
from jobledger.cli.options import (  # noqa: TC001 - typer reads the annotations
    Data,
    Dsn,
    Json,
    Kind,
    Owner,
    Queue,
    State,
    Tenant,
)

if TYPE_CHECKING:
    from datetime import datetime

    from jobledger.cli.connect import Place
    from jobledger.store.filters import JobFilter
    from jobledger.store.jobs_read import JobDetail, JobPage
    from jobledger.store.pool import Connection


def jobs(
    tenant: Tenant = None,
    queue: Queue = None,
    kind: Kind = None,
    state: State = None,
    owner: Owner = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only with this tag.")] = None,
    silent: Annotated[
        str | None,
        typer.Option("--silent", help="Instead: running jobs whose worker has been silent for longer than 30s, 2m."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many, 1 to 1000.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where a page ended.")] = None,
    as_of: AsOfMoment = None,
    token: Token = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first, as they are or as they were.

    All of a tenant's jobs in a state are found by index. Other filters look at the newest 10,000 finished jobs, and
    say when they stopped there; of the past every filter does. An answer with --json carries a token, by which it can
    be asked for again.
    """
    from jobledger.cli import moments, values
    from jobledger.cli.connect import located, settings_of
    from jobledger.errors import InvalidArgument
    from jobledger.store.filters import JobFilter

    silent_s = values.seconds("--silent", silent)
    moment = moments.asked(as_of)
    if silent is not None and moment is not None:
        raise InvalidArgument("--silent looks at the workers of now; --as-of is for the lists of jobs.")
    wanted = JobFilter(tenant, state.split(",") if state else None, queue, kind, owner, tag)
    with located(settings_of(dsn, data)) as place:
        if silent_s is not None:
            asyncio.run(_silent(place, silent_s, tenant, limit, as_json))
        else:
            page = asyncio.run(_jobs(place, wanted, moment, token or as_json, limit=limit, cursor=cursor))
            _print(page, token, as_json)


async def _jobs(place: Place, wanted: JobFilter, moment: str | datetime | None, token: bool, **page: Any) -> JobPage:
    from jobledger.cli import moments
    from jobledger.cli.connect import connection_at

    async with connection_at(place.dsn) as connection:
        return await moments.listed(connection, place.settings.shard, wanted, moment, token, **page)


def _print(page: JobPage, token: bool, as_json: bool) -> None:
    from jobledger.cli import moments, output

    if as_json:
        jobs = [job._asdict() for job in page.jobs]
        output.document({**page._asdict(), "jobs": jobs, "as_of": moments.document(page.as_of)})
        return
    output.table(
        ("id", "tenant", "queue", "kind", "state", "attempt#", "enqueued", "finished"),
        (
            (
                str(job.id),
                job.tenant,
                job.queue,
                job.kind,
                output.state(job.state),
                f"{job.attempt}/{job.max_attempts}",
                job.enqueued_at,
                job.finished_at,
            )
            for job in page.jobs
        ),
    )
    if not page.jobs:
        output.note("No job fits.")
    if page.stopped:
        output.note(f"Looked at the newest {page.looked_at:,} jobs and stopped there; older ones may fit.")
    if page.next:
        output.note(f"There may be more: --cursor {page.next}")
    if page.horizon is not None:
        output.note(f"Jobs of before {output.moment(page.horizon)} are gone: retention dropped them.")
    if token or page.as_of is not None:
        moments.tell(page.as_of, token)


async def _silent(place: Place, silent_s: int, tenant: str | None, limit: int, as_json: bool) -> None:
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at
    from jobledger.store.jobs_read import silent_jobs

    async with connection_at(place.dsn) as connection:
        found = await silent_jobs(connection, place.settings.shard, longer_than_s=silent_s, tenant=tenant, limit=limit)
    if as_json:
        output.document({"jobs": [job._asdict() for job in found]})
        return
    output.table(
        ("id", "tenant", "kind", "attempt#", "claimed", "worker", "seen", "lease until"),
        (
            (str(j.id), j.tenant, j.kind, j.attempt, j.claimed_at, str(j.worker), j.seen_at, j.lease_until)
            for j in found
        ),
    )


def show(
    id: Annotated[str, typer.Argument(help="The job's id.")],  # noqa: A002 - the domain's word
    tenant: Tenant = None,
    as_of: AsOfMoment = None,
    token: Token = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one job, as it is or as it was: its state, times, options, arguments, result or error."""
    from jobledger.cli import moments, output, values
    from jobledger.cli.connect import connection_at, located, settings_of

    (job,) = values.ids([id])
    moment = moments.asked(as_of)

    async def run(place: Place) -> JobDetail:
        async with connection_at(place.dsn) as connection:
            shard = place.settings.shard
            detail = await moments.shown(connection, shard, job, tenant, moment, token or as_json)
            await _mask(connection, place.settings.shard, detail.job.kind, detail.enqueued)
            return detail

    with located(settings_of(dsn, data)) as place:
        detail = asyncio.run(run(place))
    if as_json:
        output.document({**detail._asdict(), "job": detail.job._asdict(), "as_of": moments.document(detail.as_of)})
        return
    enqueued = {name: value for name, value in detail.enqueued.items() if name not in ("kind", "queue")}
    row = detail.job._asdict()
    row["state"] = output.state(detail.job.state)
    row["attempt"] = f"{row['attempt']} of {row.pop('max_attempts')}"
    output.facts([(name.replace("_", " "), str(value) if name == "id" else value) for name, value in row.items()])
    output.say("")
    output.facts([("enqueued by", detail.enqueued_by), *enqueued.items(), ("progress", detail.progress)])
    if detail.last_type:
        output.say("")
        output.facts([("last", detail.last_type), ("at", detail.last_at), ("by", detail.last_actor)])
        output.facts(_told(detail.last_data or {}))
    if token or detail.as_of is not None:
        moments.tell(detail.as_of, token)


async def _mask(connection: Connection, shard: int, kind: str | None, enqueued: dict[str, Any]) -> None:
    """Hide the arguments that the kind marks as masked, in the data of `job.enqueued`."""
    from jobledger.jobs.masking import masked
    from jobledger.store.kinds import registered_kind

    registered = await registered_kind(connection, shard, kind) if kind else None
    if registered is not None and "args" in enqueued:
        enqueued["args"] = masked(registered.schema, enqueued["args"])


def _told(data: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return an outcome's data for reading: an error's members apart, its traceback with its own lines."""
    error = data.get("error")
    rest = [(name, value) for name, value in data.items() if name != "error"]
    return [*rest, *(error.items() if isinstance(error, dict) else ())]
