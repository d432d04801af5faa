"""`jobledger bench http`: measurements of the service."""
# ruff: noqa: PLC0415 - what is measured is imported when a command runs, so that --help answers at once

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from jobledger.cli.measuring import Plot, Tenants, measure
from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations
from jobledger.cli.ordering import application

__all__ = ["application"]


class Part(StrEnum):
    """The parts of the measurement of the service."""

    enqueue = "enqueue"
    bulk = "bulk"


@application.command()
def http(
    part: Annotated[
        list[Part] | None,
        typer.Option(
            "--part",
            help="Only this part; may be given several times. enqueue: one job a request, beside a bare handler; bulk: "
            "a thousand a request, beside the client's own.",
            show_default=False,
        ),
    ] = None,
    connections: Annotated[int, typer.Option("--connections", help="enqueue: kept connections that ask.")] = 64,
    seconds: Annotated[float, typer.Option("--seconds", help="How long each stretch lasts.")] = 4.0,
    turns: Annotated[int, typer.Option("--turns", help="Stretches of each way; figures are medians.")] = 3,
    tenants: Tenants = 20,
    read: Annotated[
        bool,
        typer.Option("--read", help="Instead: ask the status and list endpoints of a database full of jobs."),
    ] = False,
    work: Annotated[
        bool,
        typer.Option("--work", help="Instead: drain by workers through the service, a hundred jobs a claim."),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option("--jobs", help="read: jobs in the database, one in fifty open; work: a tenth of it is drained."),
    ] = 200_000,
    per_s: Annotated[int, typer.Option("--per-s", help="read: requests a second, each begun when it is due.")] = 50,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
    plot: Plot = None,
) -> None:
    """Measure the service over HTTP, on a port of this machine, with a key, in a process of its own."""
    from jobledger.bench.http import http as whole
    from jobledger.bench.http_read import read as reading
    from jobledger.bench.setup import Setup, within

    within("connections", connections, 1, 1_000)
    within("seconds", seconds, 0.1, 600)
    within("turns", turns, 1, 100)
    within("per-s", per_s, 1, 10_000)
    if read:
        full = Setup(jobs=jobs, tenants=tenants)
        asked = partial(reading, per_s=per_s, seconds=seconds, turns=turns)
        measure("http_read", asked, full, dsn=dsn, data=data, as_json=as_json, plot=plot)
        return
    if work:
        from jobledger.bench.http_work import work as working

        drained = Setup(jobs=max(1, jobs // 10), tenants=tenants)
        measure("http_work", partial(working, turns=turns), drained, dsn=dsn, data=data, as_json=as_json, plot=plot)
        return
    parts = [one.value for one in part or list(Part)]
    asked = partial(whole, parts=parts, connections=connections, seconds=seconds, turns=turns)
    measure("http", asked, Setup(tenants=tenants), dsn=dsn, data=data, as_json=as_json, plot=plot)
