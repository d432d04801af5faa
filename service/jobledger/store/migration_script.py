"""The same migrations as one SQL script, for psql, Alembic or Django.

The script does what `migrate` does and leaves the same records, so a later `migrate` finds nothing to do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobledger import __version__
from jobledger.errors import SchemaError
from jobledger.store.migrate import LOCK_TIMEOUT
from jobledger.store.migration_files import read_sql_files
from jobledger.store.migration_plan import Applied, Plan, plan
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobledger.store.migration_files import SqlFiles


def script(
    applied: Applied | None = None,
    *,
    files: SqlFiles | None = None,
    version: str = __version__,
    transactions: bool = True,
) -> str:
    """Return one script with everything that a database lacks; without `applied` it is for an empty one.

    With `transactions` it commits after each step, as psql likes it. Without, it is plain statements for a tool that
    runs it inside a transaction of its own (Alembic, Django).

    Raises:
        SchemaNewer, SchemaChanged: as for `migrate`.
        SchemaError: a migration must run outside a transaction, and `transactions` is off.
    """
    todo = plan(files or read_sql_files(), applied or Applied(), version)
    return "\n".join(_parts(todo, version, transactions)) + "\n"


def bound(name: str, *values: object) -> str:
    """Return a statement with its parameters $1, $2 … written in as literals."""

    def literal(match: re.Match[str]) -> str:
        value = values[int(match.group(1)) - 1]
        if isinstance(value, int):
            return str(value)
        text = str(value)
        if "\\" in text:
            raise SchemaError("A literal of the script would hold a backslash.")
        return "'" + text.replace("'", "''") + "'"

    return re.sub(r"\$(\d+)", literal, statement(name)) + ";"


def _parts(todo: Plan, version: str, transactions: bool) -> Iterator[str]:
    yield f"-- jobledger {version}: {len(todo.migrations)} migrations, {len(todo.projections)} projection files."
    if not todo:
        yield "-- Nothing is missing."
        return
    begin, commit = ("begin;\n", "commit;\n") if transactions else ("", "")
    yield begin + "\n".join(bound(name) for name in ("migration_schema", "migration_table", "projection_table"))
    yield commit
    settings = bound("migration_settings", LOCK_TIMEOUT) if transactions else ""
    for migration in todo.migrations:
        yield f"-- {migration.name}"
        inside = migration.in_transaction
        if not inside and not transactions:
            raise SchemaError(
                f"{migration.name} must run outside a transaction.",
                hint="Print the script with transactions, for psql.",
            )
        record = bound("migration_record", migration.number, migration.name, migration.checksum, version)
        yield f"{begin}{settings}" if inside else ""
        yield f"{_ended(migration.text)}\n{record}"
        yield commit if inside else ""
    if todo.projections or todo.forgotten:
        yield f"{begin}{settings}"
        yield from _projections(todo, version)
        yield commit
    yield bound("partitions_ensure", 0)


def _projections(todo: Plan, version: str) -> Iterator[str]:
    for table in todo.drops:
        yield statement("projection_drop_table").replace("$1", table) + ";"
    for file in todo.projections:
        yield f"-- {file.path}\n{_ended(file.text)}"
        yield bound("projection_record", file.path, file.checksum, version)
    for path in todo.forgotten:
        yield bound("projection_forget", path)
    for name in todo.rebuilds:
        yield bound("projection_rebuild", name)


def _ended(text: str) -> str:
    """End the text with a semicolon, also after a comment on its last line."""
    return f"{text.rstrip()}\n;" if not text.rstrip().endswith(";") else text.rstrip()
