"""Durable subscriptions: checkpoints by compare-and-set, slices that change hands, events set aside, resets, lag."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.faults.conftest import until
from tests.http.conftest import served

from jobledger import Client
from jobledger.errors import BadCursor, FeedReset, Forbidden, InvalidArgument, NotFound, SliceLost, SubscriptionDiffers
from jobledger.observations import SubscriptionReset, SubscriptionSetAside, SubscriptionSlicesLost, observing
from jobledger.order import checkpoints
from jobledger.order import consumer as consumers
from jobledger.order import hub as hubs
from jobledger.order.checkpoints import Move, slice_of
from jobledger.order.consumer import Consumer
from jobledger.order.cursor import Cursors, Place, cursors_for

from .stress import seal_all, whole_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.order.subscription import Subscription
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    """Give a client on the test's own database."""
    async with Client(store, strict=False, actor="ada") as made:
        yield made


@pytest.fixture(params=["database", "service"])
async def way(request: pytest.FixtureRequest, client: Client, store: Store) -> AsyncIterator[Client]:
    """Give a client that consumes: of the database, and of a service in front of it."""
    if request.param == "database":
        yield client
        return
    async with served(store) as (session, _), Client(url=str(session._base_url), key="jl_key") as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let consumers look every 20 ms what they have."""
    monkeypatch.setattr(consumers, "CHECKPOINT_S", 0.02)
    monkeypatch.setattr(consumers, "RENEW_S", 0.02)


async def _jobs(client: Client, count: int, **options: Any) -> list[UUID]:
    """Enqueue so many jobs, one block each."""
    jobs = []
    for _ in range(count):
        jobs.append((await client.enqueue("noop", **options)).id)
        await _seal(client)
    return jobs


async def _seal(client: Client) -> None:
    async with client.store.connection() as connection:
        await seal_all(connection)


@asynccontextmanager
async def _consuming(subscription: Subscription, handler: Callable[[Any], Any], **options: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(subscription.consume(handler, **options))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class Seen:
    """A handler that remembers what it was given, and fails where it is told to."""

    def __init__(self, fails: set[UUID] | None = None) -> None:
        """Prepare."""
        self.events: list[tuple[UUID, str]] = []
        self.fails = fails or set()
        self.failures = 0

    async def __call__(self, given: Event | list[Event]) -> None:
        """Take an event, or several."""
        for event in given if isinstance(given, list) else [given]:
            self._take(event)

    def _take(self, event: Event) -> None:
        if event.stream_id in self.fails:
            self.failures += 1
            raise ValueError("no")
        if event.type.startswith("job."):
            self.events.append((event.stream_id, event.type))

    @property
    def streams(self) -> list[UUID]:
        """The jobs whose events came, in order."""
        return [stream for stream, _ in self.events]


async def test_it_goes_on_where_it_was_left(client: Client, way: Client) -> None:
    """Created once, it gives every event from its beginning, and to the next consumer only what came after."""
    audit = way.subscription("audit")
    first = await _jobs(client, 3)
    assert await audit.create(types=["job.enqueued"], slices=4)
    assert not await audit.create(types=["job.enqueued"], slices=4, max_failures=2)
    with pytest.raises(SubscriptionDiffers):
        await audit.create(slices=4)
    seen = Seen()
    async with _consuming(audit, seen):
        await until(lambda: seen.streams == first)
    later = await _jobs(client, 3)
    again = Seen()
    async with _consuming(audit, again, batch=None):
        await until(lambda: again.streams == later)
    status = await audit.status()
    assert (status.lag.events, status.consumers, status.options.max_failures) == (0, 0, 2)
    assert not hubs._hubs


async def test_it_gives_what_it_wants_and_moves_past_the_rest(client: Client, way: Client) -> None:
    """By kind, queue and owner as the job was enqueued; what nobody wants does not hold the checkpoint back."""
    wanted = await client.enqueue("mail", queue="q", owner="ada")
    for kind, options in (
        ("mail", {"queue": "q"}),
        ("noop", {"queue": "q", "owner": "ada"}),
        ("mail", {"owner": "ada"}),
    ):
        await client.enqueue(kind, **options)  # type: ignore[arg-type]
        await _seal(client)
    await client.cancel(wanted.id, reason="r")
    await client.cancel((await client.enqueue("noop", queue="q")).id, reason="r")
    await _seal(client)
    subscription = way.subscription("s")
    await subscription.create(kind="mail", queue="q", owner="ada", slices=3)
    seen = Seen()
    async with _consuming(subscription, seen):
        await _until(lambda: _stored(subscription), {4})
    assert seen.events == [(wanted.id, "job.enqueued"), (wanted.id, "job.cancelled")]
    async with client.store.connection() as connection:
        ids = await connection.fetch("select jobledger.new_id() as id from generate_series(1, 8000)")
        spread = Counter(slice_of(row["id"], 8) for row in ids)
        # A thousand each, within almost seven standard deviations.
        assert len(spread) == 8
        assert 800 < min(spread.values()) <= max(spread.values()) < 1200
        for slices in (1, 7, 256):
            sliced = f"select ('x' || right($1::text, 7))::bit(28)::int % {slices}"
            assert await connection.fetchval(sliced, str(wanted.id)) == slice_of(wanted.id, slices)


async def test_what_was_done_with_it_is_on_record(client: Client) -> None:
    """Created, reset, disabled and removed are events on its own stream, with who and why."""
    feed = client.subscription("feed", tenant="acme")
    await feed.create(from_end=True, reason="new")
    assert await feed.disable(reason="flood")
    assert not await feed.disable()
    await feed.reset(reason="over")
    await feed.reset(from_start=True)
    await feed.remove(reason="gone")
    with pytest.raises(NotFound):
        await feed.status()
    await _seal(client)
    told = [event async for event in client.events(tenant="acme", live=False)]
    assert [(one.version, one.type, one.actor) for one in told] == [
        (1, "subscription.created", "ada"),
        (2, "subscription.disabled", "ada"),
        (3, "subscription.reset", "ada"),
        (4, "subscription.reset", "ada"),
        (5, "subscription.removed", "ada"),
    ]
    assert [(one.data or {}).get("to") for one in told[2:4]] == [None, "beginning"]
    # No place is told: two of them would tell a tenant how much everybody did between them.
    assert not any({"block", "position", "cursor", "epoch"} & set(one.data or {}) for one in told)


async def test_who_lost_its_slice_moves_no_checkpoint(client: Client, clock: Clock) -> None:
    """Checkpoints move by compare-and-set: from where they are, forward, and by who holds the slice now."""
    await _jobs(client, 3)
    await client.subscription("s").create(slices=2, lease_s=30)
    async with client.store.connection() as connection:
        (one,) = await checkpoints.listed(connection, 0)
        old, new = uuid4(), uuid4()
        first, second = await checkpoints.take(connection, 0, one.id, old, "old")
        places = [Place(block, block, 1) for block in (1, 2, 3)]

        async def moved(consumer: UUID, taken: int, came: Place, upto: Place, number: int = 0) -> bool:
            move = Move(number, taken, came, upto)
            return await checkpoints.advance(connection, 0, one.id, consumer, [move]) == {number}

        assert await moved(old, first.taken, first.place, places[0])
        assert not await moved(old, first.taken, first.place, places[1])
        assert not await moved(old, first.taken, places[0], first.place)
        assert not await moved(old, first.taken + 1, places[0], places[1])
        assert not await moved(new, first.taken, places[0], places[1])
        # A lease that has run out costs nothing while nobody takes the slice.
        await clock.advance(seconds=31)
        assert await moved(old, first.taken, places[0], places[1])
        taken = await checkpoints.take(connection, 0, one.id, new, "new")
        assert [(row.slice, row.place, row.deaths) for row in taken] == [(0, places[1], 1), (1, second.place, 1)]
        assert not await moved(old, first.taken, places[1], places[2])
        assert await moved(new, taken[0].taken, places[1], places[2])
        # Neither does who is moved from outside.
        await client.subscription("s").reset(from_start=True)
        assert not await moved(new, taken[0].taken, places[2], places[2])
        with pytest.raises(SliceLost):
            await checkpoints.settled(connection, 0, one.id, old, 1)


async def test_two_who_move_one_checkpoint_at_once_move_it_once(client: Client) -> None:
    """Of many that race from the same place one wins, whichever way they meet."""
    await _jobs(client, 1)
    await client.subscription("s").create(slices=1)
    async with client.store.connection() as connection:
        (one,) = await checkpoints.listed(connection, 0)
        (taken,) = await checkpoints.take(connection, 0, one.id, me := uuid4(), None)

    async def move() -> bool:
        async with client.store.connection() as own:
            upto = Place(1, 1, 1)
            return bool(await checkpoints.advance(own, 0, one.id, me, [Move(0, taken.taken, taken.place, upto)]))

    assert sorted(await asyncio.gather(*(move() for _ in range(8)))) == [False] * 7 + [True]


async def test_slices_are_split_fairly_as_consumers_come_and_go(client: Client, clock: Clock) -> None:
    """Each has its share to within one, nobody's slice is another's, and who is gone or silent is replaced."""
    await client.subscription("s").create(slices=7, lease_s=30)
    async with client.store.connection() as connection:
        (one,) = await checkpoints.listed(connection, 0)
        alive: list[UUID] = []

        async def settle() -> list[int]:
            counts: list[int] = []
            for _ in range(3):
                had: list[int] = []
                counts = []
                for me in alive:
                    rows = await checkpoints.take(connection, 0, one.id, me, None)
                    if surplus := [row.slice for row in rows if row.surrender]:
                        await checkpoints.release(connection, 0, one.id, me, surplus)
                    kept = [row.slice for row in rows if not row.surrender]
                    had += kept
                    counts.append(len(kept))
                assert len(had) == len(set(had))
            assert sorted(had) == list(range(7))
            return counts

        for expected in ([7], [4, 3], [3, 2, 2]):
            alive.append(uuid4())
            assert await settle() == expected
        await checkpoints.release(connection, 0, one.id, alive.pop(0))
        assert await settle() == [4, 3]
        # One that says nothing any more keeps its slices until its lease is over.
        silent = alive.pop(0)
        assert len(await checkpoints.take(connection, 0, one.id, alive[0], None)) == 3
        await clock.advance(seconds=31)
        assert await settle() == [7]
        alive.append(silent)
        assert await settle() == [4, 3]


async def test_what_fails_too_often_is_set_aside_and_the_rest_goes_on(client: Client, way: Client) -> None:
    """It is tried again after a back-off, then stored and listed; an operator lets it be tried again, or drops it."""
    jobs = await _jobs(client, 6)
    mail = way.subscription("mail")
    await mail.create(slices=2, max_failures=3, backoff_s=0.01)
    seen = Seen({jobs[1], jobs[4]})
    with observing(SubscriptionSetAside) as told:
        async with _consuming(mail, seen):
            await until(lambda: len(told) == 2 and len(seen.events) == 4)
            assert set(seen.streams) == set(jobs) - seen.fails
            assert seen.failures == 6
            aside = await mail.set_aside()
            assert [(one.stream_id, one.failures, one.state, one.error) for one in aside] == [
                (job, 3, "aside", "ValueError: no") for job in (jobs[1], jobs[4])
            ]
            assert (await mail.status()).aside == 2
            # Tried again in vain it is set aside once more; without the fault it is done.
            assert await mail.retry([jobs[1]]) == 1
            await until(lambda: seen.failures == 7)
            seen.fails = set()
            assert await mail.drop([jobs[4]], reason="nobody needs it") == 1
            await _until(lambda: _states(mail), ["aside", "dropped"])
            assert await mail.retry() == 1
            await until(lambda: jobs[1] in seen.streams)
            await _until(lambda: _states(mail), ["dropped"])
    assert (await mail.set_aside())[0].reason == "nobody needs it"
    assert len(seen.events) == len(set(seen.events)) == 5


GIVEN_UP = """
insert into jobledger.subscription_set_aside
  (subscription, stream_id, first_at, changed_at, block, position, epoch, version, failures, shard, slice, state)
