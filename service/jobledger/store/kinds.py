"""Kinds as the database knows them: what a worker or client registers, and what is looked up of one."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from jobledger.errors import Forbidden, InvalidArgument
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from jobledger.store.pool import Connection


class RegisteredKind(NamedTuple):
    """A kind as a worker registered it; the schema is null for one that was never described."""

    name: str
    version: int
    schema: Mapping[str, Any] | None


class StatedKind(NamedTuple):
    """A kind as its application states it: the schema of its arguments, and defaults that differ from the service's."""

    name: str
    version: int
    schema: Mapping[str, Any]
    aliases: tuple[str, ...]
    defaults: Mapping[str, Any]


async def registered_kind(connection: Connection, shard: int, name: str) -> RegisteredKind | None:
    """Return what is registered under a name or alias; None also where this role may not read it."""
    try:
        with translated():
            async with _apart(connection):
                row = await connection.fetchrow(statement("registered_kind"), shard, name)
    except Forbidden:
        return None
    if row is None:
        return None
    return RegisteredKind(row["name"], row["version"], orjson.loads(row["schema"]) if row["schema"] else None)


async def register_kinds(connection: Connection, shard: int, kinds: Iterable[StatedKind]) -> list[str]:
    """Tell the database what each kind is; return the names of those that were new or had changed.

    Raises:
        Forbidden: this role may not register kinds.
        InvalidArgument: a name is another kind's, or the version is lower than the one registered.
    """
    changed = []
    for kind in kinds:
        try:
            schema, defaults = orjson.dumps(kind.schema).decode(), orjson.dumps(kind.defaults).decode()
        except (TypeError, RecursionError):
            raise InvalidArgument(
                "The schema or the defaults of a kind have no JSON form.", hint="Whole numbers have at most 64 bits."
            ) from None
        facts = (shard, kind.name, kind.version, schema, list(kind.aliases), defaults)
        with translated():
            async with _apart(connection):
                if await connection.fetchval(statement("register_kind"), *facts):
                    changed.append(kind.name)
    return changed


def _apart(connection: Connection) -> AbstractAsyncContextManager[object]:
    """Return a savepoint where the caller's transaction is open: being refused must not end it. Else nothing.

    One statement is a transaction by itself, and on a line that dies nobody waits for the end of another around it.
    """
    return connection.transaction() if connection.is_in_transaction() else nullcontext()
