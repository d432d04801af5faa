"""How a resource's jobs stood after each of their events: the frames of its streams, by the pure fold."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from jobledger.errors import JobGone, NotFound
from jobledger.lifecycle.fold import evolve, state_at
from jobledger.lifecycle.states import FINISHED, State
from jobledger.store.jobs_read import job_history

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.jobs.resource import Resource
    from jobledger.lifecycle.fold import Job
    from jobledger.order.log import Sealed
    from jobledger.order.reader import Feed
    from jobledger.store.pool import Store

REMEMBERED: Final = 2_000
"""Open jobs of a resource whose fold is kept, to go on from with their next event; others are read again."""
UNTOLD: Final = frozenset({"job.cancel_requested", "job.reprioritised", "job.moved", "job.redacted"})
"""Events that change nothing that the outside sees."""
_UNDER_WAY: Final = (State.RUNNING, *FINISHED)


@dataclass(frozen=True, slots=True)
class Standing:
    """A job after one of its events, as far as the outside may know."""

    job: Job
    began_at: datetime | None = None
    progress: dict[str, Any] | None = None

    @classmethod
    def after(cls, before: Standing | None, event: Event) -> Standing:
        """Return how it stands after one more event. Raises what `evolve` raises."""
        job = evolve(before.job if before is not None else None, event)
        if event.type == "job.claimed":
            return cls(job, event.at)
        if before is None or job.state not in _UNDER_WAY:
            return cls(job)
        if event.type == "job.progressed":
            return replace(before, job=job, progress=event.data)
        return replace(before, job=job)

    def row(self, event: Event) -> dict[str, Any]:
        """Return the columns of `public_jobs`, as they were after this event."""
        job, data = self.job, event.data or {}
        error = data.get("error") or {}
        result = data.get("result") if job.state is State.SUCCEEDED else None
        return {
            "id": job.id,
            "state": str(state_at(job, event.at)),
            "enqueued_at": job.enqueued_at,
            "run_at": job.run_at,
            "finished_at": job.finished_at,
            "began_at": self.began_at,
            "result": orjson.dumps(result) if result is not None else None,
            "error_type": error.get("type"),
            "error_class": error.get("class"),
            "progress": orjson.dumps(self.progress) if self.progress is not None else None,
        }


class Standings:
    """The view of a resource's streams. What one client is shown of an event, every other is shown, too."""

    def __init__(self, resource: Resource, store: Store) -> None:
        """Begin with nothing remembered."""
        self._resource = resource
        self._store = store
        self._known: OrderedDict[UUID, Standing] = OrderedDict()

    def key(self, feed: Feed, _: Sealed) -> Hashable:
        """Return the resource, and the tenant whose cursors they are."""
        return "resource", self._resource.name, feed.wanted.tenant

    async def text(self, feed: Feed, one: Sealed, _: str | None) -> bytes | None:
        """Return the public document as of the event; None for what is another kind's, or changes nothing of it."""
        event = one.event
        standing = await self._after(event)
        if standing is None or standing.job.kind not in self._resource.kinds or event.type in UNTOLD:
            return None
        if feed.wanted.tenant not in (None, standing.job.tenant):
            return None
        shown = self._resource.shown(self._resource.read(standing.row(event)))
        return shown.model_dump_json(by_alias=True).encode()

    async def _after(self, event: Event) -> Standing | None:
        """Return how the job stood after an event; None where its history is no longer kept."""
        known = self._known.get(event.stream_id)
        if known is not None and known.job.head >= event.version:
            # Another stream is further; what it knows stays.
            return await self._read(event)
        if event.version == 1 or (known is not None and known.job.head == event.version - 1):
            standing = Standing.after(known, event)
        else:
            found = await self._read(event)
            if found is None:
                return None
            standing = found
        self._keep(standing)
        return standing

    async def _read(self, event: Event) -> Standing | None:
        standing: Standing | None = None
        read = 0
        async with self._store.connection(ours=True) as connection:
            while read < event.version:
                try:
                    # Versions are dense: so many events are those up to this one; a page has not always all of them.
                    history = await job_history(
                        *(connection, self._store.shard, event.stream_id),
                        heartbeats=False,
                        after=read,
                        limit=event.version - read,
                    )
                except (NotFound, JobGone):
                    return None
                if not history:
                    return None
                for one in history:
                    standing = Standing.after(standing, one)
                read = history[-1].version
        return standing

    def _keep(self, standing: Standing) -> None:
        self._known.pop(standing.job.id, None)
        if standing.job.finished:
            return
        self._known[standing.job.id] = standing
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
