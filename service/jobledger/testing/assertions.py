"""Assertions about what was enqueued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from jobledger.jobs.client import Client
from jobledger.jobs.kind import Job
from jobledger.jobs.masking import masked
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from jobledger.store.pool import Store


class EnqueuedJob(NamedTuple):
    """A job that was enqueued; `data` is what its first event says (kind, args, queue, run_at, …, as JSON)."""

    id: UUID
    tenant: str
    actor: str | None
    data: dict[str, Any]

    @property
    def args(self) -> dict[str, Any]:
        """The arguments as JSON."""
        found: dict[str, Any] = self.data.get("args", {})
        return found


async def enqueued(database: Store | Client, kind: str | Job[..., Any] | None = None) -> list[EnqueuedJob]:
    """Return what was ever enqueued (of a kind), finished or not, oldest first."""
    store = database.store if isinstance(database, Client) else database
    name = kind.name if isinstance(kind, Job) else kind
    async with store.connection() as conn:
        with translated():
            rows = await conn.fetch(statement("testing/enqueued_jobs"), store.shard, name)
    return [EnqueuedJob(row["job"], row["tenant"], row["actor"], orjson.loads(row["data"])) for row in rows]


async def assert_enqueued(
    database: Store | Client,
    kind: str | Job[..., Any],
    args: Mapping[str, Any] | None = None,
    *,
    count: int | None = None,
    tenant: str | None = None,
    **fields: Any,
) -> list[EnqueuedJob]:
    """Assert that jobs of a kind were enqueued, and return those that fit.

    `args` and `fields` (queue, priority, owner, key, tags, meta, …) are subsets, compared as JSON; a field that is its
    default is compared with None. `count` says how many; without it at least one.
    """
    found = await enqueued(database, kind)
    wanted = {name: _json(value) for name, value in fields.items()}
    fitting = [
        job
        for job in found
        if _covers(job.args, _json(dict(args or {})))
        and (tenant is None or job.tenant == tenant)
        and all(job.data.get(name) == value for name, value in wanted.items())
    ]
    if len(fitting) != count if count is not None else not fitting:
        schema = kind.schema if isinstance(kind, Job) else None
        name = kind.name if isinstance(kind, Job) else kind
        shown = [f"  {job.tenant}: {masked(schema, job.args)}" for job in found[:20]]
        raise AssertionError(
            f"{len(fitting)} of the {len(found)} enqueued jobs of kind {name} fit, "
            f"{'at least 1' if count is None else count} expected:\n" + "\n".join(shown)
        )
    return fitting


def _covers(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _covers(whole[key], part[key]) for key in part)
    return bool(whole == part)


def _json(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value, default=str))
