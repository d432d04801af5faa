"""Run what is due, here and now, and tell what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from jobledger.jobs.client import Client
from jobledger.store.failures import translated
from jobledger.store.statements import statement
from jobledger.store.tick import tick
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.jobs.app import App
    from jobledger.store.pool import Store

_ROUNDS_LIMIT: Final = 100
_TICKS_LIMIT: Final = 10_000


class Attempt(NamedTuple):
    """How one attempt ended: `outcome` is the event's name without `job.`, such as `succeeded` or `snoozed`."""

    job: UUID
    tenant: str
    kind: str
    number: int | None
    outcome: str
    data: dict[str, Any]

    @property
    def result(self) -> Any:
        """What the handler returned, as JSON."""
        return self.data.get("result")

    @property
    def error(self) -> dict[str, Any] | None:
        """Type, message, traceback and class of the failure."""
        return self.data.get("error")


@dataclass(frozen=True, slots=True)
class Drained:
    """The attempts that ended, in the order of the log."""

    attempts: list[Attempt]

    def __len__(self) -> int:
        """Count the attempts."""
        return len(self.attempts)

    def of(self, kind: str) -> list[Attempt]:
        """Return the attempts of a kind."""
        return [attempt for attempt in self.attempts if attempt.kind == kind]

    @property
    def outcomes(self) -> list[str]:
        """The outcomes in order."""
        return [attempt.outcome for attempt in self.attempts]

    @property
    def failures(self) -> list[Attempt]:
        """The attempts that failed, whether or not they will be tried again."""
        return [attempt for attempt in self.attempts if attempt.outcome in ("failed", "lease_expired")]

    def check(self) -> Drained:
        """Raise an AssertionError with the errors if any attempt failed; return this."""
        if self.failures:
            told = "\n".join(
                f"{attempt.kind} {attempt.job}: {(attempt.error or {}).get('traceback') or attempt.error}"
                for attempt in self.failures
            )
            raise AssertionError(f"{len(self.failures)} of {len(self)} attempts failed:\n{told}")
        return self


async def drain(app: App, database: Store | Client, *, concurrency: int = 10) -> Drained:
    """Run every due job of the app's kinds in this process, also those enqueued meanwhile, and return what happened.

    Uses the real worker. A job that is due later (scheduled, snoozed, or failed with a back-off) stays where it is:
    move the clock and drain again. At most 100 rounds, so that jobs which enqueue themselves come to an end.
    """
    store = database.store if isinstance(database, Client) else database
    since = await _position(store)
    for _ in range(_ROUNDS_LIMIT):
        before = await _position(store)
        await _promote(store)
        await Worker(app, store, concurrency=concurrency, until_empty=True).run(signals=False)
        if not await _ended(store, before):
            break
    return Drained(await _ended(store, since))


async def _promote(store: Store) -> None:
    """Make claimable what the clock has made due, without waiting for the worker's own tick."""
    after: UUID | None = None
    for _ in range(_TICKS_LIMIT):
        async with store.connection() as conn:
            done = await tick(conn, store.shard, after)
        after = done.next
        if not done.found_work and after is None:
            return


async def _position(store: Store) -> int:
    async with store.connection() as conn:
        with translated():
            return int(await conn.fetchval(statement("testing/log_position"), store.shard))


async def _ended(store: Store, since: int) -> list[Attempt]:
    async with store.connection() as conn:
        with translated():
            rows = await conn.fetch(statement("testing/ended_attempts"), store.shard, since)
    return [
        Attempt(
            row["job"],
            row["tenant"],
            row["kind"],
            row["attempt"],
            row["type"].removeprefix("job."),
            orjson.loads(row["data"]) if row["data"] else {},
        )
        for row in rows
    ]
