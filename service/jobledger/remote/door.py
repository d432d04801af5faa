"""The door to a service: a client's calls as requests, and the answers as the core would have given them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
import pydantic_core

from jobledger.errors import Forbidden, InvalidArgument, InvalidFields, NotFound
from jobledger.events.cloudevent import read_event
from jobledger.order.counts import PastCounts
from jobledger.order.desk import Status
from jobledger.remote.answer import read
from jobledger.remote.connection import is_text, path_of
from jobledger.remote.desk import ServiceDesk
from jobledger.remote.feed import ServiceFeed
from jobledger.remote.replay import ServiceReplay
from jobledger.store.enqueue import Enqueued, batch_text
from jobledger.store.filters import JobFilter
from jobledger.store.jobs_read import HISTORY_MAX, JobDetail, JobPage
from jobledger.store.kinds import RegisteredKind
from jobledger.store.operate import ACTS_ON, Acted, Limit, Preview
from jobledger.store.outcome import Outcome
from jobledger.store.tenants import TenantLevels, TenantStatus

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.order.desk import Desk
    from jobledger.order.filters import EventFilter, Shown
    from jobledger.remote.connection import Reply, ServiceConnection
    from jobledger.store.enqueue import NewJob
    from jobledger.store.kinds import StatedKind
    from jobledger.store.operate import Act, Scope
    from jobledger.store.pool import Connection, Store

RESULT_WAIT_S: Final = 30.0
"""Seconds that one request for a job's result waits."""
_PAGE: Final = 1_000
_NARROW: Final = ("queue", "kind", "owner", "tag")
_JSON: Final = ("args", "meta", "backoff")
_ACT_S: Final = 60.0
"""Seconds beside the usual that an act on many jobs may take, or their count."""


