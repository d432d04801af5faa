"""When an attempt that a tick has timed out is tried again: by the rules its worker would have followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobledger.jobs import App
from jobledger.lifecycle.backoff import Exponential, Fixed, Linear, Table
from jobledger.lifecycle.retry import RetryPolicy

if TYPE_CHECKING:
    from uuid import UUID

    from tests.contract.conftest import Desk

    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

SECONDS = st.floats(0, 31_622_400, allow_nan=False) | st.integers(0, 31_622_400)
BACKOFFS = st.one_of(
    st.builds(Exponential, SECONDS, st.floats(1, 1000), SECONDS, jitter=st.just(0)),
    st.builds(Linear, SECONDS, SECONDS, jitter=st.just(0)),
    st.builds(Fixed, SECONDS, jitter=st.just(0)),
    st.builds(Table, st.lists(SECONDS, min_size=1, max_size=5), ends=st.booleans(), jitter=st.just(0)),
    st.just(Table((), ends=True)),
)
DELAY = "select jobledger.retry_delay($1::text::jsonb, $2)"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(backoff=BACKOFFS, attempt=st.integers(1, 1000))
# A factor that is beyond any number, of a base that is next to nothing.
@example(backoff=Exponential(1e-320, 1000, 31_622_400, jitter=0), attempt=105)
async def test_the_database_waits_as_long_as_a_worker_would(
    desk: Desk, backoff: Exponential | Linear | Fixed | Table, attempt: int
) -> None:
    """Every back-off that can be stored has the same delays in both languages, or none in both."""
    found = await desk.sql.fetchval(DELAY, orjson.dumps(backoff.to_data()).decode(), attempt)
    expected = backoff.delay_s(attempt)
    assert found == expected if expected is None else found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("stated", ["null", "{}", '"x"', '{"type": "fixed", "delay": "soon"}', '{"type": "fixed"}'])
@pytest.mark.parametrize(("attempt", "delay"), [(1, 2), (3, 8), (200, 3600)])
async def test_a_back_off_that_cannot_be_read_is_as_if_none_were_stated(
    desk: Desk, stated: str, attempt: int, delay: int
) -> None:
    """A caller may store any JSON; it stops no tick."""
    assert await desk.sql.fetchval(DELAY, stated, attempt) == delay


async def test_jitter_only_shortens(desk: Desk) -> None:
    """As in the worker: between d x (1 - jitter) and d."""
    stated = orjson.dumps(Exponential(100, 1, jitter=0.5).to_data()).decode()
    delays = {await desk.sql.fetchval(DELAY, stated, 1) for _ in range(50)}
    assert len(delays) > 1
    assert all(50 <= delay <= 100 for delay in delays)


async def timed_out(desk: Desk, clock: Clock, job: UUID) -> dict[str, Any]:
    """Claim the job, let its time pass, and return what its last event says."""
    assert [taken.id for taken in await desk.claim()] == [job]
    await clock.advance(seconds=80)
    await desk.beat(1, 0, [job])
    await clock.advance(seconds=11)
    assert (await desk.tick())["timed_out"] == 1
    last = "select data from jobledger.events where stream_id = $1 order by version desc limit 1"
    said: dict[str, Any] = orjson.loads(await desk.sql.fetchval(last, job))
    return said


async def delay_after(desk: Desk, clock: Clock, job: UUID) -> float:
    """Return the seconds until the next attempt."""
    said = await timed_out(desk, clock, job)
    due = (
        "select extract(epoch from $1::text::timestamptz - max(at))::float8 from jobledger.events where stream_id = $2"
    )
    return float(await desk.sql.fetchval(due, said["retry_at"], job))


async def test_the_kinds_back_off_and_on_timeout_hold_and_the_jobs_own_comes_before(
    desk: Desk, clock: Clock, store: Store
) -> None:
    """What a worker would have decided about the time-out, the tick decides."""
    app = App("kinds")

    @app.job(backoff=Fixed(500), timeout=60)
    async def slow() -> None:
        """Do nothing."""

    @app.job(retry=RetryPolicy(on_timeout="fail"), timeout=60)
    async def once() -> None:
        """Do nothing."""

    @app.job(timeout=60)
    async def plain() -> None:
        """Do nothing."""

    await app.register(store)
    await clock.stand()
    await desk.start(["slow", "once", "plain"], lease_s=30)
    assert await delay_after(desk, clock, await desk.enqueue("slow")) == 500
    await desk.start(["slow", "once", "plain"], lease_s=30)
    own = await desk.enqueue("slow", backoff={"type": "fixed", "delay": 7})
    assert await delay_after(desk, clock, own) == 7
    await desk.start(["once", "plain"], lease_s=30)
    assert "retry_at" not in await timed_out(desk, clock, await desk.enqueue("once"))
    await desk.start(["plain"], lease_s=30)
    assert 0.9 <= await delay_after(desk, clock, await desk.enqueue("plain")) <= 1
    assert await desk.sql.fetch("select * from jobledger.compare(0::smallint)") == []


async def test_a_changed_back_off_is_registered_anew_and_the_same_one_is_not(store: Store) -> None:
    """It lies in the event only, and is compared there."""

    async def registered(**options: Any) -> list[str]:
        app = App("kinds")

        @app.job(**options)
        async def slow() -> None:
            """Do nothing."""

        return await app.register(store)

    assert await registered(backoff=Fixed(5)) == ["slow"]
    assert await registered(backoff=Fixed(5)) == []
    assert await registered(backoff=Fixed(6)) == ["slow"]
    assert await registered(retry=RetryPolicy(Fixed(6), on_timeout="fail")) == ["slow"]
    assert await registered(retry=RetryPolicy(Fixed(6), on_timeout="fail")) == []
    assert await registered() == ["slow"]