select s.id, gen_random_uuid(), now(), now() - interval '1 hour', 1, n, 1, 1, 1, 0, 0,
  case when n <= 10000 then 'dropped' else 'aside' end
from jobledger.subscriptions as s, generate_series(1, 10003) as n
"""
KEPT = "select count(*), min(position), max(position) from jobledger.subscription_set_aside where state = 'dropped'"


async def test_of_what_was_given_up_the_newest_is_kept(client: Client, store: Store) -> None:
    """Ten thousand events of each subscription; older ones go as others are given up."""
    mail = client.subscription("mail")
    await mail.create()
    async with store.connection() as connection:
        await connection.execute(GIVEN_UP)
        assert await mail.drop(reason="nobody needs it") == 3
        assert tuple(await connection.fetchrow(KEPT) or ()) == (10_000, 4, 10_003)


async def _states(subscription: Subscription) -> list[str]:
    return [one.state for one in await subscription.set_aside()]


async def _until(look: Callable[[], Any], wanted: object) -> None:
    async with asyncio.timeout(60):
        while await look() != wanted:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)


async def test_events_are_taken_one_by_one(client: Client, way: Client) -> None:
    """Who asks for the next has handled the one before; `ack` stores it, `fail` has it come again."""
    jobs = await _jobs(client, 4)
    hand = way.subscription("hand")
    await hand.create(types=["job.enqueued"], slices=1, max_failures=2, backoff_s=0)
    async with hand.events(consumer="by hand") as events:
        assert (await anext(events)).stream_id == jobs[0]
        assert [one.about for one in await hand.slices()] == ["by hand"]
        await events.ack()
        assert await _stored(hand) == {1}
        for _ in range(2):
            assert (await anext(events)).stream_id == jobs[1]
            await events.fail(ValueError("no\0\ud800"))
        # What Postgres cannot keep is replaced: else the failure would not be counted, and the event come for ever.
        assert [(one.stream_id, one.error) for one in await hand.set_aside()] == [(jobs[1], "ValueError: no␀?")]
        assert [(await anext(events)).stream_id for _ in range(2)] == jobs[2:]
    assert await _stored(hand) == {3}
    assert (await hand.status()).consumers == 0
    async with hand.events() as events:
        assert (await anext(events)).stream_id == jobs[3]
        if way is not client:
            async with client.store.connection() as connection:
                with pytest.raises(InvalidArgument, match="transaction"):
                    await events.ack(conn=connection)


async def test_consumers_share_the_slices(client: Client, way: Client) -> None:
    """Two have half each, nobody's job is the other's, and the whole is one's again when the other leaves."""
    shared = way.subscription("shared")
    await shared.create(types=["job.enqueued"], slices=4)
    one, two = Seen(), Seen()

    async def shares() -> list[int]:
        held = Counter(part.consumer for part in await shared.slices())
        return sorted(count for consumer, count in held.items() if consumer is not None)

    async with _consuming(shared, one):
        await _until(shares, [4])
        async with _consuming(shared, two, batch=10):
            await _until(shares, [2, 2])
            jobs = await _jobs(client, 20)
            await until(lambda: len(one.events) + len(two.events) == 20)
        await _until(shares, [4])
        jobs += await _jobs(client, 5)
        await until(lambda: len(one.events) + len(two.events) == 25)
    assert sorted(one.streams + two.streams) == sorted(jobs)
    assert two.events
    assert not {slice_of(job, 4) for job in two.streams} & {
        slice_of(job, 4) for job in one.streams[: 20 - len(two.events)]
    }


