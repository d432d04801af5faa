"""`jobledger bench fairness | held-snapshot | memory | recovery`: measurements of what goes wrong elsewhere."""
# ruff: noqa: PLC0415 - what is measured is imported when a command runs, so that --help answers at once

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jobledger.cli.bench import application
from jobledger.cli.measuring import (
    Clients,
    Concurrency,
    Partitions,
    Plot,
    Processes,
    Tenants,
    Unlogged,
    measure,
    must_be_writable,
    tell,
)
from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

__all__ = ["application"]


class Part(StrEnum):
    """The parts of the measurement of fairness."""

    newcomers = "newcomers"
    kinds = "kinds"
    sides = "sides"
    behind = "behind"


@application.command()
def fairness(
    part: Annotated[
        list[Part] | None,
        typer.Option(
            "--part",
            help="Only this part; may be given several times. newcomers: claims until a new tenant's job is taken; "
            "kinds: few jobs behind many of another kind; sides: tenants' and global jobs; behind: late commits.",
            show_default=False,
        ),
    ] = None,
    tenants: Annotated[
        list[int] | None,
        typer.Option(
            "--tenants",
            help="newcomers: tenants that wait; may be given several times. Default: 50 and 1000.",
            show_default=False,
        ),
    ] = None,
    claim: Annotated[int, typer.Option("--claim", help="newcomers, behind: jobs a claim asks for.")] = 500,
    trials: Annotated[int, typer.Option("--trials", help="newcomers: new tenants, one after the other.")] = 30,
    many: Annotated[int, typer.Option("--many", help="kinds: jobs of the one kind.")] = 1_000_000,
    few: Annotated[int, typer.Option("--few", help="kinds: jobs of the other kind, behind them.")] = 100,
    waiting: Annotated[int, typer.Option("--waiting", help="sides: waiting jobs of the other side.")] = 100_000,
    jobs: Annotated[int, typer.Option("--jobs", help="sides: jobs whose waits are measured.")] = 4_000,
    concurrency: Concurrency = 1_000,
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Measure who waits how long while others hold nearly all jobs: in claims for new tenants, in seconds for the rest.

    Each part works on databases of its own.
    """
    from jobledger.bench.fairness import PARTS, Fairness
    from jobledger.bench.fairness import fairness as work
    from jobledger.bench.setup import Setup

    asked = Fairness(
        parts=[one.value for one in part] if part else PARTS,
        tenants=tenants or (50, 1_000),
        claim=claim,
        trials=trials,
        many=many,
        few=few,
        waiting=waiting,
        measured=jobs,
    )
    setup = Setup(jobs=jobs, concurrency=concurrency, unlogged=unlogged)
    measure("fairness", partial(work, asked=asked), setup, dsn=dsn, data=data, as_json=as_json, plot=plot)


@application.command("held-snapshot")
def held_snapshot(
    jobs: Annotated[int, typer.Option("--jobs", help="Jobs in each backlog.")] = 300_000,
    tenants: Tenants = 20,
    concurrency: Concurrency = 1_000,
    processes: Processes = 1,
    clients: Clients = 2,
    turns: Annotated[int, typer.Option("--turns", help="Runs of either sort, in turns; figures are medians.")] = 1,
    partitions: Partitions = 0,
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Drain while another session holds a repeatable-read snapshot, beside the same without, each on a fresh database.

    Dead rows then cannot be removed, nor passed over by a mark in the index.
    """
    from jobledger.bench.held_snapshot import held_snapshot as work
    from jobledger.bench.setup import Setup, within

    setup = Setup(
        jobs=jobs,
        tenants=tenants,
        concurrency=concurrency,
        processes=processes,
        batch=2_000,
        clients=clients,
        partitions=partitions,
        unlogged=unlogged,
    )
    within("turns", turns, 1, 100)
    measure("held-snapshot", partial(work, turns=turns), setup, dsn=dsn, data=data, as_json=as_json, plot=plot)


@application.command()
def memory(
    jobs: Annotated[int, typer.Option("--jobs", help="Jobs that the worker drains.")] = 1_000_000,
    tenants: Tenants = 20,
    concurrency: Concurrency = 1_000,
    partitions: Partitions = 0,
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Watch the resident size of a worker that drains many jobs, which are enqueued as it goes.

    The growth is that from a tenth of the jobs to all of them.
    """
    from jobledger.bench.memory import memory as work
    from jobledger.bench.setup import Setup

    setup = Setup(jobs=jobs, tenants=tenants, concurrency=concurrency, partitions=partitions, unlogged=unlogged)
    measure("memory", work, setup, dsn=dsn, data=data, as_json=as_json, plot=plot)


@application.command()
def recovery(
    open_jobs: Annotated[int, typer.Option("--open", help="Open jobs at the kill.")] = 100_000,
    finished: Annotated[int, typer.Option("--finished", help="Finished jobs in the log.")] = 1_000_000,
    kills: Annotated[int, typer.Option("--kills", help="How often the server is killed; figures are medians.")] = 3,
    tenants: Tenants = 20,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            help="Folder in which the server's own folder is made and removed; a finished job takes 1.5 KB. "
            "Default: the system's temporary folder.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    unlogged: Unlogged = True,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Kill a Postgres of its own with SIGKILL under a busy worker, start it, and time the worker's next claim.

    Counted from when the server takes connections again, known to a tenth of a second where Postgres itself takes long.
    """
    import shutil
    import tempfile

    from jobledger.bench.measurement import Place, measured
    from jobledger.bench.recovery import recovery as work
    from jobledger.bench.setup import Setup, within
    from jobledger.cli.progress import bars
    from jobledger.embedded import Server
    from jobledger.errors import InvalidArgument
    from jobledger.worker import loops

    setup = Setup(jobs=max(1, open_jobs), tenants=tenants, unlogged=unlogged)
    within("open", open_jobs, 100, 10_000_000)
    within("finished", finished, 0, 100_000_000)
    within("kills", kills, 1, 20)
    must_be_writable(plot)
    try:
        folder = Path(tempfile.mkdtemp(prefix="jobledger-bench-", dir=scratch))
    except (OSError, ValueError):
        raise InvalidArgument("No folder can be made in the one named by --scratch.") from None
    server = Server(folder / "pg")
    try:
        with bars() as (say, progress):
            server.start()
            place = Place(server.dsn_for("postgres"), server.dsn_for, True, say, progress)
            work_on_it = partial(work, server=server, open_jobs=open_jobs, finished_jobs=finished, kills=kills)
            result, panels = loops.run(measured("recovery", work_on_it, setup, place))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    tell(result, panels, as_json=as_json, plot=plot)
