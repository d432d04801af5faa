"""Where subscriptions are kept, as `Subscription` asks for them: a port, and the database behind it."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - part of the answers' types
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar
from uuid import UUID  # noqa: TC003 - part of the answers' types

from jobledger.errors import NotFound
from jobledger.order import checkpoints
from jobledger.order.checkpoints import EVERYBODY, Lag, Options, Slice
from jobledger.order.consumer import Consumer
from jobledger.order.cursor import Cursors, Place, cursors_for
from jobledger.order.inlet import AHEAD
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobledger.events import Event
    from jobledger.order.checkpoints import Registered, SetAside
    from jobledger.order.filters import EventFilter
    from jobledger.store.pool import Connection, Store


class Status(NamedTuple):
    """A subscription as it stands. `cursor` is where its slowest slice is, `lag` how far that is behind.

    For operators only: the lag counts everybody's events, and the cursor moves with them. That of a tenant's
    subscription is encrypted, and good for that tenant's feeds.
    """

    name: str
    tenant: str | None
    types: tuple[str, ...] | None
    queue: str | None
    kind: str | None
    owner: str | None
    options: Options
    disabled: bool
    created_at: datetime
    changed_at: datetime
    consumers: int
    aside: int
    cursor: str
    lag: Lag


class Begin(NamedTuple):
    """Where a subscription begins or goes on: `to` is beginning, end, cursor (`after`), time (`at`); None: as it is."""

    to: str | None
    after: str | None = None
    at: datetime | None = None


class Given(Protocol):
    """One event that a consumer was given."""

    @property
    def event(self) -> Event:
        """The event."""


G = TypeVar("G", bound=Given)


class Taking(Protocol[G]):
    """Takes part in a subscription inside `async with`: a batch by `next`, then what became of it. See `Consumer`."""

    async def __aenter__(self) -> Self:
        """Join. Raises `NotFound`, `Forbidden`."""

    async def __aexit__(self, *_: object) -> None:
        """Leave: what was handled is checkpointed, what is out is not."""

    async def next(self, limit: int = 1) -> list[G]:
        """Return the next events, at least one and at most `limit`; waits for them. Raises `NotFound`."""

    async def done(self, batch: Sequence[G], *, conn: Connection | None = None) -> None:
        """Say that these were handled; on `conn` in its transaction. Raises `SliceLost`: roll back."""

    async def failed(self, one: G, error: BaseException) -> None:
        """Say that this event was not handled."""

    def split(self, batch: Sequence[G]) -> None:
        """Let the events of a batch come again one at a time."""

    async def checkpoint(self) -> None:
        """Store how far everything was handled."""


class Desk(Protocol):
    """Keeps subscriptions by tenant (None: everybody's) and name; its caller has looked at the arguments."""

    async def create(
        self, name: str, wanted: EventFilter, kind: str | None, options: Options, begin: Begin, by: By
    ) -> bool:
        """Create one; false where it was there."""

    async def reset(self, tenant: str | None, name: str, begin: Begin, by: By) -> None:
        """Let it go on from a place."""

    async def disable(self, tenant: str | None, name: str, by: By) -> bool:
        """Give its consumers nothing; false where that was so."""

    async def remove(self, tenant: str | None, name: str, by: By) -> None:
        """Remove it."""

    async def again(self, tenant: str | None, name: str, jobs: Sequence[UUID] | None, by: By, *, drop: bool) -> int:
        """Hand out again, or give up, what was set aside; return how many events."""

    async def status(self, tenant: str | None, name: str) -> Status:
        """Return how it stands."""

    async def slices(self, tenant: str | None, name: str) -> list[Slice]:
        """Return its slices."""

    async def set_aside(self, tenant: str | None, name: str, limit: int) -> list[SetAside]:
        """Return the first events that it has set aside."""

    async def consumer(self, tenant: str | None, name: str, about: str) -> Taking[Any]:
        """Return what takes its events; it joins by `async with`."""


class By(NamedTuple):
    """Who acts, and why."""

    actor: str | None
    reason: str | None


class DatabaseDesk:
    """Subscriptions as the database keeps them."""

    def __init__(self, store: Store) -> None:
        """Ask by this store."""
        self._store = store

    async def create(
        self, name: str, wanted: EventFilter, kind: str | None, options: Options, begin: Begin, by: By
    ) -> bool:
        """Create one; false where it was there."""
        async with self._store.connection(ours=True) as connection:
            place = await _place(connection, wanted.tenant, begin.after)
            return await checkpoints.create(
                *(connection, self._store.shard, name, wanted, options),
                **{"kind": kind, "to": begin.to or "beginning", "place": place, "at": begin.at, **by._asdict()},
            )

    async def reset(self, tenant: str | None, name: str, begin: Begin, by: By) -> None:
        """Let it go on from a place."""
        async with self._store.connection(ours=True) as connection:
            place = await _place(connection, tenant, begin.after)
            at = (None, None, None) if place is None else (place.epoch, place.block, place.position)
            await self._act(connection, "reset", tenant, name, begin.to, *at, begin.at, *by)

    async def disable(self, tenant: str | None, name: str, by: By) -> bool:
        """Give its consumers nothing; false where that was so."""
        async with self._store.connection(ours=True) as connection:
            return bool(await self._act(connection, "disable", tenant, name, *by))

    async def remove(self, tenant: str | None, name: str, by: By) -> None:
        """Remove it."""
        async with self._store.connection(ours=True) as connection:
            await self._act(connection, "remove", tenant, name, *by)

    async def again(self, tenant: str | None, name: str, jobs: Sequence[UUID] | None, by: By, *, drop: bool) -> int:
        """Hand out again, or give up, what was set aside; return how many events."""
        async with self._store.connection(ours=True) as connection:
            return int(await self._act(connection, "retry", tenant, name, jobs, drop, *by))

    async def status(self, tenant: str | None, name: str) -> Status:
        """Return how it stands."""
        async with self._store.connection(ours=True) as connection:
            return await shown_as(connection, await self._registered(connection, tenant, name))

    async def slices(self, tenant: str | None, name: str) -> list[Slice]:
        """Return its slices."""
        async with self._store.connection(ours=True) as connection:
            return await checkpoints.slices_of(connection, self._store.shard, tenant, name)

    async def set_aside(self, tenant: str | None, name: str, limit: int) -> list[SetAside]:
        """Return the first events that it has set aside."""
        async with self._store.connection(ours=True) as connection:
            return await checkpoints.set_aside(connection, self._store.shard, tenant, name, after=Place(), limit=limit)

    async def consumer(self, tenant: str | None, name: str, about: str, *, ahead: int = AHEAD) -> Consumer:
        """Return what takes its events and reads so many of them ahead; it joins by `async with`."""
        async with self._store.connection(ours=True) as connection:
            registered = await self._registered(connection, tenant, name)
        return Consumer(self._store, registered, about=about, ahead=ahead)

    async def _registered(self, connection: Connection, tenant: str | None, name: str) -> Registered:
        found = await checkpoints.listed(connection, self._store.shard, tenant=tenant or EVERYBODY, name=name)
        if not found:
            raise NotFound("There is no such subscription.", hint="Create it, or look at the list.")
        return found[0]

    async def _act(self, connection: Connection, act: str, tenant: str | None, name: str, *arguments: object) -> Any:
        with translated():
            return await connection.fetchval(
                statement(f"order/subscription_{act}"), self._store.shard, tenant, name, *arguments
            )


async def all_of(connection: Connection, shard: int, tenant: str | None = None) -> list[Status]:
    """Return how every subscription stands, or those of one tenant."""
    return [await shown_as(connection, one) for one in await checkpoints.listed(connection, shard, tenant=tenant)]


async def shown_as(connection: Connection, one: Registered) -> Status:
    """Return a subscription with its cursor in the form that is good for its own feeds."""
    cursors = await cursors_for(connection, one.tenant) if one.tenant is not None else Cursors()
    wanted = one.wanted
    return Status(
        *(one.name, one.tenant, wanted.types, wanted.queue, one.kind, wanted.owner, one.options, one.disabled),
        *(one.created_at, one.changed_at, one.consumers, one.aside, cursors.write(one.place), one.lag),
    )


async def _place(connection: Connection, tenant: str | None, after: str | None) -> Place | None:
    return None if after is None else (await cursors_for(connection, tenant)).read(after)
