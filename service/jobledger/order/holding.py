"""The slices that a consumer has: leased, checkpointed by compare-and-set, given back, lost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import asyncpg

from jobledger.errors import JobledgerError, SliceLost
from jobledger.observations import (
    ConnectionLost,
    LimitMet,
    SubscriptionReset,
    SubscriptionSetAside,
    SubscriptionSlicesLost,
    emit,
)
from jobledger.order import checkpoints
from jobledger.order.checkpoints import Move, Taken
from jobledger.store.doctor_readers import ASIDE_MOST
from jobledger.store.pool import COLLISIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jobledger.order.checkpoints import Registered
    from jobledger.order.cursor import Place
    from jobledger.order.log import Sealed
    from jobledger.store.pool import Connection, Store

CAREFUL_EVENTS: Final = 500
BACKOFF_MOST_S: Final = 300.0
LOST: Final = (JobledgerError, OSError, asyncpg.InterfaceError, *COLLISIONS)
"""What a lost connection, or a server that cannot be asked now, raises."""


@dataclass(slots=True)
class Share:
    """A slice that this consumer has: up to `handled` in memory, up to `stored` in the database.

    Until a transaction that moves it (`booked_on`) has committed, the database still has one of `before`. `flows`: its
    events are handed out; else it waits until `waits_until`, or is to be read anew. `careful` events are handed out one
    at a time, counted before (`tried`), because a consumer died here.
    """

    taken: Taken
    stored: Place
    handled: Place
    before: list[Place] = field(default_factory=list)
    booked_on: Connection | None = None
    flows: bool = False
    waits_until: float = 0.0
    careful: int = 0
    tried: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether the transaction that moved it last is over, as far as can be told."""
        try:
            return self.booked_on is not None and not self.booked_on.is_in_transaction()
        except asyncpg.InterfaceError:
            return True  # given back to its pool

    def came_to(self, place: Place) -> None:
        """Take in what the database has: one of the places before, or what was stored."""
        if place == self.stored:
            self.before, self.booked_on = [], None
        else:
            del self.before[: self.before.index(place)]


