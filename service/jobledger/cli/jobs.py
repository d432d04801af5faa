"""`enqueue`, `jobs`, `show`, `history`: hand in one job, look at many, look at one, read how it got where it is."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import (  # noqa: TC001 - typer reads the annotations
    Actor,
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
    from jobledger.cli.connect import Place
    from jobledger.events import Event
    from jobledger.jobs.options import EnqueueOptions
    from jobledger.store.filters import JobFilter
    from jobledger.store.jobs_read import JobDetail


def enqueue(
    kind: Annotated[str, typer.Argument(help="The kind's name, as a worker has registered it.")],
    document: Annotated[
        str | None,
        typer.Argument(
            metavar="[ARGS]", help="Arguments by name: a JSON object, @FILE, or - for stdin.", show_default=False
        ),
    ] = None,
    args: Annotated[str | None, typer.Option("--args", "-a", help="The same, as an option.")] = None,
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Whose job it is.")] = "default",
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Default: the kind's.")] = None,
    priority: Annotated[
        int | None, typer.Option("--priority", help="-1000 (first) to 1000 (last) among the tenant's own jobs.")
    ] = None,
    run_at: Annotated[
        str | None, typer.Option("--run-at", help="Not before: a time with its zone, or 10m, 2h, 3d from now.")
    ] = None,
    kill_at: Annotated[
        str | None, typer.Option("--kill-at", help="Killed if not finished by then; the same forms.")
    ] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Of one attempt: seconds, or 10m, 2h.")] = None,
    max_attempts: Annotated[int | None, typer.Option("--max-attempts", help="1 to 1000.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="The person it runs for.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="May be given several times.")] = None,
    meta: Annotated[str | None, typer.Option("--meta", help="Any JSON object, kept with the job.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Idempotency key: within 24 hours the same key enqueues once.")
    ] = None,
    unique_key: Annotated[
        str | None, typer.Option("--unique-key", help="No other open job of the tenant may hold it.")
    ] = None,
    lax: Annotated[bool, typer.Option("--lax", help="Also a kind that no worker has registered.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the result.")] = False,
    wait_timeout: Annotated[str | None, typer.Option("--wait-timeout", help="Wait no longer: seconds, or 10m.")] = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Enqueue one job and print its id; with --wait also its result.

    A job that ends without a result makes the status 9.
    """
    from jobledger.cli import values
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.options import actor_name
    from jobledger.errors import InvalidArgument

    if document is not None and args is not None:
        raise InvalidArgument("Give the arguments once: in place or by --args.")
    arguments = values.mapping("--args", args if document is None else document) or {}
    settings = settings_of(dsn, data)
    given: dict[str, Any] = {
        "tenant": tenant,
        "queue": queue,
        "priority": priority,
        "run_at": values.moment("--run-at", run_at),
        "kill_at": values.moment("--kill-at", kill_at),
        "timeout": values.seconds("--timeout", timeout),
        "max_attempts": max_attempts,
        "owner": owner,
        "tags": tag or None,
        "meta": values.mapping("--meta", meta),
        "key": key,
        "unique_key": unique_key,
        "actor": actor_name(actor, settings.actor),
    }
    options: EnqueueOptions = {name: value for name, value in given.items() if value is not None}  # type: ignore[assignment]  # the names are those of EnqueueOptions
    patience = values.seconds("--wait-timeout", wait_timeout)
    with located(settings) as place:
        asyncio.run(_enqueue(place, kind, arguments, options, not lax, wait, patience, as_json))


