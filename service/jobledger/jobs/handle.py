"""A handle: one job that was enqueued, and the way to its result."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jobledger.errors import (
    InvalidArgument,
    JobCancelled,
    JobFailed,
    JobKilled,
    NotFound,
    ResultFailed,
    ResultTimeout,
    Unreachable,
)
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from jobledger.jobs.client import Client
    from jobledger.jobs.kind import Job

R = TypeVar("R")

_FIRST_WAIT_S = 0.005
_LONGEST_WAIT_S = 0.25
_ENDINGS: dict[str, type[ResultFailed]] = {"failed": JobFailed, "cancelled": JobCancelled, "killed": JobKilled}


class Handle(Generic[R]):
    """A job by its id. `created` is false when its idempotency key had been used before: it is the earlier job then."""

    __slots__ = ("_client", "_job", "created", "id", "tenant")

    def __init__(
        self,
        id: UUID,  # noqa: A002 - the domain's word
        tenant: str,
        *,
        client: Client | None = None,
        job: Job[..., R] | None = None,
        created: bool = True,
    ) -> None:
        """Keep where to look and how to read the result; without a job the result is any JSON."""
        self.id = id
        self.tenant = tenant
        self.created = created
        self._client = client
        self._job = job

    def __repr__(self) -> str:
        """Name id and tenant."""
        return f"Handle({self.id}, tenant {self.tenant})"

    async def state(self) -> str:
        """Return the job's state now. Raises `NotFound` for a job that is not there, or not this tenant's."""
        return str((await self._look())["state"])

    async def result(self, timeout: float | None = None) -> R:  # noqa: ASYNC109 - part of the public interface
        """Wait for the job's end and return its result, of the type that its handler declares.

        Asks again and again, after 5 ms at first, then in growing steps of up to 250 ms. `timeout` in seconds; without
        one it waits as long as the job lives. A transaction that enqueued the job must have been committed.

        Raises:
            JobFailed, JobCancelled, JobKilled: it ended without a result; `detail` has what the log says.
            ResultTimeout: it has not ended in time; it goes on.
            NotFound: there is no such job of this tenant.
        """
        until = None if timeout is None else time.monotonic() + timeout
        wait = _FIRST_WAIT_S
        while True:
            row = await self._look()
            if row["state"] == "succeeded":
                result: R = self._read(row["result"] if row["has_result"] else None)
                return result
            if row["state"] in _ENDINGS:
                raise self._ended(row)
            left = wait if until is None else until - time.monotonic()
            if left <= 0:
                raise ResultTimeout(
                    f"The job has not ended within {timeout} s; it is {row['state']}.", detail={"state": row["state"]}
                )
            await asyncio.sleep(min(wait, left))
            wait = min(wait * 1.5, _LONGEST_WAIT_S)

    async def _look(self) -> asyncpg.Record:
        if self._client is None:
            raise Unreachable("This handle has no client.", hint="Use `client.handle(id, tenant=…)`.")
        store = self._client.store
        async with store.connection() as conn:
            with translated():
                row = await conn.fetchrow(statement("jobs/outcome"), store.shard, self.id, self.tenant)
        if row is None:
            raise NotFound("There is no such job.", hint="Was the transaction committed that enqueued it?")
        return row

    def _read(self, document: str | None) -> Any:
        if self._job is not None:
            return self._job.returns.load(document)
        return None if document is None else _any_json(document)

    def _ended(self, row: asyncpg.Record) -> ResultFailed:
        facts = {name: row[name] for name in ("error_type", "error_class", "rule", "reason", "actor", "attempt")}
        detail = {"job": str(self.id), **{name: value for name, value in facts.items() if value is not None}}
        said = {
            "failed": f"The job failed for good after {row['attempt']} attempts: {row['error_type'] or row['type']}.",
            "cancelled": "The job was cancelled.",
            "killed": f"The job was killed by the rule {row['rule']}.",
        }
        return _ENDINGS[row["state"]](said[row["state"]], detail=detail)


def _any_json(document: str) -> Any:
    import orjson  # noqa: PLC0415 - for results of unknown kinds only

    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError:
        raise InvalidArgument("The stored result is no JSON.") from None
