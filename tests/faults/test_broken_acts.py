"""A network that cuts, stalls and half-opens the line of whoever else has a say in a job's life.

An operator acts, pauses and sets; an application enqueues many at once, and registers a kind; a worker that knows only
the service claims a job by its id. Each asks again until it is answered, and what it asked for happens once. What was
stalled arrives when everything else is over, and changes nothing any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest
from tests.faults.conftest import ENDS, until
from tests.faults.lines import (
    BLOCKED,
    CALLING,
    FAULTS,
    PATIENCE_S,
    Hand,
    each_fault,
    ends_well,
    enqueued,
    in_turn,
    insisted,
    spring,
)
from tests.http.conftest import served
from tests.worker.conftest import quick

from jobledger.errors import WrongState
from jobledger.jobs import App, Client
from jobledger.store.pool import Store
from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from uuid import UUID

    from tests.faults.conftest import Ledger

    from jobledger.testing.proxy import Trap

BY: dict[str, Any] = {"actor": "ada", "reason": "asked for"}
COUNT = "select count(*) from jobledger.events where type::text = $1"
HELD = "select from jobledger.waiting where reason = 'queue_paused'"
NOVEL = "select count(*) from jobledger.events where type = 'kind.registered' and data ->> 'name' = 'novel'"
CLAIMING = {"look": "jobledger.claimed(", "claim": "jobledger.claim_job(", "commit": "COMMIT"}


class Deed(NamedTuple):
    """What an operator does to a job that waits, runs, is parked or has failed, and the event that it is."""

    job: str
    event: str
    do: Callable[[Client, UUID], Awaitable[object]]
    once: bool = True
    """Whether the first time leaves nothing for a second; else the same may be said twice."""


DEEDS = {
    "cancel": Deed("waits", "job.cancelled", lambda client, job: client.cancel(job, **BY)),
    "cancel a running one": Deed("runs", "job.cancel_requested", lambda client, job: client.cancel(job, **BY)),
    "kill": Deed("waits", "job.killed", lambda client, job: client.kill(job, **BY)),
    "kill a running one": Deed("runs", "job.killed", lambda client, job: client.kill(job, **BY)),
    "retry": Deed("failed for good", "job.retried", lambda client, job: client.retry(job, **BY)),
    "unpark": Deed("parked", "job.unparked", lambda client, job: client.unpark(job, **BY)),
    "reschedule": Deed(
        "waits",
        "job.rescheduled",
        lambda client, job: client.reschedule(job, run_at=datetime.now(UTC), **BY),
        once=False,
    ),
    "reprioritise": Deed(
        "waits", "job.reprioritised", lambda client, job: client.reprioritise(job, priority=7, **BY), once=False
    ),
    "move": Deed("waits", "job.moved", lambda client, job: client.move(job, queue="other", **BY), once=False),
}
# The fast suite takes the fault that nobody is told of.
ACTS = in_turn(DEEDS, ("retry", "mute", "after"))


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """Give the proxy of who asks; the worker's own line is sound."""
    with Proxy(database) as made:
        yield made


@pytest.fixture
def hand(database: str) -> Iterator[Hand]:
    """Give a worker."""
    made = Hand(database)
    yield made
    made.gate.set()
    made.stop()


async def _job(client: Client, hand: Hand, ledger: Ledger, state: str) -> UUID:
    """Make a job that is in this state and stays there."""
    if state == "waits":
        return (await client.enqueue("short", run_at=datetime.now(UTC) + timedelta(hours=1), max_attempts=100)).id
    if state == "runs":
        hand.gate.clear()
        job = (await client.enqueue("short", max_attempts=100)).id
        await until(lambda: hand.begun(job))
    else:
        job = (await client.enqueue("various", {"ends": state}, max_attempts=100)).id
        await ledger.reaches(job, state.partition(" ")[0])
        hand.mended.set()
    return job


