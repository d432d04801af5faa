"""`jobledger partitions`: the months of the log; those to come, and old ones that are dropped."""
# ruff: noqa: PLC0415 - the store is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Actor, Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from jobledger.cli.connect import Place
    from jobledger.order.retention import Maintenance, Outcome, Partition
    from jobledger.store.pool import Connection

application = typer.Typer(
    help="The log is kept in months: list them, make those to come, drop old ones.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_COUNTED_TO = 10_000
_DAYS_MOST = 36_500
_KEPT = {
    "recent": "the running month and the one before are kept",
    "live": "open jobs lie in it",
    "workers": "workers that are alive began in it",
    "locked": "jobs of it are locked by transactions that last",
    "writers": "transactions that appended to the log are open for long",
    "readers": "it is being detached; readers have the log open for long: run this again when they are done",
    "unsealed": "its events are not all sealed: is the sealing held up?",
    "finished": "jobs of it ended meanwhile",
}


@application.command("list")
def list_(dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """List the partitions of the log and of its blocks: bounds, rows, size, and the jobs that are left in each month.

    Jobs are counted up to 10,000; rows are as the server's statistics have them.
    """
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.order.retention import list_partitions

    async def run(place: Place) -> list[Partition]:
        async with connection_at(place.dsn) as connection:
            return await list_partitions(connection, place.settings.shard)

    with located(settings_of(dsn, data)) as place:
        found = asyncio.run(run(place))
    if as_json:
        output.document({"partitions": [one._asdict() for one in found]})
        return
    columns = ("name", "from", "to", "state", "rows#", "MiB#", "open jobs#", "finished#")
    output.table(columns, (_row(one) for one in found))


@application.command()
def add(
    ahead: Annotated[int, typer.Option("--ahead", help="For how many months to come, 1 to 24.")] = 3,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make the partitions of this month and of some to come; nobody waits for it. A tick does it for three, too."""
    from jobledger.cli import output
    from jobledger.cli.connect import located, settings_of
    from jobledger.order.retention import add_partitions

    async def run(place: Place) -> int:
        async with _session(place) as connection:
            return await add_partitions(connection, place.settings.shard, ahead=ahead)

    with located(settings_of(dsn, data)) as place:
        made = asyncio.run(run(place))
    if as_json:
        output.document({"made": made})
    else:
        output.say(f"{made} partitions made." if made else "They were there already.")


@application.command()
def drop(
    before: Annotated[
        str | None,
        typer.Option(
            "--before", help="Months that were over by this time, with its zone, or 180d: so long ago.", metavar="TIME"
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", help="Months that were over so many days ago.", metavar="DAYS")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be dropped, and change nothing.")] = False,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Drop old months of the log with everything in them: events, finished jobs, keys. There is no way back.

    A month with an open job is kept, and so are the running month and the one before. Nobody waits; what is
    interrupted goes on where it stood when the command is run again. Status 4 where something was kept.
    """
    from jobledger.cli import output
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.options import actor_name
    from jobledger.cli.progress import bars
    from jobledger.order.retention import drop_partitions, intended

    until = _until(before, keep)

    async def run(place: Place) -> Maintenance:
        async with _session(place) as connection:
            if dry_run:
                return await intended(connection, place.settings.shard, until)
            with bars() as (_, progress):
                who = actor_name(actor, place.settings.actor)
                return await drop_partitions(connection, place.settings.shard, until, actor=who, progress=progress)

    with located(settings_of(dsn, data)) as place:
        done = asyncio.run(run(place))
    if as_json:
        output.document({**done._asdict(), "dry_run": dry_run})
    else:
        _tell(done, dry_run)
    kept = [one for one in done.partitions if one.kept is not None and one.kept != "recent"]
    if kept and not dry_run:
        _refuse(kept)


def _until(before: str | None, keep: int | None) -> datetime | timedelta:
    from jobledger.cli import values
    from jobledger.errors import InvalidArgument

    if (before is None) == (keep is None):
        raise InvalidArgument("Which months?", hint="Give --before TIME, or --keep DAYS.")
    if keep is not None:
        if not 0 <= keep <= _DAYS_MOST:
            raise InvalidArgument(f"--keep is 0 to {_DAYS_MOST} days.", detail={"option": "--keep"})
        return timedelta(days=keep)
    at = values.past("--before", before)
    assert at is not None  # noqa: S101 - one of the two was given
    return at


@asynccontextmanager
async def _session(place: Place) -> AsyncIterator[Connection]:
    """Open a connection that is a session of its own, past a transaction pooler."""
    from jobledger.cli.connect import session_dsn
    from jobledger.store import pool

    connection = await pool.connect(await session_dsn(place), application_name="jobledger-partitions")
    try:
        yield connection
    finally:
        await connection.close()


def _row(one: Partition) -> Sequence[Any]:
    if one.first_block is not None:
        bounds = (f"block {one.first_block:,}", f"block {one.last_block:,}")
    else:
        bounds = (f"{one.lower:%Y-%m-%d}" if one.lower else "", f"{one.upper:%Y-%m-%d}" if one.upper else "")
    state = one.state if one.retired_at is None or one.state != "attached" else "being dropped"
    counts = (_counted(one.live), _counted(one.finished))
    return (one.name, *bounds, state, one.rows_estimate, f"{one.bytes / 2**20:,.1f}", *counts)


def _counted(jobs: int | None) -> str:
    if jobs is None:
        return ""
    return f"{jobs:,}" + ("+" if jobs >= _COUNTED_TO else "")


def _tell(done: Maintenance, dry_run: bool) -> None:
    from jobledger.cli import output

    if not done.partitions:
        output.say("No month of the log is that old.")
    word = "would be dropped" if dry_run else "dropped"
    for one in done.partitions:
        if one.kept is None:
            output.say(f"{one.name}: {word}" + (f", with {one.rows:,} rows beside the log." if one.rows else "."))
        else:
            jobs = one.facts.get("jobs") or ()
            named = f" ({one.facts['live']}: {', '.join(jobs)})" if jobs else ""
            output.say(f"{one.name}: kept, {_KEPT.get(one.kept, one.kept)}{named}.")
    if done.merged:
        output.say(f"{done.merged:,} blocks behind the horizon were merged into others.")


def _refuse(kept: Sequence[Outcome]) -> None:
    from jobledger.errors import PartitionInUse

    detail = {one.name: {"kept": one.kept, **one.facts} for one in kept}
    raise PartitionInUse(
        f"{len(kept)} partitions of the log are still needed, the first is {kept[0].name}.",
        hint="`jobledger show JOB` tells of a job that stands in the way; cancel it, or wait, and drop again.",
        detail=detail,
    )
