"""`jobledger bench`: measurements on a database of their own; the result on stdout, progress on stderr."""
# ruff: noqa: PLC0415 - what is measured is imported when a command runs, so that --help answers at once

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from jobledger.cli.measuring import (
    Clients,
    Concurrency,
    Partitions,
    Plot,
    Processes,
    Tenants,
    Unlogged,
    measure,
)
from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

application = typer.Typer(
    help="Measure this machine: always with its floor, the rows a second of a bare batch insert, beside it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@application.command()
def drain(
    jobs: Annotated[int, typer.Option("--jobs", help="Jobs in the backlog.")] = 100_000,
    tenants: Tenants = 20,
    concurrency: Concurrency = 1_000,
    processes: Processes = 1,
    batch: Annotated[int, typer.Option("--batch", help="Jobs a transaction while the backlog is filled.")] = 2_000,
    clients: Clients = 2,
    partitions: Partitions = 0,
    paused: Annotated[int, typer.Option("--paused", help="Paused tenants beside, each with a job.")] = 0,
    waiting: Annotated[int, typer.Option("--waiting", help="Jobs beside that are scheduled for far ahead.")] = 0,
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
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
        partitions=partitions,
        paused=paused,
        waiting=waiting,
        unlogged=unlogged,
    )
    measure("drain", work, setup, dsn=dsn, data=data, as_json=as_json, plot=plot)


@application.command()
def enqueue(
    jobs: Annotated[int, typer.Option("--jobs", help="Jobs to enqueue.")] = 100_000,
    tenants: Tenants = 20,
    concurrency: Concurrency = 1_000,
    processes: Annotated[int, typer.Option("--processes", help="Worker processes that run the jobs meanwhile.")] = 0,
    batch: Annotated[int, typer.Option("--batch", help="Jobs a transaction; 1 is the call for a single job.")] = 1_000,
    clients: Clients = 2,
    all_ways: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every way in turns: batches, single by one connection and by 32, each without and with idempotency "
            "keys, beside the floor and a bare single-row insert.",
        ),
    ] = False,
    seconds: Annotated[float, typer.Option("--seconds", help="With --all: how long each stretch lasts.")] = 3.0,
    turns: Annotated[int, typer.Option("--turns", help="With --all: stretches of each way; figures are medians.")] = 3,
    partitions: Partitions = 0,
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Hand in jobs from several connections, each batch a transaction of its own.

    With --all every figure of enqueuing in one run; --jobs and --processes then do not count.
    """
    from jobledger.bench.enqueue import enqueue as one_way
    from jobledger.bench.enqueue import enqueue_all_ways
    from jobledger.bench.setup import Setup, within

    setup = Setup(
        jobs=jobs,
        tenants=tenants,
        concurrency=concurrency,
        processes=processes,
        batch=batch,
        clients=clients,
        partitions=partitions,
        unlogged=unlogged,
    )
    within("seconds", seconds, 0.01, 600)
    within("turns", turns, 1, 100)
    work = partial(enqueue_all_ways, seconds=seconds, turns=turns) if all_ways else one_way
    measure("enqueue", work, setup, dsn=dsn, data=data, as_json=as_json, plot=plot)


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
    notify: Annotated[
        Literal["off", "idle", "always"], typer.Option("--notify", help="Whether enqueuing wakes the workers.")
    ] = "idle",
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
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
        notify=notify,
    )
    measure("pickup", work, setup, dsn=dsn, data=data, as_json=as_json, plot=plot)


@application.command()
def compare(
    command: Annotated[
        str,
        typer.Argument(
            help="The peer's command, {dsn} where the address of its empty database goes. No shell runs it.",
            show_default=False,
        ),
    ],
    jobs: Annotated[int, typer.Option("--jobs", help="Jobs in our backlog.")] = 100_000,
    tenants: Tenants = 20,
    concurrency: Concurrency = 1_000,
    processes: Processes = 1,
    turns: Annotated[int, typer.Option("--turns", help="Runs of either side, in turns.")] = 3,
    field: Annotated[
        str | None,
        typer.Option(
            "--field",
            help="Name of the rate in the peer's line of JSON. Default: the first of jobs_per_s, jobs_per_second, "
            "throughput, rate.",
            show_default=False,
        ),
    ] = None,
    patience: Annotated[float, typer.Option("--patience", help="Seconds that a run of the peer may take.")] = 600.0,
    partitions: Partitions = 0,
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Run our drain and a peer's command in turns on the same server, each time on a fresh database.

    The last line of JSON that the command prints holds its rate. Medians of both sides, and their ratio.
    """
    from jobledger.bench.compare import compare as work
    from jobledger.bench.compare import words_of
    from jobledger.bench.setup import Setup, within

    setup = Setup(
        jobs=jobs,
        tenants=tenants,
        concurrency=concurrency,
        processes=processes,
        batch=2_000,
        partitions=partitions,
        unlogged=unlogged,
    )
    words_of(command)
    within("turns", turns, 1, 100)
    within("patience", patience, 0.1, 86_400)
    work = partial(work, command=command, turns=turns, field=field, timeout_s=patience)
    measure("compare", work, setup, dsn=dsn, data=data, as_json=as_json, plot=plot)
