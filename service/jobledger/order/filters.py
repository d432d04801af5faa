"""What a reader of the log wants to see, and what of an event that names many jobs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from jobledger.errors import InvalidArgument
from jobledger.events.vocabulary import MODELS
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from jobledger.events import Event
    from jobledger.order.log import Sealed
    from jobledger.store.pool import Connection, Store

    Shown = Callable[[Event, Connection | None], Awaitable[Event]]

_REMEMBERED: Final = 50_000
_AT_ONCE: Final = 10_000
_NAME_MAX: Final = 1_000
_HEARTBEAT: Final = "worker.heartbeat"
_REJECTED: Final = "worker.report_rejected"
_COUNTING: Final = frozenset({_HEARTBEAT, "job.claimed"})
SHARED: Final = frozenset({_HEARTBEAT, _REJECTED})
"""Events of workers, which name jobs of many tenants."""


async def shown_by(shown: Shown | None, event: Event, connection: Connection | None = None) -> Event:
    """Return an event as it is given to a reader: `shown` masks the arguments that `job.enqueued` carries.

    Who reads inside a transaction gives its `connection`: a second one from the pool may never come, where all that
    have one wait for another.
    """
    if shown is None or event.type != "job.enqueued":
        return event
    return await shown(event, connection)


def _is_name(value: object) -> bool:
    """Say whether Postgres could have stored it as a name."""
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_MAX or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


class Origin(NamedTuple):
    """What a job was enqueued as; it stays so wherever the job is moved."""

    tenant: str
    queue: str
    owner: str | None

    @classmethod
    def of(cls, event: Event) -> Origin | None:
        """Return what a job was enqueued as, by its first event; None for any other."""
        if event.type != "job.enqueued":
            return None
        data = event.data or {}
        return cls(event.tenant, data.get("queue", "default"), data.get("owner"))


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a reader gets; None is any.

    `types` are names of events. `job`, and `queue` and `owner` (as the job was enqueued), leave only events of jobs,
    and of heartbeats and rejected reports the entries of such jobs. So does `tenant`, beside the tenant's own control
    events; there a worker's numbers of calls and heartbeats are 0, since they count what it did for everybody.
    """

    tenant: str | None = None
    types: tuple[str, ...] | None = None
    job: UUID | None = None
    queue: str | None = None
    owner: str | None = None

    def __post_init__(self) -> None:
        """Refuse what names nothing."""
        for name in ("tenant", "queue", "owner"):
            value = getattr(self, name)
            if value is not None and not _is_name(value):
                raise InvalidArgument(f"{name} is a name of 1 to {_NAME_MAX} characters.")
        if self.job is not None and not isinstance(self.job, UUID):
            raise InvalidArgument("job is the job's id.")
        if self.types is not None and not (self.types and all(isinstance(x, str) and x in MODELS for x in self.types)):
            raise InvalidArgument("types are names of events, such as job.failed.", hint="docs/events.md lists them.")

    @property
    def narrows(self) -> bool:
        """Say whether an event that names many jobs is shown with some of them only."""
        return self.tenant is not None or self.job is not None or self.by_origin

    @property
    def by_origin(self) -> bool:
        """Say whether it depends on what each job was enqueued as."""
        return self.queue is not None or self.owner is not None

    def fits(self, origin: Origin | None) -> bool:
        """Say whether a job of this origin is meant."""
        return (
            origin is not None
            and (self.tenant is None or origin.tenant == self.tenant)
            and (self.queue is None or origin.queue == self.queue)
            and (self.owner is None or origin.owner == self.owner)
        )


class Origins:
    """What jobs were enqueued as, asked once for each and remembered for the last 50,000."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._known: OrderedDict[UUID, Origin | None] = OrderedDict()

    async def of(self, store: Store, ids: Collection[UUID]) -> dict[UUID, Origin | None]:
        """Return the origin of each job; None for an id that is no job's."""
        # Taken before anything is awaited. Race: other readers' answers push out what is known now.
        known = {id: self._known[id] for id in set(ids) if id in self._known}  # noqa: A001 - the domain's word
        missing = [id for id in set(ids) if id not in known]  # noqa: A001
        found: dict[UUID, Origin | None] = dict.fromkeys(missing)
        for start in range(0, len(missing), _AT_ONCE):
            async with store.connection(ours=True, prompt=True) as connection:
                with translated():
                    rows = await connection.fetch(
                        statement("order/origins"), store.shard, missing[start : start + _AT_ONCE]
                    )
            found |= {row["id"]: Origin(row["tenant"], row["queue"], row["owner"]) for row in rows}
        found |= known
        for id, origin in found.items():  # noqa: A001
            self._known[id] = origin
            self._known.move_to_end(id)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found


def named_jobs(event: Event) -> list[UUID]:
    """Return the jobs that an event of a worker names."""
    data = event.data or {}
    if event.type == _HEARTBEAT:
        return [UUID(job) for job in data.get("held") or ()]
    return [UUID(data["job"])] if event.type == _REJECTED and data.get("job") else []


async def select(wanted: EventFilter, events: Sequence[Sealed], origins: Origins, store: Store) -> list[Sealed]:
    """Return those of the events that are wanted, what names many jobs with the wanted ones only."""
    if wanted.types is not None:
        events = [one for one in events if one.event.type in wanted.types]
    if not wanted.narrows:
        return list(events)
    of_worker = {id(one): named_jobs(one.event) for one in events if one.event.type in SHARED}
    asked = {job for jobs in of_worker.values() for job in jobs}
    if wanted.by_origin:
        asked |= {one.event.stream_id for one in events if one.event.type.startswith("job.")}
    known = await origins.of(store, asked) if asked else {}
    chosen: list[Sealed] = []
    for one in events:
        if id(one) in of_worker:
            mine = [job for job in of_worker[id(one)] if wanted.job in (None, job) and wanted.fits(known[job])]
            if mine:
                chosen.append(one._replace(event=_with(one.event, mine)))
        elif _is_wanted(wanted, one.event, known):
            chosen.append(one)
    return [_uncounted(one) for one in chosen] if wanted.tenant is not None else chosen


def _is_wanted(wanted: EventFilter, event: Event, known: dict[UUID, Origin | None]) -> bool:
    if wanted.tenant is not None and event.tenant != wanted.tenant:
        return False
    if wanted.job is not None and event.stream_id != wanted.job:
        return False
    return not wanted.by_origin or wanted.fits(known.get(event.stream_id))


def _with(event: Event, jobs: Sequence[UUID]) -> Event:
    """Return a worker's event with these jobs only: one heartbeat names jobs of many tenants."""
    if event.type == _REJECTED:
        return event
    data: dict[str, Any] = {"beat": (event.data or {}).get("beat"), "held": [str(job) for job in jobs]}
    return event.model_copy(update={"data": data})


def _uncounted(one: Sealed) -> Sealed:
    """Return an event as its tenant sees it: a worker's numbers count what it did for others, too."""
    event = one.event
    if event.type not in _COUNTING or event.data is None:
        return one
    data = {name: 0 if name in ("call", "beat") else value for name, value in event.data.items()}
    return one._replace(event=event.model_copy(update={"data": data}))