async def test_a_failure_counts_while_the_checkpoint_only_comes_nearer(client: Client) -> None:
    """Past events of other slices; behind the event that failed it is forgotten."""
    await _jobs(client, 3)
    await client.subscription("s").create(slices=1, max_failures=9)
    async with client.store.connection() as connection:
        (one,) = await checkpoints.listed(connection, 0)
        (held,) = await checkpoints.take(connection, 0, one.id, me := uuid4(), None)
        first, failing, last = await whole_log(connection)

        async def moved(came: Place, upto: Place) -> int:
            assert await checkpoints.advance(connection, 0, one.id, me, [Move(0, held.taken, came, upto)])
            return (await client.subscription("s").slices())[0].failures

        for count in (1, 2):
            assert await checkpoints.failed(connection, 0, one.id, me, held, "failed", failing) == (count, False)
        assert await moved(held.place, first.place) == 2
        assert await checkpoints.failed(connection, 0, one.id, me, held, "failed", failing) == (3, False)
        assert await moved(first.place, last.place) == 0


async def test_a_strict_one_holds_back_what_comes_after_of_the_same_job(client: Client, way: Client) -> None:
    """Later events of a job wait behind the one set aside, in order; those of other jobs go on."""
    first, other = await _jobs(client, 2)
    strict = way.subscription("strict")
    await strict.create(slices=1, strict=True, max_failures=1, backoff_s=0)
    seen = Seen({first})
    async with _consuming(strict, seen):
        await until(lambda: seen.streams == [other])
        for priority in (1, 2):
            await client.reprioritise(first, priority=priority, reason="r")
            await _seal(client)
        await client.reprioritise(other, priority=1, reason="r")
        await _seal(client)
        await until(lambda: seen.streams == [other, other])
        assert await _states(strict) == ["aside", "held", "held"]
        assert seen.failures == 1
        # In vain: what is behind it waits on.
        assert await strict.retry() == 3
        await _until(lambda: _states(strict), ["aside", "held", "held"])
        assert seen.failures == 2
        seen.fails = set()
        await strict.retry()
        await _until(lambda: _states(strict), [])
        await client.reprioritise(first, priority=3, reason="r")
        await _seal(client)
        await until(lambda: len(seen.events) == 6)
    assert [kind for stream, kind in seen.events if stream == first] == ["job.enqueued"] + ["job.reprioritised"] * 3