async def _now_due(client: Client, job: UUID) -> None:
    await client.reschedule(job, run_at=datetime.now(UTC), **BY)


async def _let_arrive(proxy: Proxy, ledger: Ledger, trap: Trap, fault: str, side: str) -> None:
    """Let go what was stalled, end what was forgotten, and wait until the server has done with all of it."""
    if (fault, side) == ("stall", "before"):
        assert await ledger.fetch(CALLING)
    if fault == "orphan":
        proxy.cut()
    trap.let_go()

    async def nobody_calls() -> bool:
        return not await ledger.fetch(CALLING)

    await until(nobody_calls)


@pytest.mark.parametrize(("what", "fault", "side"), ACTS)
async def test_an_act_whose_line_fails_is_done_once_and_asked_for_again(
    proxy: Proxy, database: str, client: Client, hand: Hand, ledger: Ledger, what: str, fault: str, side: str
) -> None:
    """Asked for again it is done, or it was: the job is in no state for it any more, nor for one that comes late."""
    deed = DEEDS[what]
    await hand.ready()
    job = await _job(client, hand, ledger, deed.job)
    trap = proxy.trap("jobledger.act(", before=side == "before")
    springing = asyncio.create_task(spring(trap, fault))
    again = 0

    async def act(asking: Client) -> None:
        nonlocal again
        again += 1
        try:
            await deed.do(asking, job)
        except WrongState:
            assert again > 1

    await insisted(proxy.dsn, act)
    await springing
    assert again > 1
    if what in ("reprioritise", "move"):
        await _now_due(client, job)
    hand.gate.set()
    await ledger.all_over()
    await _let_arrive(proxy, ledger, trap, fault, side)
    await ends_well(hand, ledger, trap, database, [job], ends=ENDS)
    count = await ledger.value(COUNT, deed.event)
    assert count == 1 if deed.once else 1 <= count <= again


@each_fault
async def test_a_pause_whose_line_fails_holds_once_it_is_answered(
    proxy: Proxy, database: str, client: Client, hand: Hand, ledger: Ledger, fault: str, side: str
) -> None:
    """It is on record once; what was stalled arrives in time to be ended with it."""
    await hand.ready()
    trap = proxy.trap("jobledger.pause(", before=side == "before")
    springing = asyncio.create_task(spring(trap, fault))
    await insisted(proxy.dsn, lambda asking: asking.pause("queue", "default", **BY))
    await springing
    job = await enqueued(database, "one", "short")
    await ledger.reaches(job, "ready")
    await until(lambda: ledger.fetch(HELD))
    await _let_arrive(proxy, ledger, trap, fault, side)
    assert await client.resume("queue", "default", **BY)
    await ends_well(hand, ledger, trap, database, [job])
    assert hand.begun(job) == await ledger.value(COUNT, "queue.paused") == 1


@each_fault
async def test_the_end_of_a_pause_whose_line_fails_lets_the_jobs_go_on(
    proxy: Proxy, database: str, client: Client, hand: Hand, ledger: Ledger, fault: str, side: str
) -> None:
    """It is on record once, and so is the limit that is set with it, as often as that was carried out."""
    await hand.ready()
    assert await client.pause("queue", "default", **BY)
    job = await enqueued(database, "one", "short")
    for needle, ask in (
        ("jobledger.set_limit(", lambda asking: asking.set_limit("queue", "default", max_attempts=7, **BY)),
        ("jobledger.resume(", lambda asking: asking.resume("queue", "default", **BY)),
    ):
        trap = proxy.trap(needle, before=side == "before")
        springing = asyncio.create_task(spring(trap, fault))
        await insisted(proxy.dsn, ask)
        await springing
        if needle == "jobledger.resume(":
            await ledger.all_over()
        await _let_arrive(proxy, ledger, trap, fault, side)
    (limit,) = await client.limits(scope="queue", name="default")
    assert (limit.paused, limit.max_attempts) == (False, 7)
    await ends_well(hand, ledger, trap, database, [job])
    assert await ledger.value(COUNT, "queue.resumed") == 1
    assert await ledger.value(COUNT, "queue.limited") >= 1


