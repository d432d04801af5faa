"""One step of a projection: its tables made, a batch folded, a shadow swapped in. Each is one transaction."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg

from jobledger.events import Event
from jobledger.order.projections import named, schema_of
from jobledger.store.failures import translated, unreachable
from jobledger.store.pool import ANSWER_S
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.order.projections import Projection
    from jobledger.store.pool import Connection, Store, hung_up_after

BATCH: Final = 50_000
"""Events of a batch at most, but for a single block."""
BATCH_PYTHON: Final = 5_000
PAGE: Final = 2_000
"""Events that a fold in Python is given at a time."""
_PARSED: Final = 250
_FOLD_S: Final = 60
_SILENCE_S: Final = _FOLD_S + ANSWER_S
"""Seconds after which a line that says nothing is dead: the server ends what takes longer than a batch may."""
_SWAP_MS: Final = 200
_NO_LIMIT: Final = "0"
_MESSAGE_MAX: Final = 300


class Step(NamedTuple):
    """What one batch did: the blocks above `after` up to `upto` (None: nothing waited) of so many events."""

    after: int
    upto: int | None
    events: int
    more: bool


class FoldFailed(Exception):  # noqa: N818 - it never leaves the runner
    """A fold raised; where it was, and what, as it is kept."""

    def __init__(self, after: int, upto: int, error: BaseException) -> None:
        """Keep them."""
        super().__init__()
        self.after = after
        self.upto = upto
        self.error = error


class NotMine(Exception):  # noqa: N818 - it never leaves the runner
    """The projection is the owner's, and this role is no member of that."""


@asynccontextmanager
async def _transaction(store: Store) -> AsyncIterator[tuple[Connection, hung_up_after]]:
    """Lend a connection in a transaction, and what counts how long it says nothing.

    Raises:
        Unreachable: the connection was lost, whatever a fold has made of it.
    """
    async with store.attended(_SILENCE_S, isolation="read_committed") as (connection, silence):
        try:
            yield connection, silence
        except Exception:
            if connection.is_closed():
                raise unreachable(store.where) from None
            raise


async def make(store: Store, shard: int, projection: Projection, *, shadow: bool) -> bool:
    """Make the tables of a projection in its schema. False: somebody else is at it, or did it."""
    schema = schema_of(projection.name, shadow=shadow)
    async with _transaction(store) as (connection, silence):
        await _be_owner(connection, projection)
        facts = (shard, projection.name, shadow, projection.version, projection.checksum)
        with translated():
            if not await connection.fetchval(statement("order/projection_make"), *facts):
                return False
        await connection.execute(statement("order/projection_session"), schema, f"{_FOLD_S}s", _NO_LIMIT, "on")
        try:
            await connection.execute(named("projection_schema_drop", schema))
            await connection.execute(named("projection_schema_create", schema))
            await connection.execute(named("projection_schema_grant", schema))
            for text in projection.tables:
                silence.again()
                await connection.execute(text)
        except Exception as error:
            raise FoldFailed(0, 0, error) from error
    return True


async def note_version(store: Store, shard: int, projection: Projection) -> bool:
    """Note that a higher version of a fold with effects takes over where the lower one stands."""
    async with store.connection(ours=True, prompt=True) as connection:
        facts = (shard, projection.name, False, projection.version, projection.checksum)
        with translated():
            return bool(await connection.fetchval(statement("order/projection_make"), *facts))


async def step(
    store: Store, shard: int, name: str, projection: Projection | None, *, shadow: bool, events: int
) -> Step | None:
    """Fold the next blocks; None: another runner is at it, or it is stopped. Without `projection` the fold is SQL.

    Raises:
        FeedReset: the log does not have the checkpoint.
        NotMine: this role is no member of the owner.
        FoldFailed: the fold raised; nothing of the batch is there.
    """
    done: Step | None = None
    try:
        async with _transaction(store) as (connection, _):
            await _be_owner(connection, projection)
            with translated():
                row = await connection.fetchrow(statement("order/projection_take"), shard, name, shadow, events)
            if row is None:
                return None
            if row["upto"] is None:
                return Step(row["after"], None, 0, False)
            done = Step(row["after"], row["upto"], row["events"], row["more"])
            await _fold(connection, shard, schema_of(name, shadow=shadow), projection, done, row["rebuilding"])
    except Exception as error:
        # What a commit raises, such as a deferred constraint, is the fold's, too.
        if done is None or done.upto is None:
            raise
        raise FoldFailed(done.after, done.upto, error) from error
    return done


async def _fold(
    connection: Connection, shard: int, schema: str, projection: Projection | None, done: Step, rebuilding: bool
) -> None:
    waits = "on" if projection is not None and projection.effects else "off"
    await connection.execute(statement("order/projection_session"), schema, f"{_FOLD_S}s", _NO_LIMIT, waits)
    if projection is None or projection.fold is None:
        fold = statement("order/projection_fold").replace("$4", schema)
        await connection.execute(fold, shard, done.after, done.upto)
        return
    async with asyncio.timeout(_FOLD_S):
        await _in_python(connection, shard, projection, done, rebuilding=rebuilding)


async def swap(store: Store, shard: int, projection: Projection) -> bool:
    """Put the shadow's schema in the place of the projection's, in one transaction.

    False: the shadow is behind what it is to replace. A reader that holds a lock on the old tables is waited for 0.2 s
    (`asyncpg.LockNotAvailableError`: try again); those that come meanwhile wait as long, and then find the new ones.
    """
    live, shadow = schema_of(projection.name), schema_of(projection.name, shadow=True)
    async with _transaction(store) as (connection, _):
        await _be_owner(connection, projection)
        await connection.execute(
            statement("order/projection_session"), "pg_catalog", f"{_FOLD_S}s", f"{_SWAP_MS}ms", "on"
        )
        with translated():
            if not await connection.fetchval(statement("order/projection_swap"), shard, projection.name):
                return False
        await connection.execute(named("projection_schema_drop", live))
        await connection.execute(named("projection_schema_rename", live, shadow))
    return True


async def _be_owner(connection: Connection, projection: Projection | None) -> None:
    """Make and fold the package's own projections as the owner, whose functions read them."""
    if (
        projection is not None
        and projection.owners
        and not await connection.fetchval(statement("order/projection_as_owner"))
    ):
        raise NotMine


async def _in_python(
    connection: Connection, shard: int, projection: Projection, done: Step, *, rebuilding: bool
) -> None:
    assert projection.fold is not None and done.upto is not None  # noqa: PT018, S101 - the caller looked
    more = {"rebuilding": rebuilding} if projection.wants_rebuilding else {}
    rows = await connection.fetch(statement("order/sealed_between"), shard, done.after, done.upto)
    for start in range(0, len(rows), PAGE):
        page: list[Event] = []
        for at in range(start, min(start + PAGE, len(rows)), _PARSED):
            page += [Event.from_row(dict(row)) for row in rows[at : min(at + _PARSED, start + PAGE)]]
            # The loop is the worker's: its jobs turn in between.
            await asyncio.sleep(0)
        await projection.fold(page, connection, **more)


def what_failed(error: BaseException) -> str:
    """Return what is kept of a fold's error: its type, the first 300 characters of what it says, and where it was.

    What the server says beside its message, which may quote whole rows, is left out.
    """
    said = error.args[0] if error.args and isinstance(error.args[0], str) else ""
    said = said.splitlines()[0][:_MESSAGE_MAX] if said else ""
    state = getattr(error, "sqlstate", None)
    where = ""
    if not isinstance(error, asyncpg.PostgresError):
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{f' {state}' if state else ''}: {said}{where}"
