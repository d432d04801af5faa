"""`history`, `replay`: what happened to one job, or to many, in order, with the time between."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import (  # noqa: TC001 - typer reads the annotations
    Data,
    Dsn,
    Heartbeats,
    Json,
    Kind,
    Owner,
    Queue,
    Tenant,
    Types,
)

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.events import Event
    from jobledger.jobs.door import ReplaySteps


def history(
    id: Annotated[str, typer.Argument(help="The job's id.")],  # noqa: A002 - the domain's word
    tenant: Tenant = None,
    heartbeats: Heartbeats = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show how a job got where it is: every transition, who or what made it, why, and the time between.

    With --json each line is an event of the log.
    """
    from jobledger.cli import output, transitions, values
    from jobledger.cli.connect import located, settings_of, store_at
    from jobledger.jobs.client import Client
    from jobledger.order.replay import replayed

    (job,) = values.ids([id])

    async def run(place: Place) -> list[Event]:
        async with store_at(place) as store, Client(store) as client:
            return await client.history(job, tenant=tenant, heartbeats=heartbeats)

    with located(settings_of(dsn, data)) as place:
        events = asyncio.run(run(place))
    if as_json:
        output.documents(transitions.document(one) for one in replayed(events))
    else:
        transitions.table(replayed(events))


def replay(
    id: Annotated[  # noqa: A002 - the domain's word
        str | None, typer.Argument(help="The job's id; none: many jobs.", show_default=False)
    ] = None,
    tenant: Tenant = None,
    after: Annotated[
        str,
        typer.Option("--from", help="Begin behind this cursor or time (2h: so long ago), or at the beginning."),
    ] = "beginning",
    until: Annotated[str | None, typer.Option("--to", help="End with this cursor or time. Default: now.")] = None,
    types: Types = None,
    queue: Queue = None,
    kind: Kind = None,
    owner: Owner = None,
    heartbeats: Heartbeats = False,
    speed: Annotated[
        float | None,
        typer.Option("--speed", help="Pause between events as they did, divided by this. Default: no pauses."),
    ] = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Replay what happened, in the order of the log: actor, reason, attempt, worker, and the time between.

    One job, a tenant, or all; between two cursors or times. A time is the last block sealed at or before it. Each line
    has the time since the line before it, and since the job's own event before it. With --json each line is an event
    with its cursor, written as it comes.
    """
    from jobledger.cli import values
    from jobledger.cli.connect import located, settings_of
    from jobledger.errors import InvalidArgument

    if speed is not None and not 0 < speed < float("inf"):
        raise InvalidArgument("--speed is a number above 0.", detail={"option": "--speed"})
    wanted: dict[str, Any] = {
        "job": values.ids([id])[0] if id is not None else None,
        "tenant": tenant,
        "after": None if after == "beginning" else values.place("--from", after),
        "until": values.place("--to", until),
        "types": values.names(types),
        "queue": queue,
        "kind": kind,
        "owner": owner,
        "heartbeats": heartbeats,
    }
    with located(settings_of(dsn, data)) as place:
        asyncio.run(_replay(place, wanted, speed, as_json))


async def _replay(place: Place, wanted: dict[str, Any], speed: float | None, as_json: bool) -> None:
    from jobledger.cli.connect import store_at
    from jobledger.jobs.client import Client

    async with store_at(place) as store, Client(store) as client, client.replay(**wanted) as steps:
        if not as_json and wanted["job"] is not None and speed is None:
            await _table(steps)
        else:
            await _stream(steps, speed, as_json)


async def _table(steps: ReplaySteps) -> None:
    from jobledger.cli import transitions

    transitions.table([one async for one in steps])


async def _stream(steps: ReplaySteps, speed: float | None, as_json: bool) -> None:
    from jobledger.cli import output, transitions

    lines = transitions.Lines(pauses=True)
    async for one in steps:
        if speed is not None and one.since is not None:
            await asyncio.sleep(max(one.since.total_seconds(), 0.0) / speed)
        if as_json:
            output.document(transitions.document(one))
        else:
            lines.write(one)
    if steps.reset is not None:
        output.note("What came before was dropped by retention.")
