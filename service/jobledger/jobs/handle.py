"""A handle: one job that was enqueued, and the way to its result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jobledger.errors import (
    InvalidArgument,
    JobCancelled,
    JobFailed,
    JobKilled,
    ResultFailed,
    ResultTimeout,
    Unreachable,
)

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.jobs.client import Client
    from jobledger.jobs.door import Door
    from jobledger.jobs.kind import Job
    from jobledger.store.outcome import Outcome

R = TypeVar("R")

_AT_ONCE_S = 30.0
"""Seconds that one look may wait for the job's end."""
_TOLD = ("error_type", "error_class", "rule", "reason", "actor", "attempt")
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
        return (await self._asked().outcome(self.id, self.tenant, 0)).state

    async def result(self, timeout: float | None = None) -> R:  # noqa: ASYNC109 - part of the public interface
        """Wait for the job's end and return its result, of the type that its handler declares.

        A database is asked after 5 ms at first, then in growing steps of up to 250 ms; a service answers once the job
        has ended. `timeout` in seconds; without one it waits as long as the job lives. A transaction that enqueued the
        job must have been committed.

        Raises:
            JobFailed, JobCancelled, JobKilled: it ended without a result; `detail` has what the log says.
            ResultTimeout: it has not ended in time; it goes on.
            NotFound: there is no such job of this tenant.
        """
        door = self._asked()
        until = None if timeout is None else time.monotonic() + timeout
        left = _AT_ONCE_S
        while True:
            if until is not None:
                left = max(0.0, min(_AT_ONCE_S, until - time.monotonic()))
            found = await door.outcome(self.id, self.tenant, left)
            if found.state == "succeeded":
                result: R = self._read(found.result)
                return result
            if found.state in _ENDINGS:
                raise self._ended(found)
            if until is not None and time.monotonic() >= until:
                raise ResultTimeout(
                    f"The job has not ended within {timeout} s; it is {found.state}.", detail={"state": found.state}
                )

    def _asked(self) -> Door:
        if self._client is None:
            raise Unreachable("This handle has no client.", hint="Use `client.handle(id, tenant=…)`.")
        return self._client._door  # noqa: SLF001 - a part of the client

    def _read(self, document: str | None) -> Any:
        if self._job is not None:
            return self._job.returns.load(document)
        return None if document is None else _any_json(document)

    def _ended(self, found: Outcome) -> ResultFailed:
        facts = {name: getattr(found, name) for name in _TOLD}
        detail = {"job": str(self.id), **{name: value for name, value in facts.items() if value is not None}}
        said = {
            "failed": f"The job failed for good after {found.attempt} attempts: {found.error_type or found.type}.",
            "cancelled": "The job was cancelled.",
            "killed": f"The job was killed by the rule {found.rule}.",
        }
        return _ENDINGS[found.state](said[found.state], detail=detail)


def _any_json(document: str) -> Any:
    import orjson  # noqa: PLC0415 - for results of unknown kinds only

    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError:
        raise InvalidArgument("The stored result is no JSON.") from None
