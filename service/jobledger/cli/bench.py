"""`jobledger bench`: measurements on a database of their own; the result on stdout, progress on stderr."""
# ruff: noqa: PLC0415 - what is measured is imported when a command runs, so that --help answers at once

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from jobledger.bench.measurement import Bench
    from jobledger.bench.setup import Setup

application = typer.Typer(
    help="Measure this machine: always with its floor, the rows a second of a bare batch insert, beside it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Tenants = Annotated[int, typer.Option("--tenants", help="Tenants that take turns.")]
Clients = Annotated[int, typer.Option("--clients", help="Connections that enqueue at a time.")]
Concurrency = Annotated[int, typer.Option("--concurrency", help="Jobs at a time in each worker process.")]
Processes = Annotated[int, typer.Option("--processes", help="Worker processes.", min=1)]
Unlogged = Annotated[bool, typer.Option("--unlogged/--logged", help="How the live tables are.")]


@application.command()
def drain(
    jobs: Annotated[int, typer.Option("--jobs", help="Jobs in the backlog.")] = 100_000,
    tenants: Tenants = 20,
    concurrency: Concurrency = 1_000,
    processes: Processes = 1,
    batch: Annotated[int, typer.Option("--batch", help="Jobs a transaction while the backlog is filled.")] = 2_000,
    clients: Clients = 2,
    unlogged: Unlogged = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Empty a backlog of no-op jobs with real workers, the whole history written.

    The backlog is filled before the clock starts; the clock stops when the database holds no open job.
    """
    from jobledger.bench.drain import drain as work
    from jobledger.bench.setup import Setup

    setup = Setup(
        jobs=jobs,
        tenants=tenants,
        concurrency=concurrency,
        processes=processes,
        batch=batch,
        clients=clients,
        unlogged=unlogged,
    )
    _measure("drain", work, setup, dsn, data, as_json)


@application.command()
def enqueue(
    jobs: Annotated[int, typer.Option("--jobs", help="Jobs to enqueue.")] = 100_000,
    tenants: Tenants = 20,
    concurrency: Concurrency = 1_000,
    processes: Annotated[int, typer.Option("--processes", help="Worker processes that run the jobs meanwhile.")] = 0,
    batch: Annotated[int, typer.Option("--batch", help="Jobs a transaction; 1 is the call for a single job.")] = 1_000,
    clients: Clients = 2,
    unlogged: Unlogged = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hand in jobs from several connections, each batch a transaction of its own."""
    from jobledger.bench.enqueue import enqueue as work
    from jobledger.bench.setup import Setup

    setup = Setup(
        jobs=jobs,
        tenants=tenants,
        concurrency=concurrency,
        processes=processes,
        batch=batch,
        clients=clients,
        unlogged=unlogged,
    )
    _measure("enqueue", work, setup, dsn, data, as_json)


@application.command()
def pickup(
    jobs: Annotated[int, typer.Option("--jobs", help="Jobs to time.")] = 500,
    tenants: Tenants = 20,
    concurrency: Concurrency = 100,
    processes: Processes = 1,
    batch: Annotated[int, typer.Option("--batch", help="Jobs a transaction; each is timed from its commit.")] = 1,
    clients: Annotated[
        int, typer.Option("--clients", help="How many enqueue at a time, each when its last jobs have started.")
    ] = 1,
    unlogged: Unlogged = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Time idle workers from a job's commit to its handler's start."""
    from jobledger.bench.pickup import pickup as work
    from jobledger.bench.setup import Setup

    setup = Setup(
        jobs=jobs,
        tenants=tenants,
        concurrency=concurrency,
        processes=processes,
        batch=batch,
        clients=clients,
        unlogged=unlogged,
    )
    _measure("pickup", work, setup, dsn, data, as_json)


def _measure(
    name: str,
    work: Callable[[Bench], Awaitable[None]],
    setup: Setup,
    dsn: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    from jobledger.bench.measurement import measured
    from jobledger.cli import output
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.progress import bars
    from jobledger.worker import loops

    with located(settings_of(dsn, data)) as place, bars() as (say, progress):
        result = loops.run(
            measured(
                name,
                work,
                setup,
                server=place.of_database("postgres") if place.is_embedded else place.dsn,
                dsn_of=place.of_database,
                embedded=place.is_embedded,
                say=say,
                progress=progress,
            )
        )
    if as_json:
        output.document(result)
    else:
        output.facts(_pairs(result))


def _pairs(result: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in result.items():
        pairs += _pairs(value, f"{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return pairs