async def test_a_checkpoint_never_passes_what_is_still_out(client: Client) -> None:
    """Neither while an event is handled, nor while it waits to be tried again, nor within what was read ahead."""
    jobs = await _jobs(client, 3)
    await client.subscription("s").create(slices=1, types=["job.enqueued"], backoff_s=600)
    async with client.store.connection() as connection:
        (one,) = await checkpoints.listed(connection, 0)
    async with Consumer(client.store, one) as consumer:

        async def stored() -> Place:
            await consumer.checkpoint()
            return (await client.subscription("s").slices())[0].place

        for at, job in enumerate(jobs):
            (out,) = await consumer.next()
            assert out.event.stream_id == job
            assert await stored() < out.sealed.place
            if at < 2:
                await consumer.done([out])
                assert out.sealed.place <= await stored() < Place(at + 2, at + 2, 1)
        await consumer.failed(out, ValueError())
        assert await stored() < out.sealed.place


async def test_a_batch_that_fails_comes_again_event_by_event(client: Client, way: Client) -> None:
    """So the one at fault is found, and the others of the batch are not set aside with it."""
    jobs = await _jobs(client, 5)
    bulk = way.subscription("bulk")
    await bulk.create(slices=1, max_failures=2, backoff_s=0)
    sizes: list[int] = []
    done: list[UUID] = []

    async def handler(events: list[Event]) -> None:
        sizes.append(len(events))
        if jobs[2] in [event.stream_id for event in events]:
            raise ValueError
        done.extend(event.stream_id for event in events if event.type.startswith("job."))

    async with _consuming(bulk, handler, batch=100):
        await until(lambda: len(done) == 4)
        assert await _states(bulk) == ["aside"]
    assert done == [jobs[0], jobs[1], jobs[3], jobs[4]]
    assert sizes[0] > 1