class ServiceDoor:
    """A client's way to a service. What arguments are marked as masked, the service has masked."""

    masks = True
    waits = True

    def __init__(self, connection: ServiceConnection, *, ours: bool = True) -> None:
        """Keep the connection; one that is not `ours` is opened and closed by its owner."""
        self._connection = connection
        self._ours = ours

    @property
    def store(self) -> Store:
        """Raise `InvalidArgument`: a service lends no connection to its database."""
        raise InvalidArgument("A client of a service has no store.", hint="Make it of a database: Client(dsn).")

    @property
    def desk(self) -> Desk:
        """Where subscriptions are kept."""
        return ServiceDesk(self._ask, self._connection)

    async def open(self) -> None:
        """Be ready to send; the first request connects."""
        if self._ours:
            await self._connection.__aenter__()

    async def close(self) -> None:
        """Close what was opened here."""
        if self._ours:
            await self._connection.close()

    async def registered(self, kind: str, conn: Connection | None) -> RegisteredKind | None:
        """Return what is registered under a name or alias; None also where this key may not read it."""
        _no_connection(conn)
        try:
            found = (await self._ask("GET", path_of("kinds", kind))).json()
        except (NotFound, Forbidden):
            return None
        schema = found.get("schema")
        return RegisteredKind(found["kind"]["name"], found["kind"]["version"], schema if schema is not True else {})

    async def register(self, kinds: Sequence[StatedKind]) -> list[str]:
        """Register kinds; return the names of those that were new or had changed."""
        changed = []
        for kind in kinds:
            stated = {name: value for name, value in kind._asdict().items() if name != "name"}
            if (await self._ask("PUT", path_of("kinds", kind.name), body=stated)).json()["changed"]:
                changed.append(kind.name)
        return changed

    async def enqueue(self, new: NewJob, *, actor: str | None, strict: bool, conn: Connection | None) -> Enqueued:
        """Enqueue one job. It is sent again where it surely did not arrive, or has an idempotency key."""
        _no_connection(conn)
        _no_actor(actor)
        body = orjson.dumps(_stated(new) | {"strict": strict})
        trace = _trace_of([new])
        reply = await self._ask("POST", path_of("jobs"), body=body, headers=trace, again=new.key is not None)
        return read(Enqueued, reply.json())

    async def enqueue_many(
        self, batch: Sequence[NewJob], *, actor: str | None, strict: bool, conn: Connection | None
    ) -> list[Enqueued]:
        """Enqueue many jobs, all or nothing; sent again as one is, where each has a key."""
        _no_connection(conn)
        _no_actor(actor)
        if not batch:
            return []
        bare = [replace(new, trace=None) for new in batch]
        body = orjson.dumps({"jobs": orjson.Fragment(batch_text(bare)), "strict": strict})
        again = all(new.key is not None for new in batch)
        reply = await self._ask("POST", path_of("jobs", "batch"), body=body, headers=_trace_of(batch), again=again)
        found = reply.json()
        return read(list[Enqueued], found["jobs"])

    async def outcome(self, job: UUID, tenant: str, wait_s: float) -> Outcome:
        """Return how a job stands, once it has ended, or after so many seconds (30 at most)."""
        wait_s = min(wait_s, RESULT_WAIT_S)
        query = {"tenant": tenant, "wait_s": wait_s}
        reply = await self._ask("GET", path_of("jobs", job, "result"), query=query, wait_s=wait_s)
        found = reply.exact()
        result = found.get("result")
        return read(Outcome, found | {"result": None if result is None else pydantic_core.to_json(result).decode()})

    async def job(self, job: UUID, tenant: str | None, as_of: str | datetime | None, token: bool) -> JobDetail:
        """Return one job whole."""
        query = {**_texts(tenant=tenant), "as_of": _moment(as_of), "token": token}
        return read(JobDetail, (await self._ask("GET", path_of("jobs", job), query=query)).json())

    async def jobs(
        self, wanted: JobFilter, limit: int, cursor: str | None, as_of: str | datetime | None, token: bool
    ) -> JobPage:
        """Return a page of jobs."""
        if wanted.states is not None and not wanted.states:
            return JobPage([], None, 0, False)
        query = _texts(tenant=wanted.tenant, cursor=cursor, **{name: getattr(wanted, name) for name in _NARROW})
        query |= {"state": None if wanted.states is None else list(wanted.states)}
        query |= {"limit": limit, "as_of": _moment(as_of), "token": token}
        return read(JobPage, (await self._ask("GET", path_of("jobs"), query=query)).json())

    async def history(self, job: UUID, tenant: str | None, heartbeats: bool) -> list[Event]:
        """Return every event of a job."""
        query = {**_texts(tenant=tenant), "heartbeats": heartbeats, "limit": HISTORY_MAX}
        found = (await self._ask("GET", path_of("jobs", job, "history"), query=query)).exact()
        return [read_event(one).event() for one in found["events"]]

    async def tenant(self, tenant: str, since: datetime | None, until: datetime | None, token: bool) -> TenantStatus:
        """Return how a tenant does."""
        query = {"since": since, "until": until, "token": token}
        return read(TenantStatus, (await self._ask("GET", path_of("tenants", tenant), query=query)).json())

    async def tenants(self, after: str, limit: int) -> tuple[TenantLevels, ...]:
        """Return the tenants that had jobs."""
        found = (await self._ask("GET", path_of("tenants"), query={**_texts(cursor=after), "limit": limit})).json()
        return read(tuple[TenantLevels, ...], found["tenants"])

    async def counts(self, as_of: str | datetime, tenant: str | None) -> PastCounts:
        """Return how many jobs were in each state at a moment."""
        query = {"as_of": _moment(as_of), **_texts(tenant=tenant)}
        return read(PastCounts, (await self._ask("GET", path_of("counts"), query=query)).json())

    def events(
        self, wanted: EventFilter, *, after: str | None, from_end: bool, live: bool, shown: Shown
    ) -> ServiceFeed:
        """Return a feed; nothing is sent yet."""
        return ServiceFeed(self._connection, wanted, after=after, from_end=from_end, live=live, shown=shown)

    def replay(
        self,
        wanted: EventFilter,
        *,
        after: str | datetime | None,
        until: str | datetime | None,
        kind: str | None,
        heartbeats: bool,
        shown: Shown,
    ) -> ServiceReplay:
        """Return a replay; nothing is sent yet."""
        more = {"after": after, "until": until, "kind": kind, "heartbeats": heartbeats}
        return ServiceReplay(self._connection, wanted, more, shown)

    async def subscriptions(self, tenant: str | None) -> list[Status]:
        """Return how the subscriptions stand."""
        found = await self._listed(path_of("subscriptions"), _texts(tenant=tenant), "subscriptions")
        return read(list[Status], found)

    async def act(
        self, act: Act, job: UUID, *, tenant: str | None, actor: str | None, reason: str, data: Mapping[str, Any]
    ) -> Acted:
        """Do one thing to one job. Raises what its verdict says."""
        _no_actor(actor)
        body = {**data, "reason": reason}
        return read(Acted, (await self._ask("POST", path_of("jobs", job, act), _texts(tenant=tenant), body)).json())

    async def act_on(
        self,
        act: Act,
        jobs: JobFilter | Sequence[UUID],
        *,
        tenant: str | None,
        actor: str | None,
        reason: str,
        data: Mapping[str, Any] | None,
    ) -> Mapping[str, int]:
        """Do one thing to many jobs; return counts by verdict. By a filter it is asked until all are done."""
        _no_actor(actor)
        _check_act(act)
        if not (data is None or isinstance(data, Mapping)):
            raise InvalidArgument("The data of an act is plain JSON.")
        how: dict[str, Any] = {"act": act, "reason": reason, "data": dict(data or {})}
        if isinstance(jobs, JobFilter):
            how |= {"tenant": jobs.tenant, "filter": _filter(jobs)}
        elif isinstance(jobs, str | bytes) or not isinstance(jobs, Sequence):
            raise InvalidArgument("The jobs of an act are a list of ids.")
        else:
            how |= {"tenant": tenant, "ids": [str(one) for one in jobs]}
        verdicts: Counter[str] = Counter()
        while True:
            found = (await self._ask("POST", path_of("jobs", "acts"), body=how, wait_s=_ACT_S)).json()
            verdicts.update(found["verdicts"])
            if found.get("next") is None:
                return dict(verdicts)
            how["cursor"] = found["next"]

    async def preview(self, act: Act, jobs: JobFilter) -> Preview:
        """Count the jobs that an act would meet."""
        _check_act(act)
        if not isinstance(jobs, JobFilter):
            raise InvalidArgument("Which jobs are meant is said by a JobFilter.")
        body = {"act": act, "tenant": jobs.tenant, "filter": _filter(jobs)}
        found = await self._ask("POST", path_of("jobs", "acts", "preview"), body=body, again=True, wait_s=_ACT_S)
        return read(Preview, found.json())

    async def pause(self, scope: Scope, name: str, *, actor: str | None, reason: str) -> bool:
        """Stop claiming; false if that was so."""
        return await self._paused(scope, name, "pause", actor, reason)

    async def resume(self, scope: Scope, name: str, *, actor: str | None, reason: str) -> bool:
        """End a pause; false if there was none."""
        return await self._paused(scope, name, "resume", actor, reason)

    async def set_limit(
        self, scope: Scope, name: str, values: Mapping[str, int | None], *, actor: str | None, reason: str
    ) -> bool:
        """Set defaults; None clears one."""
        _no_actor(actor)
        if "reason" in values:
            raise InvalidArgument("There is no such limit.")
        where = path_of("limits", scope, name) if name else path_of("limits", scope)
        return bool((await self._ask("PUT", where, body={**values, "reason": reason})).json()["changed"])

    async def limits(self, scope: Scope | None, name: str | None) -> list[Limit]:
        """Return what was paused and set."""
        query = {**_texts(scope=scope, name=name if name != "" else None), "limit": _PAGE}
        return read(list[Limit], await self._listed(path_of("limits"), query, "limits"))

    async def _paused(self, scope: Scope, name: str, how: str, actor: str | None, reason: str) -> bool:
        _no_actor(actor)
        if scope not in ("tenant", "queue", "kind") or not name:
            raise InvalidArgument("A pause is of a tenant, a queue or a kind, by its name.")
        reply = await self._ask("POST", path_of(f"{scope}s", name, how), body={"reason": reason})
        return bool(reply.json()["changed"])

    async def _listed(self, path: str, query: Mapping[str, Any], things: str) -> list[Any]:
        """Return a list whole, page after page."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = (await self._ask("GET", path, query={**query, "cursor": cursor})).json()
            found += page[things]
            cursor = page.get("next")
            if cursor is None:
                return found

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
        wait_s: float = 0.0,
    ) -> Reply:
        try:
            return await self._connection.ask(
                method, path, query=query, body=body, headers=headers, again=again, wait_s=wait_s
            )
        except InvalidFields as fault:
            # Whoever called a method gave arguments, no fields.
            said = "; ".join(f"{one.get('field')}: {one.get('rule')}" for one in fault.detail.get("fields", ()))
            raise InvalidArgument(f"{said or fault.message}.", hint=fault.hint, detail=fault.detail) from None


def _stated(new: NewJob) -> dict[str, Any]:
    """Return a job as a request states it: what is None is left out. Raises what is wrong with it."""
    sent = new.sent()
    return {
        name: orjson.Fragment(value) if name in _JSON else str(value) if name == "id" else value
        for name, value in sent.items()
        if value is not None and name != "trace"
    }


def _trace_of(batch: Sequence[NewJob]) -> dict[str, str]:
    """Return the headers that carry the trace which the jobs are part of: that of the span they are enqueued in."""
    trace = batch[0].trace
    return {name: str(text) for name, text in trace.items()} if isinstance(trace, Mapping) else {}


def _filter(jobs: JobFilter) -> dict[str, Any]:
    facts = {name: getattr(jobs, name) for name in _NARROW}
    return facts | {"states": None if jobs.states is None else list(jobs.states)}


def _check_act(act: str) -> None:
    if not isinstance(act, str) or act not in ACTS_ON:
        raise InvalidArgument("There is no such act.", hint=f"Acts are: {', '.join(ACTS_ON)}.")


def _texts(**named: Any) -> dict[str, Any]:
    """Return what a query says of names. Raises `InvalidArgument` for what is no text."""
    for name, value in named.items():
        if value is not None and not is_text(value):
            raise InvalidArgument(f"{name} is a text.")
    return named


def _moment(as_of: str | datetime | None) -> str | datetime | None:
    if as_of is None or is_text(as_of) or (isinstance(as_of, datetime) and as_of.tzinfo is not None):
        return as_of
    raise InvalidArgument(
        "This is no moment that can be asked for.", hint="A token, a cursor, or a time with its zone."
    )


def _no_connection(conn: Connection | None) -> None:
    if conn is not None:
        raise InvalidArgument(
            "A service cannot enqueue in your transaction.",
            hint="Use a client of the database (`Client(dsn)`) where the job and your own writes are to be one.",
        )


def _no_actor(actor: str | None) -> None:
    if actor is not None:
        raise InvalidArgument("By a service the actor in the log is the key's own name.", hint="Leave actor out.")
