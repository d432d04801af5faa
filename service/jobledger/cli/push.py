"""`push`: queues whose jobs are delivered to an HTTPS endpoint, which answers with their outcome."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Annotated

import typer

from jobledger.cli.options import Actor, Data, Dsn, Json, Reason  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.store.pushes import Push

application = typer.Typer(
    help="Push: jobs of a queue are delivered to an HTTPS endpoint, such as a serverless function.",
    no_args_is_help=True,
)


class StartFailure(enum.StrEnum):
    """Whether a delivery that could not start costs the job an attempt."""

    ATTEMPT = "attempt"
    FREE = "free"


Queue = Annotated[str, typer.Argument(help="The queue.", show_default=False)]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", "-t", help="Only this tenant's jobs. Default: everybody's.", show_default=False),
]


@application.command("set")
def set_(
    queue: Queue,
    url: Annotated[str, typer.Argument(help="The endpoint, https://.", show_default=False)],
    tenant: Tenant = None,
    batch: Annotated[int, typer.Option("--batch", help="Jobs of one request at most, 1 to 1000.")] = 1,
    concurrency: Annotated[
        int, typer.Option("--concurrency", help="Jobs under way at a time, from each process that serves.")
    ] = 10,
    max_run: Annotated[
        str, typer.Option("--max-run", help="How long the endpoint may work on a job: seconds, or 10m, 2h.")
    ] = "60",
    start_failure: Annotated[
        StartFailure, typer.Option("--start-failure", help="Whether a delivery that could not start costs an attempt.")
    ] = StartFailure.ATTEMPT,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Take the next secret; for a day requests are signed with both.")
    ] = False,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Deliver the jobs of a queue to an endpoint, or change how; show the secret that requests are signed with.

    `jobledger serve` delivers them. A kind of the queue whose attempts may last longer than --max-run is refused.
    """
    from jobledger.cli import output, values
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.cli.options import actor_name
    from jobledger.delivery import signature
    from jobledger.delivery.address import checked
    from jobledger.delivery.push_endpoint import push_label
    from jobledger.store import pushes
    from jobledger.store.service_key import ServiceKey

    settings = settings_of(dsn, data)
    checked(url, private=settings.send_private)
    seconds = values.seconds("--max-run", max_run) or 0

    async def run(place: Place) -> tuple[bool, str]:
        async with connection_at(place.dsn) as connection:
            key = await ServiceKey.load(connection)
            changed = await pushes.set_push(
                connection,
                settings.shard,
                queue,
                tenant=tenant,
                url=url,
                batch=batch,
                concurrency=concurrency,
                max_run=seconds,
                start_failure=start_failure.value,
                rotate=rotate,
                actor=actor_name(actor, settings.actor),
                reason=reason,
            )
            (push,) = await pushes.pushes(connection, settings.shard, tenant=tenant or "_global", queue=queue)
            return changed, signature.secret(key, push_label(push.queue, push.tenant), push.generation)

    with located(settings) as place:
        changed, secret = asyncio.run(run(place))
    if as_json:
        output.document({"queue": queue, "tenant": tenant, "changed": changed, "secret": secret})
    else:
        output.say(f"The jobs of {queue} are delivered to its endpoint{'' if changed else ', as before'}.")
        output.say(f"Its secret is {secret}")


@application.command("list")
def list_(
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", help="Only this tenant's; _global: everybody's.")
    ] = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show which queues are delivered to endpoints, and how."""
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.store import pushes

    settings = settings_of(dsn, data)

    async def run(place: Place) -> list[Push]:
        async with connection_at(place.dsn) as connection:
            return await pushes.pushes(connection, settings.shard, tenant=tenant)

    with located(settings) as place:
        found = asyncio.run(run(place))
    if as_json:
        output.document({"pushes": [one._asdict() for one in found]})
        return
    columns = ("queue", "tenant", "endpoint", "batch#", "concurrency#", "max run", "start failure", "by", "changed")
    output.table(
        columns,
        (
            (
                *(one.queue, one.tenant, one.url, one.batch, one.concurrency, output.span(one.max_run)),
                *(one.start_failure, one.changed_by, one.changed_at),
            )
            for one in found
        ),
    )


@application.command()
def remove(
    queue: Queue,
    tenant: Tenant = None,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Deliver a queue's jobs no more; they wait for a worker."""
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.cli.options import actor_name
    from jobledger.store import pushes

    settings = settings_of(dsn, data)

    async def run(place: Place) -> None:
        who = actor_name(actor, settings.actor)
        async with connection_at(place.dsn) as connection:
            await pushes.remove_push(connection, settings.shard, queue, tenant=tenant, actor=who, reason=reason)

    with located(settings) as place:
        asyncio.run(run(place))
    if as_json:
        output.document({"queue": queue, "tenant": tenant, "removed": True})
    else:
        output.say(f"The jobs of {queue} are delivered no more.")