async def test_an_event_that_kills_its_consumers_is_set_aside(client: Client, clock: Clock) -> None:
    """A consumer that dies says nothing: where one did, events are counted before they are handed out."""
    jobs = await _jobs(client, 3)
    await client.subscription("s").create(types=["job.enqueued"], slices=1, max_failures=2, lease_s=30)
    subscription = client.subscription("s")
    async with client.store.connection() as connection:
        (one,) = await checkpoints.listed(connection, 0)
        await checkpoints.take(connection, 0, one.id, uuid4(), "dies")
    for _ in range(2):
        await clock.advance(seconds=31)
        dies = Consumer(client.store, one)
        dies._holding.give_back = _nothing  # type: ignore[method-assign, assignment]
        async with dies:
            (found,) = await dies.next(10)
            assert found.event.stream_id == jobs[0]
    await clock.advance(seconds=31)
    seen = Seen()
    async with _consuming(subscription, seen):
        await until(lambda: seen.streams == jobs[1:])
    (aside,) = await subscription.set_aside()
    assert (aside.stream_id, aside.failures) == (jobs[0], 2)


async def _nothing(*_: object) -> None:
    """Do nothing."""


async def test_a_reset_moves_its_consumers_at_once(client: Client, way: Client, clock: Clock) -> None:
    """To a cursor, a time, the end or the start: who consumes goes on from there, without being told."""
    await clock.stand()
    jobs = []
    for _ in range(4):
        await clock.advance(minutes=1)
        jobs += await _jobs(client, 1)
    noon = await clock.now()
    await clock.run()
    feed = client.events(types=["job.enqueued"], live=False)
    cursors = [feed.cursor async for _ in feed]
    subscription = way.subscription("s")
    await subscription.create(types=["job.enqueued"], slices=3, from_end=True)
    seen = Seen()
    with observing(SubscriptionSlicesLost) as lost:
        async with _consuming(subscription, seen):
            async with client.store.connection() as connection:
                (one,) = await checkpoints.listed(connection, 0)
            for options, expected in (
                ({"after": cursors[1]}, jobs[2:]),
                ({"at": noon - _minutes(1)}, jobs[3:]),
                ({"at": noon - _minutes(60)}, jobs),
                ({"from_start": True}, jobs),
            ):
                seen.events.clear()
                await subscription.reset(**options)
                await until(partial(_has, seen, expected))
            # What is not stored yet would come again.
            await _until(lambda: _stored(subscription), {4})
            seen.events.clear()
            lost.clear()
            await subscription.disable()
            await until(lambda: bool(lost))
            late = await _jobs(client, 1)
            assert not seen.events
            await subscription.reset()
            await until(lambda: seen.streams == late)
            await subscription.remove()
            with pytest.raises(NotFound):
                await subscription.consume(seen)
    wrong: list[dict[str, Any]] = [{"after": "p"}, {"after": Place(9, 9, 1).text()}]
    await subscription.create()
    for options, error in zip(wrong, (BadCursor, FeedReset), strict=True):
        with pytest.raises(error):
            await subscription.reset(**options)
    assert one.options.slices == 3


