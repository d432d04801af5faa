"""`jobledger migrate`: bring a database to this version, or say, print or check what that means."""
# ruff: noqa: PLC0415 - the store is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.store.drift import Difference
    from jobledger.store.migration_plan import Plan

application = typer.Typer(
    help="Bring the database to this version: numbered migrations, then changed projections.",
    invoke_without_command=True,
    rich_markup_mode="rich",
)


@application.callback()
def migrate(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Bring the database to this version: numbered migrations, then changed projections.

    One runner works at a time; a second one waits and then finds nothing to do. Behind a transaction pooler it goes
    to JOBLEDGER_LISTEN_DSN, the address of the server itself.
    """
    if context.invoked_subcommand is not None:
        return
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at, located, migrated, settings_of
    from jobledger.store.migrate import pending

    async def run(place: Place) -> Plan:
        if not dry_run:
            return await migrated(place, None if as_json else output.note)
        async with connection_at(place.dsn) as connection:
            return await pending(connection)

    with located(settings_of(dsn, data)) as place:
        plan = asyncio.run(run(place))
    if as_json:
        output.document({**_document(plan), "dry_run": dry_run})
    elif not plan:
        output.say("Nothing to do: the database is at this version.")
    else:
        output.say("\n".join(plan.lines()))
        output.say("Nothing was changed (dry run)." if dry_run else "Done.")


@application.command("print")
def print_(
    pending: Annotated[
        bool, typer.Option("--pending", help="Only what this database lacks. Default: all, for an empty database.")
    ] = False,
    transactions: Annotated[
        bool,
        typer.Option(help="Commit after each step, as for psql. Off for tools with a transaction of their own."),
    ] = True,
    dsn: Dsn = None,
    data: Data = None,
) -> None:
    """Print the migrations as one SQL script, for psql, Alembic or Django."""
    import sys

    from jobledger.store.migration_script import script

    if not pending:
        sys.stdout.write(script(transactions=transactions))
        return
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.store.migrate import applied

    async def run(address: str) -> str:
        async with connection_at(address) as connection:
            return script(await applied(connection), transactions=transactions)

    with located(settings_of(dsn, data)) as place:
        sys.stdout.write(asyncio.run(run(place.dsn)))


@application.command()
def check(dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """Compare the database with a freshly migrated one and print what differs; status 7 if anything does.

    Makes a scratch database for it, and drops it again: the role needs CREATEDB.
    """
    from jobledger.cli import output
    from jobledger.cli.connect import located, session_dsn, settings_of
    from jobledger.errors import SchemaDrift
    from jobledger.store.drift import drift

    async def run(place: Place) -> list[Difference]:
        return await drift(await session_dsn(place))

    with located(settings_of(dsn, data)) as place:
        found = asyncio.run(run(place))
    if as_json:
        output.document({"drift": [one._asdict() for one in found]})
    elif found:
        output.say("\n".join(str(one) for one in found))
    else:
        output.say("The database is as a freshly migrated one.")
    if found:
        raise SchemaDrift(
            f"The database differs from a freshly migrated one in {len(found)} things.",
            hint="Run `jobledger migrate`; what then still differs was changed by hand.",
        )


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "migrations": [migration.name for migration in plan.migrations],
        "projections": sorted(plan.changed),
        "rebuilds": list(plan.rebuilds),
        "forgotten": list(plan.forgotten),
    }
