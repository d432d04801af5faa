"""`open`, `rebuild`, `repair`, `doctor`: the live tables against the log, and what hurts in the database."""
# ruff: noqa: PLC0415 - the store is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from jobledger.cli.connect import Place
    from jobledger.store.pool import Store


class Projection(enum.StrEnum):
    """What can be made anew from the log."""

    QUEUE = "queue"
    STATUS = "status"


def open_(dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """Make the database fit for work: rebuild the live tables from the log, if this server has not yet."""
    from jobledger.cli import output
    from jobledger.store.recovery import open_store

    async def run(store: Store) -> None:
        opened = await open_store(store)
        if as_json:
            output.document(opened._asdict())
        elif opened.rebuilt:
            copied = f", {opened.copied:,} of them from the queue snapshot" if opened.copied else ""
            output.say(f"Open: {opened.rows:,} live rows made from the log{copied} in {output.span(opened.elapsed_s)}.")
        else:
            output.say("It was open already.")

    _with_store(run, dsn, data)


def rebuild(
    projection: Annotated[Projection, typer.Argument(help="queue: ready, waiting, running; status: finished.")],
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Drop what a projection holds and make it anew from the log. Enqueuing goes on meanwhile; workers stand back.

    For the projections that are written with each event. Those folded from the sealed log have `projections rebuild`.
    """
    from jobledger.cli import output
    from jobledger.store import recovery

    async def run(store: Store) -> None:
        rows = await recovery.rebuild(store, projection.value)
        if as_json:
            output.document({"projection": projection.value, "rows": rows})
        else:
            output.say(f"{projection.value}: {rows:,} rows made from the log.")

    _with_store(run, dsn, data)


def live(
    unlogged: Annotated[
        bool | None,
        typer.Option(
            "--unlogged/--logged",
            help="Unlogged: no WAL for the live tables, rebuilt from the log after a crash. Default: only say which.",
            show_default=False,
        ),
    ] = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say whether the live tables (ready, waiting, running) are logged, or make them so, or unlogged."""
    from jobledger.cli import output
    from jobledger.cli.options import actor_name
    from jobledger.settings import Settings
    from jobledger.store import recovery

    async def run(store: Store) -> None:
        if unlogged is not None:
            await recovery.persist(store, unlogged=unlogged, actor=actor_name(None, Settings().actor))
        async with store.connection() as connection:
            now = await recovery.is_unlogged(connection)
        if as_json:
            output.document({"unlogged": now})
        elif now:
            output.say("The live tables are unlogged: after a crash they are rebuilt from the log.")
        else:
            output.say("The live tables are logged.")

    _with_store(run, dsn, data)


def repair(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Job ids; none: every job that contradicts the log.", show_default=False)
    ] = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make the rows of jobs what the log says, and say what was wrong."""
    from jobledger.cli import output, values
    from jobledger.store import recovery

    jobs = values.ids(ids or [])

    async def run(store: Store) -> None:
        wrong = jobs
        if not wrong:
            async with store.connection() as connection:
                wrong = [one.job for one in await recovery.compare(connection, store.shard)]
        repaired = await recovery.repair(store, wrong)
        if as_json:
            output.document({"repaired": [one._asdict() for one in repaired]})
        elif repaired:
            output.table(("id", "found", "the log says"), ((str(one.job), *one[1:]) for one in repaired))
        else:
            output.say("Nothing to repair: the rows are what the log says.")

    _with_store(run, dsn, data)


def doctor(
    mend: Annotated[bool, typer.Option("--repair", help="Make anew from the log what differs from it.")] = False,
    compare: Annotated[
        bool, typer.Option(help="Compare the tables with the log, job by job: seconds per million events.")
    ] = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Look at the database from all sides: tables against the log, its readers, partitions, transactions, settings.

    The worst comes first; an alarm makes the status 8.
    """
    from jobledger.cli import output
    from jobledger.errors import CheckFailed
    from jobledger.store.doctor import examine

    async def run(store: Store) -> None:
        findings = await examine(store, repaired=mend, compared=compare)
        alarms = sum(one.severity == "alarm" for one in findings)
        if as_json:
            output.document({"ok": not alarms, "findings": [one._asdict() for one in findings]})
        else:
            for one in findings:
                output.finding(one.severity, one.topic, one.sentence, one.way_out)
        if alarms:
            raise CheckFailed(f"The doctor found {alarms} alarms.", detail={"alarms": alarms})

    _with_store(run, dsn, data)


def _with_store(run: Callable[[Store], Awaitable[Any]], dsn: str | None, data: Path | None) -> None:
    """Run a coroutine with a store at the place that the options name."""
    from jobledger.cli.connect import located, settings_of, store_at

    async def connected(place: Place) -> None:
        async with store_at(place) as store:
            await run(store)

    with located(settings_of(dsn, data)) as place:
        asyncio.run(connected(place))
