"""`worker`, `tick`: workers for an application, and once what time brings about."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.jobs.app import App
    from jobledger.settings import Settings

_MIB = 1024 * 1024
_TICKS_MAX = 100_000

AppName = Annotated[
    str | None,
    typer.Argument(
        metavar="[APP]", help="The application, as module:name. Default: JOBLEDGER_APP.", show_default=False
    ),
]
AppOption = Annotated[str | None, typer.Option("--app", help="The same, as an option.", show_default=False)]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        "-c",
        help="Jobs at a time in each process. Default: JOBLEDGER_CONCURRENCY, else 100.",
        min=1,
        max=10_000,
    ),
]


def worker(
    app: AppName = None,
    app_option: AppOption = None,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", help="Only this queue; mail=20 gives it a concurrency of its own."),
    ] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", "-k", help="Only this kind of the application.")] = None,
    tenant: Annotated[list[str] | None, typer.Option("--tenant", "-t", help="Only this tenant's jobs.")] = None,
    concurrency: Concurrency = None,
    processes: Annotated[int, typer.Option("--processes", help="So many worker processes.", min=1, max=256)] = 1,
    max_seconds: Annotated[
        str | None, typer.Option("--max-seconds", help="End after so long; claims nothing whose time-out passes it.")
    ] = None,
    max_jobs: Annotated[int | None, typer.Option("--max-jobs", help="End after so many jobs.", min=1)] = None,
    max_memory: Annotated[int | None, typer.Option("--max-memory", help="End above so many MiB.", min=1)] = None,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when no job is due and none runs here.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option("--url", help="Work through the service at this address. Default: JOBLEDGER_URL."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="The API key for it; better as JOBLEDGER_KEY, which no list of processes shows."),
    ] = None,
    dsn: Dsn = None,
    data: Data = None,
) -> None:
    """Run the jobs of an application, out of a database or through a service over HTTP.

    Several --queue, --kind, --tenant may be given.
    SIGTERM or ctrl-c: claims no more, lets jobs finish, hands the others back at no cost; a second one hurries.
    """
    from jobledger.cli import values
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.loading import load_app
    from jobledger.errors import InvalidArgument
    from jobledger.worker.limits import Limits
    from jobledger.worker.processes import REPLACE, die_with_supervisor, supervised

    die_with_supervisor()
    if url is not None and (dsn is not None or data is not None):
        raise InvalidArgument("A worker has either a database or the address of a service.")
    settings = settings_of(dsn, data, app=app or app_option, url=url, key=key)
    through = settings.url is not None and dsn is None and data is None
    bound: dict[str, Any] = {
        "queues": _queues(queue) if queue else None,
        "kinds": kind or None,
        "tenants": tenant or None,
        "concurrency": concurrency,
        "until_empty": until_empty,
        "limits": Limits(
            max_jobs=max_jobs,
            max_seconds=values.seconds("--max-seconds", max_seconds),
            max_memory=max_memory * _MIB if max_memory else None,
        ),
    }
    application = load_app(settings.app)
    with nullcontext() if through else located(settings) as place:
        if processes > 1:
            raise typer.Exit(_supervise(place, settings, processes, bound["limits"].max_seconds))
        reason = _run(place, settings, application, bound)
    if supervised() and reason in _replaceable():
        raise typer.Exit(REPLACE)


def tick(dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """Do once what time brings about: promote, rescue, time out, kill, and make the log's partitions ahead.

    Every worker does this by itself; from cron it does it where none runs.
    """
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at, located, settings_of

    async def run(place: Place) -> dict[str, int]:
        async with connection_at(place.dsn) as connection:
            return await _ticks(connection, place.settings.shard)

    with located(settings_of(dsn, data)) as place:
        done = asyncio.run(run(place))
    if as_json:
        output.document(done)
    else:
        output.facts([(name.replace("_", " "), count) for name, count in done.items()])


async def _ticks(connection: Any, shard: int) -> dict[str, int]:
    """Tick until nothing more is due and every kill date was looked at; return the sums."""
    from jobledger.store.recovery import take_snapshot
    from jobledger.store.tick import tick as one

    names = ("promoted", "rescued", "timed_out", "killed", "held", "released_holds", "repaired", "partitions")
    sums = dict.fromkeys(names, 0)
    after = None
    for _ in range(_TICKS_MAX):
        result = await one(connection, shard, after)
        for name in names:
            sums[name] += getattr(result, name)
        after = result.next
        if after is None and not result.found_work:
            break
    if result.snapshot_due:
        await take_snapshot(connection, shard)
    return sums


def _run(place: Place | None, settings: Settings, application: App, bound: dict[str, Any]) -> str:
    """Run one worker in this process until it ends, and return why it did; without a place through a service."""
    from jobledger.telemetry import configure
    from jobledger.worker import loops
    from jobledger.worker.worker import Worker

    end = configure(settings if place is None else place.settings)
    try:
        if place is None:
            worker = Worker(application, settings=settings, **bound)
        else:
            worker = Worker(application, place.dsn, settings=place.settings, **bound)
        return loops.run(worker.run())
    finally:
        end()


def _supervise(place: Place | None, settings: Settings, processes: int, until_s: float | None) -> int:
    """Run this same command in several processes, and put fresh ones in the place of those that end."""
    from jobledger.telemetry import configure
    from jobledger.worker.processes import Supervisor

    # The children share this process's embedded Postgres; addresses and keys go by the environment, where no list of
    # processes shows them.
    words = sys.argv[1:]
    for option in ("--processes", "--data", "--key", "--url"):
        words = _without(words, option)
    if place is not None:
        environment = {"JOBLEDGER_DSN": place.dsn, "JOBLEDGER_URL": ""}
    else:
        key = settings.key.get_secret_value() if settings.key is not None else ""
        environment = {"JOBLEDGER_URL": settings.url or "", "JOBLEDGER_KEY": key}
    end = configure(settings)
    try:
        command = [sys.executable, "-m", "jobledger", *words]
        return asyncio.run(Supervisor(command, processes, env=environment, until_s=until_s).run())
    finally:
        end()


def _without(words: list[str], option: str) -> list[str]:
    """Return the words of a command without an option and its value."""
    left: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            left.append(word)
    return left


def _queues(given: list[str]) -> dict[str, int | None]:
    from jobledger.errors import InvalidArgument

    queues: dict[str, int | None] = {}
    for item in given:
        name, equals, number = item.partition("=")
        if not name or (equals and not (number.isascii() and number.isdigit() and 0 < int(number) <= 10_000)):
            raise InvalidArgument("--queue is a name, or name=concurrency.", hint="--queue mail=20 --queue reports")
        queues[name] = int(number) if equals else None
    return queues


def _replaceable() -> frozenset[str]:
    from jobledger.worker.worker import REPLACEABLE

    return REPLACEABLE
