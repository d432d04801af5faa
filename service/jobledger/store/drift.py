"""`migrate check`: the database against a freshly migrated one, made beside it and dropped again."""

from __future__ import annotations

import difflib
import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from jobledger import __version__
from jobledger.errors import Forbidden, SchemaDrift, SchemaMissing
from jobledger.store.failures import place_of, translated
from jobledger.store.migrate import migrate, pending
from jobledger.store.migration_files import read_sql_files
from jobledger.store.pool import connect
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.store.migration_files import SqlFiles
    from jobledger.store.pool import Connection

    Description = Mapping[tuple[str, str], str]

_SHOWN_LINES = 6
_MONTH = re.compile(r"_\d{4}_\d{2}$")


class Difference(NamedTuple):
    """One thing that is missing, extra or different; `lines` show where the definitions part (- fresh, + this one)."""

    what: str
    kind: str
    name: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it, one line and the differing ones below."""
        return "\n".join([f"{self.what:<9} {self.kind} {self.name}", *(f"    {line}" for line in self.lines)])


async def drift(dsn: str, *, files: SqlFiles | None = None, version: str = __version__) -> list[Difference]:
    """Return how the database at `dsn` differs from a freshly migrated one; empty when it does not.

    Compared are tables, columns, indexes, constraints, triggers, policies, views, functions with their bodies, types,
    sequences and grants of the schema, and each partition of the log against a fresh one. The user needs CREATEDB.

    Raises:
        SchemaMissing: the database was never migrated.
        SchemaNewer, SchemaChanged: as for `migrate`.
        Forbidden: the user may not create a database.
    """
    files = files or read_sql_files()
    connection = await connect(dsn, application_name="jobledger-check")
    scratch = f"jobledger_check_{secrets.token_hex(6)}"
    try:
        with translated(place_of(dsn)):
            missing = await pending(connection, files=files, version=version)
            mine = await described(connection)
            if not mine:
                raise SchemaMissing
            try:
                await connection.execute(await connection.fetchval(statement("scratch_create"), scratch))
            except asyncpg.InsufficientPrivilegeError:
                raise Forbidden(
                    "The check makes a scratch database, and this user may not create one.",
                    hint="Run it as a user with CREATEDB.",
                ) from None
            try:
                fresh = await _freshly_migrated(dsn, scratch, files, version)
            finally:
                await connection.execute(await connection.fetchval(statement("scratch_drop"), scratch))
    finally:
        await connection.close()
    lines = tuple(missing.lines())
    return [Difference("missing", "migrations", "not applied yet", lines)] * bool(lines) + differences(mine, fresh)


async def check(dsn: str, *, files: SqlFiles | None = None, version: str = __version__) -> None:
    """Raise what `drift` finds.

    Raises:
        SchemaDrift: something differs; `detail["drift"]` holds it, one text a difference.
    """
    found = await drift(dsn, files=files, version=version)
    if found:
        raise SchemaDrift(
            f"The database differs from a freshly migrated one in {len(found)} things.",
            hint="Run `jobledger migrate`; what then still differs was changed by hand.",
            detail={"drift": [str(one) for one in found]},
        )


async def described(connection: Connection) -> Description:
    """Return the schema as definitions by kind and name."""
    rows = await connection.fetch(statement("describe_schema"))
    found: dict[tuple[str, str], str] = {}
    for row in rows:
        found[row["kind"], row["name"]] = row["definition"] or ""
    return found


def differences(mine: Description, fresh: Description) -> list[Difference]:
    """Compare two descriptions; partitions are compared with any fresh one of the same table, not by name."""
    models = {definition for (kind, _), definition in fresh.items() if kind == "partition"}
    found: list[Difference] = []
    for key in sorted(mine.keys() | fresh.keys()):
        kind, name = key
        if kind == "partition":
            # Which months have a partition depends on the day; the partition of control streams is always there.
            if key not in mine and not _MONTH.search(name):
                found.append(Difference("missing", kind, name))
            elif key in mine and mine[key] not in models:
                model = next((one for one in sorted(models) if one.split("\n")[0] == mine[key].split("\n")[0]), "")
                found.append(Difference("differs", kind, name, _parting(model, mine[key])))
        elif key not in mine:
            found.append(Difference("missing", kind, name))
        elif key not in fresh:
            found.append(Difference("extra", kind, name))
        elif mine[key] != fresh[key]:
            found.append(Difference("differs", kind, name, _parting(fresh[key], mine[key])))
    return found


async def _freshly_migrated(dsn: str, database: str, files: SqlFiles, version: str) -> Description:
    # The name goes beside the address, not into it: the forms of an address are many.
    connection = await connect(dsn, application_name="jobledger-check", database=database)
    try:
        await migrate(connection, files=files, version=version, say=_silently)
        return await described(connection)
    finally:
        await connection.close()


def _silently(_: str) -> None:
    """A scratch database's migrations are no news."""


def _parting(fresh: str, mine: str) -> tuple[str, ...]:
    changed = [
        line
        for line in difflib.unified_diff(fresh.splitlines(), mine.splitlines(), lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    if len(changed) > _SHOWN_LINES:
        changed = [*changed[:_SHOWN_LINES], f"… and {len(changed) - _SHOWN_LINES} lines more"]
    return tuple(changed)