async def _enqueue(
    place: Place,
    kind: str,
    args: dict[str, Any],
    options: EnqueueOptions,
    strict: bool,
    wait: bool,
    patience_s: int | None,
    as_json: bool,
) -> None:
    from jobledger.cli import output
    from jobledger.cli.connect import store_at
    from jobledger.jobs.client import Client

    async with store_at(place) as store:
        handle = await Client(store, strict=strict).enqueue(kind, args, **options)
        said: dict[str, Any] = {"id": str(handle.id), "created": handle.created}
        if wait:
            if not as_json:
                output.note(f"enqueued {handle.id}; waiting for its end")
            said["result"] = await handle.result(timeout=patience_s)
    if as_json:
        output.document(said)
    elif wait:
        output.document(said["result"])
    else:
        output.say(said["id"])


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
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first.

    Filters other than tenant and state look at the newest 10,000 finished jobs, and say when they stopped there.
    """
    from jobledger.cli import values
    from jobledger.cli.connect import located, settings_of
    from jobledger.store.filters import JobFilter

    silent_s = values.seconds("--silent", silent)
    wanted = JobFilter(tenant, state.split(",") if state else None, queue, kind, owner, tag)
    with located(settings_of(dsn, data)) as place:
        if silent_s is not None:
            asyncio.run(_silent(place, silent_s, tenant, limit, as_json))
        else:
            asyncio.run(_jobs(place, wanted, limit, cursor, as_json))


async def _jobs(place: Place, wanted: JobFilter, limit: int, cursor: str | None, as_json: bool) -> None:
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at
    from jobledger.store.jobs_read import list_jobs

    async with connection_at(place.dsn) as connection:
        page = await list_jobs(connection, place.settings.shard, wanted, limit=limit, cursor=cursor)
    if as_json:
        output.document(
            {
                "jobs": [job._asdict() for job in page.jobs],
                "next": page.next,
                "looked_at": page.looked_at,
                "stopped": page.stopped,
            }
        )
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
    if page.stopped and wanted.narrow:
        output.note(f"Looked at the newest {page.looked_at:,} jobs and stopped there; older ones may fit.")
    if page.next:
        output.note(f"There may be more: --cursor {page.next}")


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
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show one job: its state, times, options, arguments, result or error."""
    from jobledger.cli import output, values
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.store.jobs_read import show_job

    (job,) = values.ids([id])

    async def run(place: Place) -> JobDetail:
        async with connection_at(place.dsn) as connection:
            return await show_job(connection, place.settings.shard, job, tenant=tenant)

    with located(settings_of(dsn, data)) as place:
        detail = asyncio.run(run(place))
    if as_json:
        output.document({**detail._asdict(), "job": detail.job._asdict()})
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


def history(
    id: Annotated[str, typer.Argument(help="The job's id.")],  # noqa: A002 - the domain's word
    tenant: Tenant = None,
    heartbeats: Annotated[
        bool, typer.Option("--heartbeats", help="Also the heartbeats of the workers that held it, and late reports.")
    ] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show how a job got where it is: every transition, who or what made it, why, and the time between.

    With --json each line is an event of the log.
    """
    from jobledger.cli import output, values
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.store.jobs_read import job_history

    (job,) = values.ids([id])

    async def run(place: Place) -> list[Event]:
        async with connection_at(place.dsn) as connection:
            return await job_history(connection, place.settings.shard, job, tenant=tenant, heartbeats=heartbeats)

    with located(settings_of(dsn, data)) as place:
        events = asyncio.run(run(place))
    if as_json:
        output.documents(_event(event) for event in events)
        return
    before = [None, *(event.at for event in events)]
    output.table(
        ("#", "time", "after", "event", "attempt#", "worker", "actor", "what"),
        (
            (
                event.version,
                event.at,
                output.span((event.at - earlier).total_seconds()) if earlier else None,
                event.type,
                event.attempt,
                # The beginning of a worker's id is its start time: the end tells workers apart.
                f"…{str(event.worker)[-12:]}" if event.worker else None,
                event.actor,
                output.sentence(event.data or {}),
            )
            for event, earlier in zip(events, before, strict=False)
        ),
    )


def _event(event: Event) -> dict[str, Any]:
    return {
        "stream_id": event.stream_id,
        "version": event.version,
        "type": event.type,
        "at": event.at,
        "tenant": event.tenant,
        "actor": event.actor,
        "worker": event.worker,
        "attempt": event.attempt,
        "data": event.data,
    }


def _told(data: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return an outcome's data for reading: an error's members apart, its traceback with its own lines."""
    error = data.get("error")
    rest = [(name, value) for name, value in data.items() if name != "error"]
    return [*rest, *(error.items() if isinstance(error, dict) else ())]
