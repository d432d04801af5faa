"""What every `jobledger bench` command does with a measurement: finds the server, runs it, prints it, draws it."""
# ruff: noqa: PLC0415 - what is measured is imported when a command runs, so that --help answers at once

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from jobledger.bench.measurement import Bench
    from jobledger.bench.plot import Panel
    from jobledger.bench.setup import Setup

Tenants = Annotated[int, typer.Option("--tenants", help="Tenants that take turns.")]
Clients = Annotated[int, typer.Option("--clients", help="Connections that enqueue at a time.")]
Concurrency = Annotated[int, typer.Option("--concurrency", help="Jobs at a time in each worker process.")]
Processes = Annotated[int, typer.Option("--processes", help="Worker processes.", min=1)]
Partitions = Annotated[
    int, typer.Option("--partitions", help="Attach partitions of the log until it has so many; 0 leaves those made.")
]
Unlogged = Annotated[bool, typer.Option("--unlogged/--logged", help="How the live tables are.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Draw what was measured into this SVG file.", metavar="FILE")]


def measure(
    name: str,
    work: Callable[[Bench], Awaitable[object]],
    setup: Setup,
    *,
    dsn: str | None,
    data: Path | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Run a measurement on a database of its own beside the command's, print its result, and draw it."""
    from jobledger.bench.measurement import Place, measured
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.progress import bars
    from jobledger.worker import loops

    must_be_writable(plot)
    with located(settings_of(dsn, data)) as found, bars() as (say, progress):
        place = Place(
            server=found.of_database("postgres") if found.is_embedded else found.dsn,
            dsn_of=found.of_database,
            embedded=found.is_embedded,
            say=say,
            progress=progress,
        )
        result, panels = loops.run(measured(name, work, setup, place))
    tell(result, panels, as_json=as_json, plot=plot)


def tell(result: dict[str, Any], panels: Sequence[Panel], *, as_json: bool, plot: Path | None) -> None:
    """Print a result, and draw it if that was asked for."""
    from jobledger.bench.plot import svg
    from jobledger.cli import output

    if plot is not None:
        plot.write_text(svg(f"jobledger bench {result['bench']}", panels), encoding="utf-8")
    if as_json:
        output.document(result)
    else:
        output.facts(_pairs(result))


def must_be_writable(plot: Path | None) -> None:
    """Refuse a file that cannot be written before anything is measured.

    Raises:
        InvalidArgument: its folder is not there or closed, or it is a folder itself.
    """
    import os

    from jobledger.errors import InvalidArgument

    if plot is None:
        return
    try:
        fit = plot.parent.is_dir() and not plot.is_dir() and os.access(plot if plot.exists() else plot.parent, os.W_OK)
    except (OSError, ValueError):
        fit = False
    if not fit or not plot.name:
        raise InvalidArgument("The file to draw into cannot be written.", hint="Name a file in a folder that is there.")


def _pairs(result: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return what stands in a result as lines for people: a spread on one line, the runs of a list side by side."""
    from jobledger.bench.quantiles import SPREAD
    from jobledger.cli.output import word

    pairs: list[tuple[str, Any]] = []
    for name, value in result.items():
        if isinstance(value, dict) and tuple(value) == SPREAD:
            pairs.append((prefix + name, "  ".join(f"{part} {word(found)}" for part, found in value.items())))
        elif isinstance(value, dict):
            pairs += _pairs(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            pairs += _pairs(_side_by_side(value), f"{prefix}{name}.")
        elif value != []:
            pairs.append((prefix + name, value))
    return pairs


def _side_by_side(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return of each plain figure those of all runs; what is made of several stands in the JSON alone."""
    plain = [name for name, value in runs[0].items() if not isinstance(value, dict | list)]
    return {name: [run.get(name) for run in runs] for name in plain}