@each_fault
async def test_many_enqueued_by_keys_over_a_line_that_fails_are_there_once(
    proxy: Proxy, database: str, hand: Hand, ledger: Ledger, fault: str, side: str
) -> None:
    """All or none of the first, all of the second, and nothing by the one that comes late."""
    await hand.ready()
    trap = proxy.trap("jobledger.enqueue_many(", before=side == "before")
    springing = asyncio.create_task(spring(trap, fault))

    async def ask(asking: Client) -> list[UUID]:
        calls = [await asking.call("short", key=str(number), max_attempts=100) for number in range(20)]
        done = await asking.enqueue_many(calls)
        assert len({one.created for one in done}) == 1
        return [one.id for one in done]

    jobs = await insisted(proxy.dsn, ask)
    await springing
    await ledger.all_over()
    await _let_arrive(proxy, ledger, trap, fault, side)
    await ends_well(hand, ledger, trap, database, jobs)


@each_fault
async def test_a_kind_registered_by_a_client_over_a_line_that_fails_is_registered_once(
    proxy: Proxy, database: str, hand: Hand, ledger: Ledger, fault: str, side: str
) -> None:
    """Whoever asks again finds it registered, or registers it."""
    app = App("other")

    @app.job()
    async def novel() -> None:
        """Do nothing."""

    await hand.ready()
    trap = proxy.trap("jobledger.register_kind(", before=side == "before")
    springing = asyncio.create_task(spring(trap, fault))
    await insisted(proxy.dsn, lambda client: Client(client.store, app=app).register())
    await springing
    await _let_arrive(proxy, ledger, trap, fault, side)
    job = await enqueued(database, "one", "short")
    await ends_well(hand, ledger, trap, database, [job])
    assert await ledger.value(NOVEL) == 1


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("what", CLAIMING)
async def test_a_claim_of_one_job_through_a_service_whose_line_fails_is_made_once(
    proxy: Proxy, ledger: Ledger, client: Client, what: str, fault: str, side: str
) -> None:
    """The worker asks the service under the same number until it is answered; it has the job by one claim."""
    job = (await client.enqueue("short")).id
    notes: list[tuple[str, UUID, int]] = []
    async with (
        await Store.connect(proxy.dsn, settings=quick(connect_timeout_s=2)) as store,
        served(store) as (session, _),
    ):
        worker = (await _posted(session, "/v1/workers", {"kinds": ["short"], "lease_s": 300}))["worker"]
        trap = proxy.trap(CLAIMING[what], before=side == "before")
        asking = asyncio.create_task(_posted(session, f"/v1/workers/{worker}/jobs/{job}/claim", {"call": 1}))
        await spring(trap, fault)
        # The number is held by a transaction that stands: until its line moves, or the server looks whether it does.
        await until(lambda: asking.done() or ledger.fetch(BLOCKED))
        proxy.cut() if fault == "orphan" else trap.let_go()
        claimed = await asking
        notes += [(word, job, claimed["attempt"]) for word in ("begun", "ended")]
        report = {"id": str(job), "claim": claimed["claim"], "outcome": "succeeded"}
        told = await _posted(session, f"/v1/workers/{worker}/report", {"reports": [report]})
        assert told["verdicts"][0]["verdict"] == "accepted"
        proxy.cut()
    assert await ledger.history(job) == ["job.enqueued", "job.claimed", "job.succeeded"]
    await ledger.agrees([job], notes)


async def _posted(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask the service until it answers."""
    while True:
        with contextlib.suppress(TimeoutError, aiohttp.ClientError):
            async with session.post(path, json=body, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as answer:
                if answer.status < 500:
                    assert answer.status in (200, 201), await answer.text()
                    found: dict[str, Any] = await answer.json()
                    return found
