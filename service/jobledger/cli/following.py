"""`jobledger bench follow | catchup`: measurements of reading the log."""
# ruff: noqa: PLC0415 - what is measured is imported when a command runs, so that --help answers at once

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from jobledger.cli.endurance import application
from jobledger.cli.measuring import Plot, Unlogged, measure
from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

__all__ = ["application"]


@application.command()
def follow(
    rate: Annotated[
        float, typer.Option("--rate", help="Events appended a second, each in its own transaction.")
    ] = 1_000,
    seconds: Annotated[float, typer.Option("--seconds", help="For how long.")] = 10.0,
    readers: Annotated[
        int, typer.Option("--readers", help="Subscribers in one process; more than one read one tenant each.")
    ] = 1,
    tenants: Annotated[int, typer.Option("--tenants", help="Tenants that the events are of, in turns.")] = 100,
    held: Annotated[
        bool, typer.Option("--held", help="Another session keeps a transaction open all the while.")
    ] = False,
    clients: Annotated[int, typer.Option("--clients", help="Connections that append; 16 at most.")] = 8,
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Time events from their append to live subscribers, and see that each gets all of its own, once.

    A process of its own appends, and seals. The clock begins at the moment in the event, before its commit.
    """
    from jobledger.bench.follow import follow as work
    from jobledger.bench.setup import Setup, within

    within("rate", rate, 0.1, 100_000)
    within("seconds", seconds, 0.1, 3_600)
    within("readers", readers, 1, 10_000)
    jobs = max(1, min(round(rate * seconds), 10_000_000))
    setup = Setup(jobs=jobs, tenants=tenants, clients=clients, unlogged=unlogged)
    work = partial(work, readers=readers, rate=rate, held=held)
    measure("follow", work, setup, dsn=dsn, data=data, as_json=as_json, plot=plot)


@application.command()
def catchup(
    events: Annotated[int, typer.Option("--events", help="Events in the log, three a job.")] = 1_000_000,
    tenant_share: Annotated[
        float, typer.Option("--tenant-share", help="The part of them that is one tenant's; all tenants have as many.")
    ] = 0.001,
    batch: Annotated[int, typer.Option("--batch", help="Jobs a transaction while the log is written.")] = 200,
    turns: Annotated[int, typer.Option("--turns", help="Times that each reader reads; figures are medians.")] = 3,
    unlogged: Unlogged = True,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Read a log from its beginning to its end: everything, and what one tenant has of it.

    The log is that of finished jobs, each block as large as a batch.
    """
    from jobledger.bench.catchup import catchup as work
    from jobledger.bench.setup import Setup, within

    within("tenant-share", tenant_share, 0.00001, 1)
    within("turns", turns, 1, 100)
    within("events", events, 3, 30_000_000)
    setup = Setup(jobs=events // 3, tenants=round(1 / tenant_share), batch=batch, unlogged=unlogged)
    measure("catchup", partial(work, turns=turns), setup, dsn=dsn, data=data, as_json=as_json, plot=plot)
