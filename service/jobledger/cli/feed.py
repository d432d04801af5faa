"""`follow` and `seal`: read the log in its order as it grows, and see to it that it has one."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Data, Dsn, Json, Owner, Queue, Tenant  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.events import Event
    from jobledger.order.cursor import Place as LogPlace

_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "killed": "red",
    "lease_expired": "yellow",
    "report_rejected": "yellow",
    "parked": "yellow",
    "cancelled": "bright_black",
    "heartbeat": "bright_black",
    "claimed": "cyan",
}


def follow(
    tenant: Tenant = None,
    job: Annotated[str | None, typer.Option("--job", "-j", help="Only this job's.")] = None,
    type: Annotated[  # noqa: A002 - the domain's word
        list[str] | None, typer.Option("--type", help="Only events of this type, such as job.failed; may be repeated.")
    ] = None,
    queue: Queue = None,
    owner: Owner = None,
    after: Annotated[
        str | None, typer.Option("--after", help="Begin behind this cursor, which an earlier --json line gave.")
    ] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin at the beginning, not at the end.")] = False,
    stop_at_end: Annotated[
        bool, typer.Option("--stop-at-end", help="End when nothing more is there, instead of waiting for it.")
    ] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Follow the log live, in its one order, until ctrl-c; by default from now on.

    Needs a sealer: every worker is one, and so is `up`. With --json each line is an event with its cursor; one that was
    given with --tenant is encrypted, and good for that tenant only.
    """
    from jobledger.cli import values
    from jobledger.cli.connect import located, settings_of

    wanted: dict[str, Any] = {
        "tenant": tenant,
        "job": values.ids([job])[0] if job is not None else None,
        "types": type or None,
        "queue": queue,
        "owner": owner,
        "after": after,
        "from_end": after is None and not from_start,
        "live": not stop_at_end,
    }
    with located(settings_of(dsn, data)) as place:
        asyncio.run(_follow(place, wanted, as_json))


async def _follow(place: Place, wanted: dict[str, Any], as_json: bool) -> None:
    from jobledger.cli import output
    from jobledger.cli.connect import store_at
    from jobledger.jobs.client import Client

    async with store_at(place) as store, Client(store) as client, client.events(**wanted) as feed:
        async for event in feed:
            if as_json:
                output.documents([{**event.model_dump(exclude={"shard", "position"}), "cursor": feed.cursor}])
            else:
                _line(event)


def _line(event: Event) -> None:
    from rich.text import Text

    from jobledger.cli import output

    name = event.type.partition(".")[2]
    line = Text.assemble(
        (output.moment(event.at), "bright_black"),
        "  ",
        (f"{event.type:<21}", _COLOURS.get(name, "")),
        f"  {event.tenant:<12}  {event.stream_id}",
        f"  #{event.attempt}" if event.attempt is not None else "",
        f"  by {event.actor}" if event.actor else "",
        "  ",
        output.sentence(event.data or {}),
    )
    output.console().print(line, soft_wrap=True, highlight=False)


def seal(dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """Seal what was committed, so that readers get it, until nothing waits.

    Every worker does this by itself; by hand it is for where none runs.
    """
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.order.log import log_end
    from jobledger.order.log import seal as one

    async def run(place: Place) -> tuple[LogPlace, LogPlace]:
        shard = place.settings.shard
        async with connection_at(place.dsn) as connection:
            before = await log_end(connection, shard)
            while (await one(connection, shard)).block is not None:
                pass
            return before, await log_end(connection, shard)

    with located(settings_of(dsn, data)) as place:
        before, after = asyncio.run(run(place))
    facts = {"blocks": after.block - before.block, "last_block": after.block, "epoch": after.epoch}
    if as_json:
        output.document(facts)
    else:
        output.facts([(name.replace("_", " "), count) for name, count in facts.items()])
