"""`jobledger bench sse`: the service's stream of events under many clients."""
# ruff: noqa: PLC0415 - what is measured is imported when a command runs, so that --help answers at once

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from jobledger.cli.following import application
from jobledger.cli.measuring import Plot, Tenants, measure
from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

__all__ = ["application"]


@application.command()
def sse(
    clients: Annotated[int, typer.Option("--clients", help="Clients, each of one tenant, in turns.")] = 1_000,
    rate: Annotated[float, typer.Option("--events-per-s", help="Events a second.")] = 500.0,
    tenants: Tenants = 100,
    seconds: Annotated[float, typer.Option("--seconds", help="How long events are appended.")] = 20.0,
    slow: Annotated[
        int, typer.Option("--slow", help="Clients beside that follow every tenant and read nothing until the end.")
    ] = 5,
    patience: Annotated[
        float, typer.Option("--patience", help="Seconds after which the service cuts off who takes in nothing.")
    ] = 5.0,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Time events from their append to the clients of a service that is a process of its own.

    Fails unless each client gets all of its own, once, and each slow one the rest by its last id.
    """
    from jobledger.bench.setup import Setup, within
    from jobledger.bench.sse import sse as work

    within("clients", clients, 1, 10_000)
    within("events-per-s", rate, 0.1, 10_000)
    within("seconds", seconds, 0.1, 3600)
    within("slow", slow, 0, 1_000)
    within("patience", patience, 0.1, 600)
    setup = Setup(jobs=max(1, round(rate * seconds)), tenants=tenants)
    work = partial(work, clients=clients, rate=rate, slow=slow, write_s=patience)
    measure("sse", work, setup, dsn=dsn, data=data, as_json=as_json, plot=plot)
