"""A bare single-row insert: what a single enqueue is measured against.

The same arguments of the same job, by the same driver, in a transaction of its own, awaited, into a plain table with a
primary key and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobledger.bench.noop import KIND
from jobledger.ids import new_id
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from jobledger.store.pool import Connection

ARGUMENTS: Final = "{}"


class BareInserts:
    """Inserts one row after the other on one connection."""

    def __init__(self, connection: Connection) -> None:
        """Insert by this connection, whose driver prepares the statement once."""
        self._connection = connection
        self._insert = statement("bench/bare_insert")

    async def one(self, tenant: str) -> None:
        """Insert a row and wait for its commit."""
        await self._connection.execute(self._insert, new_id(), KIND, ARGUMENTS, tenant)


async def make_table(connection: Connection) -> None:
    """Make the table anew, empty."""
    await connection.execute(statement("bench/bare_drop"))
    await connection.execute(statement("bench/bare_create"))