class Holding:
    """What one consumer has of a subscription, and every word with the database about it.

    `stale`: what is read has to be read anew, because a slice came or waits no longer. `again`: an operator has events
    tried again.
    """

    def __init__(self, store: Store, registered: Registered, consumer: UUID, about: str | None) -> None:
        """Prepare; `renew` joins."""
        self.shares: dict[int, Share] = {}
        self.lease_ends = 0.0
        self.stale = True
        self.again = False
        self._store = store
        self._of = registered
        self._consumer = consumer
        self._about = about
        self._lock = asyncio.Lock()

    @property
    def surplus(self) -> list[int]:
        """The slices that are more than a fair share."""
        return [number for number, share in self.shares.items() if share.taken.surrender]

    @property
    def next_due_s(self) -> float | None:
        """Seconds until the first slice that waits is due; None where none waits."""
        waiting = [share.waits_until for share in self.shares.values() if share.waits_until]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def flow(self) -> Place | None:
        """Let all slices flow that do not wait; return where to read from, None where none does."""
        self.stale = False
        now = time.monotonic()
        for share in self.shares.values():
            if share.waits_until <= now:
                share.waits_until = 0.0
            share.flows = not share.waits_until
        return min((share.handled for share in self.shares.values() if share.flows), default=None)

    def came_to(self, place: Place) -> None:
        """Everything up to a place was handled, of the slices that flow."""
        for share in self.shares.values():
            if share.flows and share.handled < place:
                share.handled = place

    async def renew(self) -> None:
        """Join, or renew the lease, and take in which slices are ours now.

        Raises:
            NotFound: the subscription was removed.
            Forbidden: the role is bound to tenants.
        """
        asked_at = time.monotonic()
        async with self._lock:
            # Looked at before the database is asked: what has ended by now, it shows as stored, or never will.
            ended = {number: share.stored for number, share in self.shares.items() if share.has_ended}
            failed: set[int] = set()
            async with self._store.connection(ours=True, prompt=True) as connection:
                rows = await checkpoints.take(connection, *self._mine(), self._about)
            self.lease_ends = asked_at + self._of.options.lease_s
            kept: dict[int, Share] = {}
            for row in rows:
                share = self.shares.get(row.slice)
                ours = share is not None and share.taken.taken == row.taken
                if share is not None and ours and row.place != share.stored == ended.get(row.slice):
                    failed.add(row.slice)
                elif share is not None and ours and row.place in (*share.before, share.stored):
                    share.taken = row
                    share.came_to(row.place)
                    # What is to be given back is handed out no more, so that nobody else is at it at the same time.
                    share.flows &= not row.surrender
                    kept[row.slice] = share
                if row.slice not in kept:
                    kept[row.slice] = Share(row, row.place, row.place, careful=CAREFUL_EVENTS if row.deaths else 0)
                    self.stale = True
            gone = [
                number
                for number, share in self.shares.items()
                if kept.get(number) is not share and number not in failed
            ]
            # Nobody took it since, and yet its checkpoint lies behind what was stored: the server lost the last of it.
            fallen = [
                number
                for number in gone
                if number in kept
                and kept[number].taken.taken <= self.shares[number].taken.taken
                and kept[number].stored < self.shares[number].stored
            ]
            self.shares = kept
            self.again = any(row.again for row in rows)
            self.stale |= bool(self.surplus)
        if fallen:
            emit(SubscriptionReset(self._of.name, self._of.tenant, "beyond_end", len(fallen)))
        self._tell_lost([number for number in gone if number not in fallen])

    async def checkpoint(self) -> None:
        """Store how far everything was handled, by compare-and-set; slices that were lost are let go."""
        async with self._lock:
            moves = [
                Move(number, share.taken.taken, share.stored, share.handled)
                for number, share in self.shares.items()
                if share.handled > share.stored
            ]
            if not moves:
                return
            async with self._store.connection(ours=True, prompt=True) as connection:
                moved = await checkpoints.advance(connection, *self._mine(), moves)
            for move in moves:
                if move.slice in moved and (share := self.shares.get(move.slice)) is not None:
                    share.stored = move.upto
                    share.came_to(move.upto)
            self.let_go([move.slice for move in moves if move.slice not in moved])

    async def advance_on(self, conn: Connection, upto: dict[int, Place]) -> None:
        """Move checkpoints in the caller's transaction. Raises `SliceLost`: nothing of it may be committed."""
        moves = [
            Move(number, share.taken.taken, share.stored, place)
            for number, place in upto.items()
            if (share := self.shares.get(number)) is not None
        ]
        moved = await checkpoints.advance(conn, *self._mine(), moves)
        if len(moved) < len(upto):
            self.stale = True
            self.let_go([move.slice for move in moves if move.slice not in moved])
            raise SliceLost(hint="Roll back: others handle these events.")
        for move in moves:
            # Should the transaction not commit, a renewal or the next checkpoint finds another place: it is taken anew.
            if (share := self.shares.get(move.slice)) is not None:
                share.before.append(move.came)
                share.stored, share.booked_on = move.upto, conn

    async def count(self, share: Share, sealed: Sealed, what: str, said: str | None) -> bool:
        """Tell the database of a failure (see `checkpoints.failed`); return whether the event was set aside."""
        failures, aside = 1, False
        async with self._lock:
            if self.shares.get(share.taken.slice) is not share:
                return False
            try:
                async with self._store.connection(ours=True, prompt=True) as connection:
                    failures, aside = await checkpoints.failed(
                        connection, *self._mine(), share.taken, what, sealed, said
                    )
            except SliceLost:
                self.let_go([share.taken.slice])
                return False
            except LOST as error:
                told_of(error)
        if aside:
            self._set_aside(share, sealed, failures, said)
        elif what != "try":
            self._back_off(share, failures)
        return aside

    async def settled(self, number: int, stream: UUID, position: int, said: str | None) -> None:
        """Say what became of an event that was tried again."""
        try:
            async with self._store.connection(ours=True, prompt=True) as connection:
                left = await checkpoints.settled(connection, *self._mine(), position, said)
        except SliceLost:
            self.let_go([number])
            return
        share = self.shares.get(number)
        if left == 0 and share is not None:
            share.taken = share.taken._replace(aside=share.taken.aside - {stream})

    async def settled_on(self, conn: Connection, position: int) -> None:
        """Say in the caller's transaction that an event tried again is done. Raises `SliceLost`: roll back.

        What its stream has set aside is looked up by the next renewal: this transaction may not commit.
        """
        await checkpoints.settled(conn, *self._mine(), position, None)

    async def tried_again(self, limit: int) -> list[tuple[int, Sealed]]:
        """Return what an operator wants tried again, of our slices."""
        async with self._store.connection(ours=True, prompt=True) as connection:
            found = await checkpoints.again(connection, *self._mine(), limit)
        return [one for one in found if one[0] in self.shares]

    async def mend(self) -> tuple[int, str | None]:
        """Move what the log does not have; what was handled beyond the stored checkpoints is of a log that is gone."""
        async with self._store.connection(ours=True, prompt=True) as connection:
            told = await checkpoints.mend(connection, self._store.shard, self._of.id)
        self.shares.clear()
        await self.renew()
        return told

    async def give_back(self, slices: Sequence[int] | None = None) -> None:
        """Give these slices back, or (None) all, and leave."""
        async with self._lock:
            for number in list(self.shares) if slices is None else slices:
                self.shares.pop(number, None)
            async with self._store.connection(ours=True, prompt=True) as connection:
                await checkpoints.release(connection, *self._mine(), slices)

    def let_go(self, slices: Sequence[int]) -> None:
        """Forget slices that are another's now, or were moved; the next renewal says what is ours."""
        for number in slices:
            self.shares.pop(number, None)
        self._tell_lost(slices)

    def wait(self, share: Share, pause_s: float) -> None:
        """Hand nothing of a slice out for a while; then it is read again from where it is."""
        share.waits_until = time.monotonic() + max(pause_s, 0.001)
        share.flows = False

    def _set_aside(self, share: Share, sealed: Sealed, failures: int, said: str | None) -> None:
        share.stored = share.handled = sealed.place
        share.tried, share.careful = False, 0
        share.came_to(sealed.place)
        event = sealed.event
        if self._of.options.strict:
            share.taken = share.taken._replace(aside=share.taken.aside | {event.stream_id})
        kind = said.partition(":")[0] if said else None
        emit(SubscriptionSetAside(self._of.name, self._of.tenant, event.stream_id, event.type, failures, kind))

    def _back_off(self, share: Share, failures: int) -> None:
        if failures >= self._of.options.max_failures:
            emit(LimitMet("events set aside", ASIDE_MOST, ASIDE_MOST))
        self.wait(share, min(BACKOFF_MOST_S, self._of.options.backoff_s * 2.0 ** min(30, max(0, failures - 1))))

    def _tell_lost(self, slices: Sequence[int]) -> None:
        if slices:
            emit(SubscriptionSlicesLost(self._of.name, self._of.tenant, tuple(sorted(slices))))

    def _mine(self) -> tuple[int, UUID, UUID]:
        return self._store.shard, self._of.id, self._consumer


def told_of(error: BaseException) -> None:
    """Tell that the database could not be asked."""
    emit(ConnectionLost(where="subscription", error=type(error).__name__))
