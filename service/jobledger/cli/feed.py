"""`follow` and `seal`: read the log in its order as it grows, and see to it that it has one."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import (  # noqa: TC001 - typer reads the annotations
    Data,
    Dsn,
    Json,
    Kind,
    Owner,
    Queue,
    Tenant,
    Types,
)

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.cli.transitions import Lines
    from jobledger.jobs.door import EventFeed
    from jobledger.order.cursor import Place as LogPlace
    from jobledger.order.kinds import Kinds

_BACKOFF_S = (0.2, 5.0)


def follow(
    tenant: Tenant = None,
    job: Annotated[str | None, typer.Option("--job", "-j", help="Only this job's.")] = None,
    types: Types = None,
    queue: Queue = None,
    kind: Kind = None,
    owner: Owner = None,
    begin: Annotated[
        str,
        typer.Option(
            "--from", help="Begin behind this cursor or time (2h: so long ago), at the beginning, or at the end."
        ),
    ] = "end",
    stop_at_end: Annotated[
        bool, typer.Option("--stop-at-end", help="End when nothing more is there, instead of waiting for it.")
    ] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Follow the log live, in its one order, until ctrl-c; by default from now on. Says at its end where to go on.

    Needs a sealer: every worker is one, and so is `up`. A lost connection is opened again, and nothing is missed. With
    --json each line is an event with its cursor; one that was given with --tenant is encrypted, and good for that
    tenant only.
    """
    from jobledger.cli import values
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.interrupt import interruptible

    wanted: dict[str, Any] = {
        "tenant": tenant,
        "job": values.ids([job])[0] if job is not None else None,
        "types": values.names(types),
        "queue": queue,
        "owner": owner,
        "live": not stop_at_end,
    }
    place_of_log = None if begin in ("beginning", "end") else values.place("--from", begin)
    with located(settings_of(dsn, data)) as place:
        asyncio.run(interruptible(_follow(place, wanted, place_of_log, begin == "end", kind, as_json)))


async def _follow(
    place: Place, wanted: dict[str, Any], begin: str | datetime | None, from_end: bool, kind: str | None, as_json: bool
) -> None:
    from jobledger.cli import output, transitions
    from jobledger.cli.connect import store_at
    from jobledger.errors import FeedReset, Unavailable
    from jobledger.jobs.client import Client
    from jobledger.order.kinds import Kinds
    from jobledger.order.replay import cursor_at

    lines = None if as_json else transitions.Lines(pauses=False)
    async with store_at(place) as store, Client(store) as client:
        kinds = Kinds(store, kind)
        cursor = await cursor_at(store, begin, wanted["tenant"]) if isinstance(begin, datetime) else begin
        wait_s, most_s = _BACKOFF_S
        reached: str | None = None
        try:
            while True:
                feed = client.events(**wanted, after=cursor, from_end=from_end and cursor is None)
                try:
                    async with feed:
                        await _show(feed, lines, kinds)
                    return
                except FeedReset as reset:
                    if reset.detail.get("cursor") in (None, cursor):
                        raise
                    output.note(f"{reset.message} Going on behind it.")
                    cursor = str(reset.detail["cursor"])
                    continue
                except Unavailable as error:
                    if not wanted["live"]:
                        raise
                    output.note(f"{error.message} Going on when it answers.")
                finally:
                    reached = feed.cursor
                wait_s = _BACKOFF_S[0] if reached != cursor else min(wait_s * 2, most_s)
                cursor = reached
                await asyncio.sleep(wait_s)
        finally:
            if not as_json and reached not in (None, begin):
                output.note(f"To go on: --from {reached}")


async def _show(feed: EventFeed, lines: Lines | None, kinds: Kinds) -> None:
    from jobledger.cli import output
    from jobledger.order.replay import Replayed

    async for event in feed:
        if not await kinds.fits(event):
            continue
        if lines is None:
            output.document({**event.model_dump(exclude={"shard", "position"}), "cursor": feed.cursor})
        else:
            lines.write(Replayed(event, None, None))


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