async def test_a_checkpoint_that_the_log_does_not_have_is_moved(client: Client, way: Client) -> None:
    """Behind the end, or before the horizon: it goes on from where the log says, told by event and observation."""
    jobs = await _jobs(client, 6)
    subscription = way.subscription("s")
    await subscription.create(types=["job.enqueued"], slices=3)
    async with client.store.connection() as connection:
        for statement in (
            "update jobledger.horizon set block = 2, position = 2, epoch = 1048577, generation = 1",
            "update jobledger.subscription_slices set block = 1, position = 1, epoch = 1 where slice = 0",
            "update jobledger.subscription_slices set block = 50, position = 50, epoch = 1 where slice = 1",
        ):
            await connection.execute(statement)
    left = [job for at, job in enumerate(jobs) if slice_of(job, 3) != 1 and (at >= 2 or slice_of(job, 3) == 2)]
    seen = Seen()
    with observing(SubscriptionReset) as told:
        async with _consuming(subscription, seen):
            # By chance nothing may be left.
            await until(lambda: seen.streams == left and bool(told))
    assert [(one.name, one.slices) for one in told] == [("s", 2)]
    await _seal(client)
    resets = [event async for event in client.events(types=["subscription.reset"], live=False)]
    assert [(event.type, (event.data or {}).get("slices")) for event in resets] == [("subscription.reset", 2)]


async def test_who_consumes_while_the_server_falls_back_goes_on_from_its_checkpoint(
    client: Client, way: Client
) -> None:
    """After a failover that lost the last blocks what came in them comes again, and that is told."""
    jobs = await _jobs(client, 3)
    subscription = way.subscription("s")
    await subscription.create(types=["job.enqueued"], slices=2)
    seen = Seen()
    async with _consuming(subscription, seen):
        await until(lambda: seen.streams == jobs)
        await _until(lambda: _stored(subscription), {3})
        with observing(SubscriptionReset) as told:
            async with client.store.transaction() as connection:
                await connection.execute("alter table jobledger.blocks disable trigger all")
                await connection.execute("delete from jobledger.blocks where block > 1")
                await connection.execute("update jobledger.subscription_slices set block = 1, position = 1")
            await _seal(client)
            await until(lambda: len(seen.events) == 5)
    assert seen.streams == [*jobs, *jobs[1:]]
    assert {one.reason for one in told} == {"beyond_end"}


async def _stored(subscription: Subscription) -> set[int]:
    return {one.place.block for one in await subscription.slices()}


async def test_a_checkpoint_can_be_one_with_the_consumers_own_writes(client: Client) -> None:
    """Written in one transaction an event takes effect once, however often it is given."""
    jobs = await _jobs(client, 3)
    subscription = client.subscription("s")
    await subscription.create(slices=1)
    async with client.store.connection() as connection:
        await connection.execute("create table taken (id uuid)")

        async def book(fails: UUID | None) -> None:
            async with subscription.events(consumer="bookkeeper") as events:
                async for event in events:
                    async with connection.transaction():
                        await connection.execute("insert into taken values ($1)", event.stream_id)
                        await events.ack(conn=connection)
                        if event.stream_id == fails:
                            raise ZeroDivisionError
                    if event.stream_id == jobs[2]:
                        return

        with pytest.raises(ZeroDivisionError):
            await book(jobs[1])
        await book(None)
        assert [row["id"] for row in await connection.fetch("select id from taken order by id")] == jobs


