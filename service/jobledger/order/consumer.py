"""A consumer of a durable subscription: takes slices, reads on from their checkpoints, and moves those on.

Events are handed out in the order of the log, those of one slice after the other. A slice whose event failed waits for
its back-off while the others go on; then the log is read again from where that slice is, and what was handled is passed
over. Everything is at least once: what was handled after the last checkpoint may come again to whoever takes the slice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from jobledger.errors import BadInput, FeedReset, Forbidden, NotFound, SliceLost
from jobledger.ids import new_id
from jobledger.observations import SubscriptionReset, emit
from jobledger.order.checkpoints import slice_of
from jobledger.order.cursor import Place
from jobledger.order.filters import Origins, select
from jobledger.order.holding import LOST, Holding, told_of
from jobledger.order.inlet import AHEAD, Inlet
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobledger.errors import JobledgerError
    from jobledger.events import Event
    from jobledger.order.checkpoints import Registered
    from jobledger.order.holding import Share
    from jobledger.order.log import Sealed
    from jobledger.store.pool import Connection, Store

_log = logging.getLogger("jobledger.order")

CHECKPOINT_S: Final = 1.0
CHECKPOINT_EVENTS: Final = 500
RENEW_S: Final = 2.0
_AGAIN: Final = 100
_RETRY_S: Final = 1.0
_REFUSED: Final = (NotFound, Forbidden, BadInput)
"""What is the same however often it is tried."""


class Delivery(NamedTuple):
    """One event handed out, and the slice it is of; `again`: an operator had what was set aside tried again."""

    event: Event
    sealed: Sealed
    share: Share
    again: bool


class Consumer:
    """Takes part in a subscription inside `async with`; leaves with its last checkpoint, and others take its slices.

    One at a time: `next` gives a batch, then `done` or `failed` says what became of it. A batch that is asked for while
    another is out takes that one as not handled: its events come again.
    """

    def __init__(
        self,
        store: Store,
        registered: Registered,
        *,
        about: str | None = None,
        renew_s: float | None = None,
        ahead: int = AHEAD,
    ) -> None:
        """Prepare; `about` says who this is, for the list of consumers.

        `renew_s`: after how many seconds it says again that it lives, learns which slices are its own, and stores how
        far it is where it was given nothing; at most a third of the lease (default 2). Longer costs less, and others
        wait longer for their share. `ahead`: how many events are read before they are asked for.
        """
        self.id = new_id()
        self._renew_s = renew_s
        self._ahead = ahead
        self._store = store
        self._of = registered
        self._holding = Holding(store, registered, self.id, about)
        self._inlet: Inlet | None = None
        self._out: list[Delivery] = []
        self._since = 0
        self._single_until = Place()
        self._settling: set[int] = set()
        self._changed = asyncio.Event()
        self._over: JobledgerError | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.lives: Callable[[], bool] = _always
        """Whether to renew the lease: one that acts for another process is as alive as that one."""
        self._died = False

    @property
    def lease_s(self) -> int:
        """Seconds for which it may be silent before others take its slices."""
        return self._of.options.lease_s

    @property
    def slices(self) -> list[int]:
        """The slices that this consumer has now."""
        return sorted(self._holding.shares)

    async def __aenter__(self) -> Self:
        """Join.

        Raises:
            NotFound: the subscription was removed.
            Forbidden: the role is bound to tenants.
        """
        await self._mend(None)
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="jobledger-subscription")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave: what was handled is checkpointed, what is out is not."""
        if self._keeper is not None:
            await end([self._keeper])
        with contextlib.suppress(*LOST):
            await self.checkpoint()
        await self._close_inlet()
        if self._died:
            return
        with contextlib.suppress(*LOST):
            await self._holding.give_back()

    def die(self) -> None:
        """Leave, at the end, like one that died over what is out: whoever takes the slices next is careful there."""
        self._died = bool(self._out)

    async def next(self, limit: int = 1) -> list[Delivery]:
        """Return the next events in their order, at least one and at most `limit`; waits for them.

        Raises:
            NotFound: the subscription was removed.
            Forbidden: the role may no longer consume.
            BadInput: what the subscription wants can never be read.
        """
        if self._out:
            self._holding.stale, self._out = True, []
        while True:
            if self._over is not None:
                raise self._over
            try:
                batch = await self._step(limit)
            except _REFUSED:
                raise
            except LOST as error:
                told_of(error)
                self._holding.stale = True
                await self._wait(_RETRY_S)
                continue
            if batch:
                self._out = batch
                return batch

    async def done(self, batch: Sequence[Delivery], *, conn: Connection | None = None) -> None:
        """Say that these were handled. The checkpoint follows within a second; on `conn` at once, in its transaction.

        Raises:
            SliceLost: with `conn`: a slice is no longer this consumer's; roll back, for others will handle them.
        """
        if batch and batch[0].again:
            await (self._settled(batch[0], None) if conn is None else self._settled_on(conn, batch[0]))
        elif batch:
            if conn is not None:
                if not all(map(self._is_ours, batch)):
                    raise SliceLost(hint="Roll back: others handle these events.")
                await self._holding.advance_on(conn, {one.share.taken.slice: one.sealed.place for one in batch})
            self._holding.came_to(batch[-1].sealed.place)
            for one in batch:
                # Also of a slice that is to be given back, which flows no longer.
                one.share.handled = max(one.share.handled, one.sealed.place)
                one.share.tried, one.share.careful = False, max(0, one.share.careful - 1)
        self._out = []
        self._since += len(batch)
        if self._since >= CHECKPOINT_EVENTS:
            await self._quietly_checkpoint()

    async def failed(self, one: Delivery, error: BaseException | str) -> None:
        """Say that this event was not handled, and why: it comes again after a back-off, or is set aside."""
        said = _kept(error if isinstance(error, str) else f"{type(error).__name__}: {error}")
        if one.again:
            await self._settled(one, said)
        elif self._is_ours(one):
            # It is still out meanwhile: what was read behind it is not taken as handled.
            await self._count(one.share, one.sealed, "tried" if one.share.tried else "failed", said)
        self._out = []

    def postpone(self, batch: Sequence[Delivery], wait_s: float) -> None:
        """Let these events come again after a while, without counting a failure; other slices go on meanwhile."""
        for one in batch:
            if self._is_ours(one):
                self._holding.wait(one.share, wait_s)
        self._out = []

    def split(self, batch: Sequence[Delivery]) -> None:
        """Let the events of a batch come again one at a time: nobody knows which of them failed."""
        self._out, self._holding.stale = [], True
        self._single_until = max(self._single_until, batch[-1].sealed.place)

    async def checkpoint(self) -> None:
        """Store how far everything was handled."""
        self._since = 0
        quiet = self._inlet is not None and not self._out and not self._holding.stale
        if quiet and self._inlet is not None and (place := self._inlet.passed) is not None:
            # All that the reader gave was handled, and what it passed over needs no handling.
            self._holding.came_to(place)
        await self._holding.checkpoint()

    async def _step(self, limit: int) -> list[Delivery]:
        """Return what there is to hand out; else do what is to be done first, or wait."""
        holding = self._holding
        if time.monotonic() > holding.lease_ends:
            # Others may have taken the slices: nothing is handed out until the database has said what is still ours.
            await self._wait(None)
            return []
        if holding.again and (found := await self._tried_again()):
            return found
        if holding.stale or holding.next_due_s == 0.0:
            await self._restart()
        if self._inlet is None:
            await self._wait(holding.next_due_s)
            return []
        batch = await self._taken_from(self._inlet, limit)
        if batch or holding.stale:
            return batch
        if (fault := self._inlet.fault) is not None:
            await self._mend(fault)
        else:
            self._inlet.arm(self._changed)
            await self._wait(holding.next_due_s)
        return []

    async def _taken_from(self, inlet: Inlet, limit: int) -> list[Delivery]:
        """Take events from the inlet, up to one that needs a word with the database first."""
        batch: list[Delivery] = []
        while len(batch) < limit and (sealed := inlet.peek()) is not None:
            share = self._holding.shares.get(slice_of(sealed.event.stream_id, self._of.options.slices))
            if share is None or not share.flows or sealed.place <= share.handled:
                # Another's, or it waits, or was handled before.
                inlet.pop()
                continue
            if sealed.place <= self._single_until:
                limit = 1
            if share.careful or sealed.event.stream_id in share.taken.aside:
                if batch:
                    break
                if not await self._may_hand_out(share, sealed):
                    if self._holding.stale:
                        return []
                    continue
                limit = 1
            inlet.pop()
            batch.append(Delivery(sealed.event, sealed, share, again=False))
        return batch

    async def _may_hand_out(self, share: Share, sealed: Sealed) -> bool:
        """Set an event aside behind one of its job, or count it beforehand where a consumer has died."""
        held = sealed.event.stream_id in share.taken.aside
        aside = await self._count(share, sealed, "held" if held else "try", None)
        share.tried = not held
        ours = self._holding.shares.get(share.taken.slice) is share
        return ours and not held and not aside and not self._holding.stale

    async def _count(self, share: Share, sealed: Sealed, what: str, said: str | None) -> bool:
        # What was handled before it is stored first: a checkpoint that moves later would forget the count.
        await self._quietly_checkpoint()
        return await self._holding.count(share, sealed, what, said)

    async def _tried_again(self) -> list[Delivery]:
        """Return the first event that an operator wants tried again, if any is."""
        for number, sealed in await self._holding.tried_again(_AGAIN):
            if sealed.place.position in self._settling:
                continue
            shown = await select(self._of.wanted, [sealed], Origins(), self._store)
            one = shown[0] if shown else sealed
            return [Delivery(one.event, one, self._holding.shares[number], again=True)]
        self._holding.again = False
        self._settling.clear()
        return []

    async def _settled_on(self, conn: Connection, one: Delivery) -> None:
        """Settle it in the caller's transaction; only should that not commit, it is given again after a renewal."""
        await self._holding.settled_on(conn, one.sealed.place.position)
        self._settling.add(one.sealed.place.position)

    async def _settled(self, one: Delivery, said: str | None) -> None:
        try:
            await self._holding.settled(one.share.taken.slice, one.event.stream_id, one.sealed.place.position, said)
        except LOST as error:
            told_of(error)

    def _is_ours(self, one: Delivery) -> bool:
        """Say whether its slice is ours still, without having been another's or moved in between."""
        return self._holding.shares.get(one.share.taken.slice) is one.share

    async def _restart(self) -> None:
        """Read anew, from where the slice is that is furthest behind of those that do not wait."""
        await self._close_inlet()
        await self._give_back()
        place = self._holding.flow()
        if place is not None:
            try:
                self._inlet = await Inlet.at(self._store, self._of.wanted, self._of.kind, place, ahead=self._ahead)
            except BaseException:
                # Also where the call was given up: without a reader the next one would wait for ever.
                self._holding.stale = True
                raise

    async def _close_inlet(self) -> None:
        if self._inlet is not None:
            inlet, self._inlet = self._inlet, None
            await inlet.aclose()

    async def _give_back(self) -> None:
        """Give back what is more than a fair share, with its last checkpoint, so that others go on from there."""
        if surplus := self._holding.surplus:
            await self._quietly_checkpoint()
            await self._holding.give_back(surplus)

    async def _wait(self, timeout_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()

    async def _keep(self) -> None:
        """Renew the lease and store checkpoints until cancelled."""
        renew_s = min(self._of.options.lease_s / 3, self._renew_s or RENEW_S)
        renew_at = time.monotonic() + renew_s
        while True:
            await asyncio.sleep(min(CHECKPOINT_S, renew_s))
            try:
                # One of many that was given nothing stores only now and then how far it passed others' events.
                if self._since or self._renew_s is None or time.monotonic() >= renew_at:
                    await self.checkpoint()
                if self.lives() and (time.monotonic() >= renew_at or not self._holding.shares):
                    renew_at = time.monotonic() + renew_s
                    await self._holding.renew()
                    if not self._out:
                        await self._give_back()
                    self._changed.set()
            except _REFUSED as error:
                # Without it, who waits would wait for ever: a lease that cannot be renewed brings nothing.
                self._over = error
                self._changed.set()
                return
            except LOST as error:
                told_of(error)
            except Exception:  # noqa: BLE001 - the consumer would lose its slices without a word
                _log.exception("renewing a subscription failed")

    async def _quietly_checkpoint(self) -> None:
        try:
            await self.checkpoint()
        except LOST as error:
            told_of(error)

    async def _mend(self, fault: BaseException | None) -> None:
        """Begin, or go on after the reader ended: from where the log says, where it does not have our place."""
        if fault is None or isinstance(fault, FeedReset):
            moved, reason = await self._holding.mend()
            why = reason or (str(fault.detail.get("reason")) if fault is not None else None)
            if why is not None:
                emit(SubscriptionReset(self._of.name, self._of.tenant, why, moved))
        elif isinstance(fault, LOST) and not isinstance(fault, _REFUSED):
            told_of(fault)
            await self._wait(_RETRY_S)
        else:
            raise fault
        self._holding.stale = True


def _kept(said: str) -> str:
    """Return a text as Postgres can keep it: a failure that could not be counted would come again for ever."""
    return said.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()


def _always() -> bool:
    return True
