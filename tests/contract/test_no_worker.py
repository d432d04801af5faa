"""Jobs that no live worker could take for a minute wait apart, by its queues, tenants and kinds, until one can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Desk

    from jobledger.testing.clock import Clock

_HOLD = "select jobledger.hold_untakeable(0::smallint, jobledger.now(), 1000)"
_UNHOLD = "select jobledger.unhold(0::smallint, jobledger.now(), 1000)"
_HELD = "select count(*) from jobledger.waiting where reason = 'no_worker_for_kind'"

START: dict[str, Any] = {"kinds": ["noop"], "queues": None, "tenants": None}
BOUND: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    # Who is alive beside the job (kind `heavy`, queue `fast`, tenant `acme`), and who can take it.
    "kind": ([{}], {"kinds": ["heavy"]}),
    "queue": ([{"queues": {"fast": None}}, {"kinds": ["heavy"], "queues": {"slow": None}}], {"kinds": ["heavy"]}),
    "tenant": ([{"tenants": ["acme"]}, {"kinds": ["heavy"], "tenants": ["other"]}], {"kinds": ["heavy", "noop"]}),
    "all": (
        [{}, {"kinds": ["heavy"], "queues": {"slow": None}}, {"kinds": ["heavy"], "tenants": ["other"]}],
        {"kinds": ["heavy"], "queues": {"fast": None}, "tenants": ["acme"]},
    ),
}


async def start(desk: Desk, **bounds: Any) -> None:
    """Register one more worker."""
    bounds = START | bounds
    await desk.sql.fetch(
        "select * from jobledger.worker_start(0::smallint, null, $1, $2, $3, 3600)",
        None if bounds["queues"] is None else orjson.dumps(bounds["queues"]).decode(),
        bounds["kinds"],
        bounds["tenants"],
    )


@pytest.mark.parametrize("bound", BOUND)
async def test_jobs_that_the_workers_bounds_leave_out_wait_apart_until_one_starts(
    desk: Desk, clock: Clock, bound: str
) -> None:
    """Workers are alive that know the kind, the queue or the tenant, but none all three; then one is started."""
    others, taker = BOUND[bound]
    await desk.sql.execute("select jobledger.worker_stop(0::smallint, $1)", desk.worker)
    for other in others:
        await start(desk, **other)
    for _ in range(3):
        await desk.enqueue("heavy", queue="fast", tenant="acme")
    await clock.advance(seconds=59)
    assert await desk.sql.fetchval(_HOLD) == 0
    await clock.advance(seconds=2)
    assert await desk.sql.fetchval(_HOLD) == 3
    assert await desk.sql.fetchval(_UNHOLD) == 0
    assert await desk.sql.fetchval(_HELD) == 3
    await start(desk, **taker)
    assert await desk.sql.fetchval(_UNHOLD) == 3
    await clock.advance(seconds=120)
    assert await desk.sql.fetchval(_HOLD) == 0
    assert await desk.sql.fetchval("select count(*) from jobledger.ready") == 3


@pytest.mark.parametrize("taker", [bounds for _, bounds in BOUND.values()], ids=list(BOUND))
async def test_jobs_that_some_worker_can_take_stay_in_their_lanes(
    desk: Desk, clock: Clock, taker: dict[str, Any]
) -> None:
    """However long they wait: the worker that can take them may be busy."""
    await start(desk, **taker)
    await desk.enqueue("heavy", queue="fast", tenant="acme")
    await clock.advance(seconds=600)
    assert await desk.sql.fetchval(_HOLD) == 0
    assert await desk.sql.fetchval(_HELD) == 0


async def test_a_worker_that_ended_counts_no_more(desk: Desk, clock: Clock) -> None:
    """The only one that knew the kind stops, another one's lease runs out: the jobs wait apart."""
    knowing = await type(desk)(desk.store, desk.sql).start(["heavy"])
    silent = await type(desk)(desk.store, desk.sql).start(["heavy"], lease_s=70)
    await desk.sql.execute("select jobledger.worker_stop(0::smallint, $1)", desk.worker)
    await start(desk)
    await desk.enqueue("heavy")
    await clock.advance(seconds=61)
    await desk.sql.execute("select jobledger.worker_stop(0::smallint, $1)", knowing.worker)
    assert await desk.sql.fetchval(_HOLD) == 0
    await clock.advance(seconds=10)
    assert await desk.sql.fetchval(_HOLD) == 1
    assert silent.worker != knowing.worker


async def test_jobs_held_behind_many_paused_kinds_come_back_when_a_worker_starts(desk: Desk, clock: Clock) -> None:
    """More groups than a call looks at lie before them in the index: the first that no worker could take are seen."""
    jobs = [{"kind": f"k{at:03}"} for at in range(100)] + [{"kind": "heavy"}]
    await desk.sql.fetch("select * from jobledger.enqueue_many($1)", orjson.dumps(jobs).decode())
    for job in jobs[:-1]:
        await desk.sql.fetchval("select jobledger.pause(0::smallint, 'kind', $1)", job["kind"])
    while await desk.sql.fetchval("select count(*) from jobledger.ready") > 1:
        await desk.sql.fetchval("select jobledger.hold(0::smallint, jobledger.now(), 1000)")
    await start(desk)
    await clock.advance(seconds=61)
    assert await desk.sql.fetchval(_HOLD) == 1
    await start(desk, kinds=["heavy"])
    assert await desk.sql.fetchval(_UNHOLD) == 1
    assert len(await (await type(desk)(desk.store, desk.sql).start(["heavy"])).claim()) == 1
