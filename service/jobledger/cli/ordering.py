"""`jobledger bench order`: the order of the log under writers that make it hard."""
# ruff: noqa: PLC0415 - what is measured is imported when a command runs, so that --help answers at once

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from jobledger.cli.measuring import Partitions, Plot, measure
from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations
from jobledger.cli.streaming import application

__all__ = ["application"]


@application.command()
def order(
    seconds: Annotated[float, typer.Option("--seconds", help="How long is written.")] = 20.0,
    writers: Annotated[int, typer.Option("--writers", help="Connections that write at a time.")] = 16,
    readers: Annotated[int, typer.Option("--readers", help="Readers of the whole log that come and go.")] = 4,
    straggle: Annotated[
        float, typer.Option("--straggle", help="Seconds for which a straggler keeps its transaction open.")
    ] = 3.0,
    partitions: Partitions = 0,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Seal and read under early transaction ids, rollbacks, savepoints, two-phase commit and stragglers.

    Fails if an event is lost, repeated or turned round within its job, or if two readers have different orders.
    Two-phase commit only where the server's max_prepared_transactions allows it.
    """
    from jobledger.bench.order import order as work
    from jobledger.bench.setup import Setup, within

    within("seconds", seconds, 0.1, 3600)
    within("writers", writers, 1, 64)
    within("readers", readers, 1, 64)
    within("straggle", straggle, 0, 60)
    work = partial(work, seconds=seconds, writers=writers, readers=readers, straggle_s=straggle)
    measure("order", work, Setup(partitions=partitions), dsn=dsn, data=data, as_json=as_json, plot=plot)
