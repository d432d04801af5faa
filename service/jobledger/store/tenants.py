"""How a tenant does: its open jobs, what happened to its jobs over a period, and how many each tenant has."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict

from jobledger.errors import InvalidArgument
from jobledger.store.failures import translated
from jobledger.store.seen import seen_in
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jobledger.store.pool import Connection
    from jobledger.store.seen import AsOf, Seen

PAGE_MAX: Final = 1_000
_ENDS: Final = frozenset({"succeeded", "failed", "killed", "cancelled"})


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class Count(_Told):
    """How many jobs of a queue and kind are in a state."""

    state: str
    queue: str
    kind: str
    jobs: int


class Waits(_Told):
    """Why jobs wait: `reason` is what holds a ready job back, or what a parked one was parked for.

    `at_least`: there may be more; of a tenant with very many open jobs 5,000 of a state are looked at.
    """

    state: str
    reason: str | None
    jobs: int
    at_least: bool


class Paused(_Told):
    """A pause that the tenant's open jobs are under: of the `tenant`, a `queue` or a `kind`."""

    scope: Literal["tenant", "queue", "kind"]
    name: str
    reason: str | None
    since: datetime


class OpenJobs(_Told):
    """The open jobs.

    source: `live`, from the live tables, exact as of `as_of`; `counted` where there are more than 5,000 of them: what
    was counted up to `as_of`, a moment ago, with scheduled and ready told apart by the clock of the answer
    oldest_ready: when the job that has been ready longest was due
    """

    as_of: datetime
    source: Literal["live", "counted"]
    counts: tuple[Count, ...]
    oldest_ready: datetime | None
    waits: tuple[Waits, ...]
    paused: tuple[Paused, ...]

    @property
    def by_state(self) -> dict[str, int]:
        """How many are in each state."""
        return _summed((one.state, one.jobs) for one in self.counts)

    @property
    def jobs(self) -> int:
        """How many there are."""
        return sum(one.jobs for one in self.counts)


class Times(_Told):
    """How long jobs of a queue and kind (None: all) took, in seconds, at most 9.1 % or half a millisecond off.

    measure: `wait` from due to claimed, `run` from claimed to the attempt's end, `age` from enqueued to the job's end
    """

    queue: str | None
    kind: str | None
    measure: Literal["wait", "run", "age"]
    count: int
    p50: float
    p95: float
    p99: float


class Happened(_Told):
    """How often an event led jobs of a queue and kind to a state; a `failed` that led to `ready` is tried again."""

    queue: str
    kind: str
    event: str
    state: str
    count: int


class History(_Told):
    """What happened from `since` (a whole minute) to `until`, as far as it was counted: up to `as_of`."""

    as_of: datetime
    since: datetime
    until: datetime
    events: tuple[Happened, ...]
    times: tuple[Times, ...]

    @property
    def outcomes(self) -> dict[str, int]:
        """How many jobs ended in each way."""
        return _summed((one.state, one.count) for one in self.events if one.state in _ENDS and one.event != "moved")

    def took(self, measure: Literal["wait", "run", "age"]) -> Times | None:
        """Return how long all jobs took; None where none did."""
        return next((one for one in self.times if one.queue is None and one.measure == measure), None)


class TenantStatus(_Told):
    """How a tenant does. Each part says as of when it is; `at` is the clock of the answer.

    `history` is None while nothing is counted yet (see `jobledger projections`). `token` asks for the open jobs of
    this very answer again, where one was wanted and can be given: they were `live`.
    """

    tenant: str
    at: datetime
    open: OpenJobs
    history: History | None
    token: str | None = None


class TenantLevels(_Told):
    """How many jobs of a tenant are in each state, as counted up to `as_of`; scheduled ones are among the ready."""

    tenant: str
    ready: int
    running: int
    parked: int
    succeeded: int
    failed: int
    killed: int
    cancelled: int
    as_of: datetime | None


async def tenant_status(
    connection: Connection,
    shard: int,
    tenant: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    told: Callable[[Seen | None], AsOf | None] | None = None,
) -> TenantStatus:
    """Return how a tenant does; one without jobs, or that the role may not see, has none. `told` makes tokens.

    Raises:
        InvalidTenant, InvalidArgument: the name, or the period (at most 366 days), is none.
        NotOpen: the live tables are not rebuilt yet.
    """
    must_have_zone(since, until)
    with translated():
        row = await connection.fetchrow(statement("tenant_status"), shard, tenant, since, until, told is not None)
    assert row is not None  # noqa: S101 - one row in any case
    facts: dict[str, Any] = orjson.loads(row["status"])
    live = facts["open"]["source"] == "live"
    history = None
    if facts["counted"] is not None:
        told_of = {name: facts[name] for name in ("since", "until", "events", "times")}
        history = History.model_validate(told_of | {"as_of": facts["counted"]})
    found = TenantStatus(
        tenant=facts["tenant"],
        at=facts["at"],
        open=OpenJobs(as_of=facts["at"] if live else facts["counted"] or facts["at"], **facts["open"]),
        history=history,
    )
    if told is None or not live:
        return found
    token = told(seen_in({**dict(row), "seen_at": found.at}))
    return found.model_copy(update={"token": token.moment if token is not None else None})


async def list_tenants(
    connection: Connection, shard: int, *, after: str = "", limit: int = 100, among: Collection[str] | None = None
) -> tuple[TenantLevels, ...]:
    """Return the tenants that had jobs, by name, after one of that name; `limit` 1 to 1,000, `among` these only.

    Raises:
        InvalidArgument: the limit is none.
    """
    must_be_page(limit)
    with translated():
        rows = await connection.fetch(statement("tenants"), shard, after, limit, None if among is None else list(among))
    return tuple(TenantLevels(**dict(row)) for row in rows)


def _summed(parts: Any) -> dict[str, int]:
    found: Counter[str] = Counter()
    for name, count in parts:
        found[name] += count
    return dict(found)


def must_be_page(limit: int) -> None:
    """Raise `InvalidArgument` for what is no number of tenants that a page may have."""
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= PAGE_MAX:
        raise InvalidArgument(f"A page has 1 to {PAGE_MAX} tenants.")


def must_have_zone(*moments: datetime | None) -> None:
    """Raise `InvalidArgument` for a moment of a period that is none, or has no zone."""
    for moment in moments:
        if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
            raise InvalidArgument("since and until are times with a zone.")