async def test_the_lag_is_told_in_events_and_seconds(client: Client, clock: Clock) -> None:
    """By the counts of blocks and the time when the oldest unread one was sealed; beyond 1,000 blocks by positions."""
    await clock.stand()
    await client.enqueue_many([await client.call("noop") for _ in range(5)])
    await _seal(client)
    subscription = client.subscription("s", tenant="acme")
    await subscription.create(slices=2)
    await clock.advance(seconds=9)
    await _jobs(client, 1)
    # Its creation is an event, too.
    assert (await subscription.status()).lag == (7, 9.0, True)
    await subscription.reset(after=(await _cursors(client, "acme")).write(Place(1, 2, 1)))
    await _seal(client)
    assert (await subscription.status()).lag == (6, 9.0, False)
    async with client.store.connection() as connection:
        await connection.execute(
            "insert into jobledger.blocks select n, 100 + n, 100 + n, 100 + n, first_xid, last_xid, sealed_at, 1,"
            " epoch, 1, 1, shard, since, snapshot, late, null from jobledger.blocks, generate_series(4, 1200) as n"
            " where block = 3"
        )
    assert (await subscription.status()).lag == (1300 - 5, 9.0, False)
    await subscription.reset(from_end=True)
    assert (await subscription.status()).lag == (0, 0.0, True)
    assert [one.lag.events for one in await subscription.slices()] == [0, 0]


async def _cursors(client: Client, tenant: str) -> Cursors:
    async with client.store.connection() as connection:
        return await cursors_for(connection, tenant)


async def test_a_tenants_subscription_tells_it_nothing_of_others(client: Client) -> None:
    """It has the tenant's events only, its cursors are encrypted, and roles bound to tenants have no subscriptions."""
    await _jobs(client, 2, tenant="other")
    mine = await _jobs(client, 2, tenant="acme")
    subscription = client.subscription("s", tenant="acme")
    await subscription.create(slices=1)
    seen = Seen()
    async with _consuming(subscription, seen):
        await until(lambda: seen.streams == mine)
    cursor = (await subscription.status()).cursor
    assert cursor.startswith("s")
    assert [event async for event in client.events(tenant="acme", after=cursor, live=False)] == []
    for plain in (Place(1, 1, 1).text(), (await client.subscription("s", tenant="acme").status()).cursor):
        with pytest.raises(BadCursor):
            await client.subscription("e", tenant="other").create(after=plain)
    assert [(one.name, one.tenant) for one in await client.subscriptions()] == [("s", "acme")]
    assert await client.subscriptions(tenant="_global") == []
    async with client.store.connection() as connection:
        await connection.execute("create role bound_consumer in role jobledger_worker, jobledger_operator")
        await connection.execute("insert into jobledger.grants (role, tenant) values ('bound_consumer', 'acme')")
        try:
            await connection.execute("set role bound_consumer")
            bound = Client(connection).subscription("s", tenant="acme")
            for refused in (bound.create(), bound.status(), bound.consume(seen), bound.reset(), bound.set_aside()):
                with pytest.raises(Forbidden):
                    await refused
        finally:
            await connection.execute("reset role")
            await connection.execute("drop role bound_consumer")


async def test_one_process_reads_each_block_once_for_all_its_subscriptions(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten subscriptions that have caught up take what comes from the one hub."""
    # It reads when it is told, however long the rest takes.
    monkeypatch.setattr(hubs, "_HEARING_S", 600.0)
    seen = [Seen() for _ in range(10)]
    async with AsyncExitStack() as stack:
        for number, one in enumerate(seen):
            subscription = client.subscription(f"s{number}")
            await subscription.create(slices=2, types=["job.enqueued"])
            await stack.enter_async_context(_consuming(subscription, one))
        await _jobs(client, 1)
        await until(lambda: all(len(one.events) == 1 for one in seen))
        (hub,) = hubs._hubs.values()
        await until(lambda: sum(map(len, hub._ears.values())) == 10)
        await until(lambda: hub._ear is not None and hub._ear.connected)
        reads = hub.reads
        await _jobs(client, 1)
        await until(lambda: all(len(one.events) == 2 for one in seen))
        assert hub.reads - reads < 10
    assert not hubs._hubs


def _has(seen: Seen, jobs: list[UUID]) -> bool:
    return seen.streams == jobs


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)
