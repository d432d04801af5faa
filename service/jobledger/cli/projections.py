"""`projections`: what is folded from the sealed log: where each stands, and seeing to them."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from jobledger.cli.connect import Place
    from jobledger.order.projections import Projection, Standing
    from jobledger.store.pool import Store

_LOOK_S = 0.2

application = typer.Typer(
    help="Projections that are folded from the sealed log: the package's own, and an application's.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The projection's name.", show_default=False)]
AppOption = Annotated[
    str | None,
    typer.Option(
        "--app", help="The application that has them, as module:name. Default: JOBLEDGER_APP.", show_default=False
    ),
]


@application.command("list")
def list_(dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """Say where each projection stands, and how far it is behind; a rebuild has a line of its own."""
    from jobledger.cli import output
    from jobledger.order import projections as register

    async def run(store: Store) -> list[Standing]:
        async with store.connection() as connection:
            return await register.standings(connection, store.shard)

    found = _with_store(run, dsn, data)
    if as_json:
        output.document({"projections": [one._asdict() for one in found]})
        return
    columns = ("name", "version#", "state", "events#", "behind#", "behind for", "as of", "error")
    output.table(columns, (_row(one) for one in found))


@application.command()
def run(
    app: AppOption = None,
    until_settled: Annotated[
        bool, typer.Option("--until-settled", help="End when nothing waits, instead of waiting for it.")
    ] = False,
    dsn: Dsn = None,
    data: Data = None,
) -> None:
    """Fold the projections until ctrl-c. Every worker does this by itself, unless JOBLEDGER_PROJECTIONS is off.

    A process of its own is for folds that would hold up a worker's jobs. Any number may run: one is at each projection.
    """
    from jobledger.order.runner import Runner
    from jobledger.worker.stop import Stopping

    known = _known(app, dsn, data)

    async def go(store: Store) -> None:
        runner = Runner(store, known)
        if until_settled:
            await runner.settle()
            return
        stopping = Stopping()
        with stopping.listening():
            folding = asyncio.create_task(runner.run())
            asked = asyncio.create_task(stopping.asked.wait())
            await asyncio.wait((folding, asked), return_when=asyncio.FIRST_COMPLETED)
            for task in (folding, asked):
                task.cancel()
            await asyncio.wait((folding, asked))

    _with_store(go, dsn, data)


@application.command()
def rebuild(
    name: Name,
    app: AppOption = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave it to the workers, instead of folding along here, with a bar.")
    ] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a projection anew from the whole log, beside the old one, which is read and folded on until the swap.

    Cut off, it goes on where it stood: by any worker, or by this command again. Folds with effects are not made anew.
    """
    from jobledger.cli import output
    from jobledger.order import projections as register

    known = [one for one in _known(app, dsn, data) if one.name == name]

    async def go(store: Store) -> Standing | None:
        async with store.connection() as connection:
            await register.begin(connection, store.shard, name, None, shadow=True)
        return None if no_wait else await _watched(store, name, known)

    done = _with_store(go, dsn, data)
    if as_json:
        output.document({"projection": name, "done": done is not None, **(done._asdict() if done is not None else {})})
    elif done is None:
        output.say(f"{name}: a worker makes it anew; `jobledger projections list` says how far it is.")
    else:
        output.say(f"{name}: version {done.version} made from {done.events:,} events, and in its place.")


@application.command()
def stop(name: Name, dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """Stop a projection, and its rebuild, where they stand; what they hold is still served."""
    _count("stopped", name, "stop", dsn, data, as_json)


@application.command()
def resume(
    name: Name,
    skip: Annotated[
        bool, typer.Option("--skip", help="Go on also where retention dropped what comes next, without that.")
    ] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let a projection that failed, or was stopped, go on where it stands; nothing is lost by the pause."""
    _count("resumed", name, "resume", dsn, data, as_json, skip=skip)


@application.command()
def drop(
    name: Name,
    rebuild_only: Annotated[
        bool, typer.Option("--rebuild-only", help="Give up its rebuild; the projection itself stays.")
    ] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Drop a projection with its tables. An application that still declares it begins it anew."""
    _count("dropped", name, "drop", dsn, data, as_json, shadow_only=rebuild_only)


def _count(word: str, name: str, act: str, dsn: str | None, data: Path | None, as_json: bool, **options: bool) -> None:
    """Do one act of the register, and say whether there was anything to do it to."""
    from jobledger.cli import output
    from jobledger.errors import NotFound
    from jobledger.order import projections as register

    async def go(store: Store) -> int:
        async with store.connection() as connection:
            there = {one.name for one in await register.standings(connection, store.shard)}
            done: int = await getattr(register, act)(connection, store.shard, name, **options)
        if not done and name not in there:
            raise NotFound(
                "There is no projection of this name.", hint="`jobledger projections list` shows those there are."
            )
        return done

    done = _with_store(go, dsn, data)
    if as_json:
        output.document({"projection": name, word: done})
    else:
        output.say(f"{name}: {word}." if done else f"{name}: nothing to be {word}.")


async def _watched(store: Store, name: str, known: list[Projection]) -> Standing:
    """Fold along where this process has the fold, and show how far the rebuild is, until it has taken its place."""
    from jobledger.cli import progress
    from jobledger.errors import CheckFailed
    from jobledger.order import projections as register
    from jobledger.order.runner import Runner

    folding = asyncio.create_task(Runner(store, known).run())
    try:
        with progress.bars() as (say, told):
            if not known:
                say(f"{name} is not of this application: waiting for a worker that has it (--app folds it here).")
            while True:
                async with store.connection() as connection:
                    found = await register.standings(connection, store.shard)
                shadow = next((one for one in found if one.name == name and one.shadow), None)
                if shadow is None:
                    done = next(one for one in found if one.name == name)
                    told(name, done.events, done.events + done.behind)
                    return done
                if shadow.state == "stopped":
                    raise CheckFailed(
                        f"The rebuild of {name} stopped: {shadow.error or 'by an operator'}",
                        hint=f"Mend it, then `jobledger projections resume {name}`; the old one is served as it was.",
                    )
                told(name, shadow.events, shadow.events + shadow.behind)
                await asyncio.sleep(_LOOK_S)
    finally:
        folding.cancel()
        await asyncio.wait([folding])


def _row(one: Standing) -> tuple[Any, ...]:
    from jobledger.cli import output

    name = f"{one.name} (rebuild)" if one.shadow else one.name
    behind = output.span(one.behind_s) if one.behind else None
    return (name, one.version, one.state, one.events, one.behind, behind, one.as_of, one.error)


def _known(app: str | None, dsn: str | None, data: Path | None) -> list[Projection]:
    """Return the projections that this process has the folds of."""
    from jobledger.cli.connect import settings_of
    from jobledger.cli.loading import load_app
    from jobledger.order.projections import built_in

    address = settings_of(dsn, data, app=app).app
    return [*built_in(), *(load_app(address).projections if address is not None else ())]


def _with_store(go: Callable[[Store], Awaitable[Any]], dsn: str | None, data: Path | None) -> Any:
    """Run a coroutine with a store at the place that the options name, and return what it returns."""
    from jobledger.cli.connect import located, settings_of, store_at

    async def connected(place: Place) -> Any:
        async with store_at(place) as store:
            return await go(store)

    with located(settings_of(dsn, data)) as place:
        return asyncio.run(connected(place))
