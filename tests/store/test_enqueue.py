"""Enqueuing from Python, one job and many: what is checked, what is written, and in whose transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from jobledger.errors import (
    BadInput,
    Forbidden,
    IdempotencyMismatch,
    IdOutOfWindow,
    IdTaken,
    InvalidArgument,
    InvalidTenant,
    RunAtTooOld,
    TooLarge,
    UniqueTaken,
    UnknownKind,
)
from jobledger.ids import new_id
from jobledger.observations import JobsEnqueued, LimitMet, observing
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.jobs_read import show_job

if TYPE_CHECKING:
    from jobledger.store.pool import Store

SOON = datetime.now(UTC) + timedelta(hours=1)
CANARY = "canary-77aa"


def whole(**changes: Any) -> NewJob:
    """Return a job with every field set."""
    fields: dict[str, Any] = {
        "kind": "mail.send",
        "args": {"to": "a", "nested": {"null": None, "text": "é\U0001f600"}},
        "tenant": "acme",
        "queue": "fast",
        "priority": -5,
        "run_at": SOON,
        "kill_at": SOON + timedelta(days=1),
        "timeout": 60,
        "max_attempts": 3,
        "owner": "ada",
        "tags": ["x", "y"],
        "meta": {"request": 7},
        "backoff": {"kind": "fixed", "seconds": 3},
        "trace": {"traceparent": "00-1-2-3"},
    }
    return NewJob(**(fields | changes))


async def counts(store: Store) -> list[int]:
    """Return the row counts of what enqueuing writes."""
    async with store.connection() as connection:
        row = await connection.fetchrow(
            "select (select count(*) from jobledger.events), (select count(*) from jobledger.ready),"
            " (select count(*) from jobledger.waiting), (select count(*) from jobledger.idempotency),"
            " (select count(*) from jobledger.unique_keys)"
        )
    assert row is not None
    return list(row.values())


@pytest.mark.parametrize("many", [False, True])
async def test_every_field_arrives(store: Store, many: bool) -> None:
    """What goes in by one call or by the bulk call is what the job's first event says."""
    async with store.connection() as connection:
        if many:
            ((job_id, created),) = await enqueue_many(connection, [whole()], actor="tester")
            assert created
        else:
            job_id = await enqueue(connection, whole(), actor="tester")
        detail = await show_job(connection, 0, job_id, tenant="acme")
    job, data = detail.job, detail.enqueued
    assert (job.kind, job.tenant, job.queue, job.priority, job.state) == ("mail.send", "acme", "fast", -5, "scheduled")
    assert (job.run_at, job.kill_at, job.max_attempts, job.owner) == (SOON, SOON + timedelta(days=1), 3, "ada")
    assert data["args"] == whole().args
    assert (data["tags"], data["meta"], data["timeout"]) == (["x", "y"], {"request": 7}, 60)
    assert (data["backoff"], data["trace"]) == ({"kind": "fixed", "seconds": 3}, {"traceparent": "00-1-2-3"})
    assert detail.enqueued_by == "tester"


async def test_a_job_exists_when_the_callers_transaction_commits(store: Store) -> None:
    """Rolled back, neither job nor event is there."""
    before = await counts(store)
    async with store.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await enqueue(connection, NewJob("a"))
        await enqueue_many(connection, [NewJob("a")])
        await transaction.rollback()
    assert await counts(store) == before


async def test_a_connection_with_a_json_codec_of_its_own_serves_as_well(store: Store) -> None:
    """The caller's pool may decode jsonb; nothing is encoded twice."""
    async with store.connection() as connection:
        await connection.set_type_codec("jsonb", encoder=orjson.dumps, decoder=orjson.loads, schema="pg_catalog")
        job_id = await enqueue(connection, NewJob("a", {"x": 1}))
        ((other, _),) = await enqueue_many(connection, [NewJob("a", b'{"x": 1}')])
        for one in (job_id, other):
            assert (await show_job(connection, 0, one)).enqueued["args"] == {"x": 1}


async def test_many_come_back_in_the_order_given(store: Store) -> None:
    """Ids answer to the jobs by place, and ascend."""
    jobs = [NewJob("a", {"n": n}, tenant=f"t{n % 7}") for n in range(500)]
    async with store.connection() as connection:
        made = await enqueue_many(connection, jobs)
        rows = await connection.fetch(
            "select stream_id, (data #>> '{args,n}')::int as n from jobledger.events where type = 'job.enqueued'"
        )
    by_id = {row["stream_id"]: row["n"] for row in rows}
    assert [by_id[one.id] for one in made] == list(range(500))
    assert [one.id for one in made] == sorted(one.id for one in made)


async def test_an_idempotency_key_enqueues_once(store: Store) -> None:
    """The second call answers with the first one's id, also within one batch; other content is refused."""
    job = NewJob("a", {"x": 1}, key="k")
    async with store.connection() as connection:
        first = await enqueue(connection, job)
        assert await enqueue(connection, job) == first
        again = await enqueue_many(connection, [NewJob("b"), job, NewJob("c", key="new"), NewJob("c", key="new")])
        assert [one.created for one in again] == [True, False, True, False]
        assert again[1].id == first
        assert again[2].id == again[3].id
        with pytest.raises(IdempotencyMismatch):
            await enqueue(connection, NewJob("a", {"x": 2}, key="k"))
        with pytest.raises(IdempotencyMismatch) as caught:
            await enqueue_many(connection, [NewJob("b"), NewJob("a", {"x": 2}, key="k")])
        assert caught.value.detail["items"] == [1]
        assert await enqueue(connection, NewJob("a", {"x": 2}, key="k", tenant="other")) != first


async def test_a_unique_key_is_held_by_one_open_job(store: Store) -> None:
    """A second one is refused by name, one call or bulk."""
    async with store.connection() as connection:
        await enqueue(connection, NewJob("a", unique_key="u"))
        with pytest.raises(UniqueTaken):
            await enqueue(connection, NewJob("a", unique_key="u"))
        with pytest.raises(UniqueTaken) as caught:
            await enqueue_many(connection, [NewJob("a"), NewJob("a", unique_key="u")])
    assert caught.value.detail["items"] == [1]


BAD: list[tuple[dict[str, Any], type[BadInput]]] = [
    ({"tenant": ""}, InvalidTenant),
    ({"tenant": f" {CANARY}"}, InvalidTenant),
    ({"tenant": "a" * 129}, InvalidTenant),
    ({"tenant": "_other"}, InvalidTenant),
    ({"kind": ""}, InvalidArgument),
    ({"kind": f"{CANARY}!"}, InvalidArgument),
    ({"queue": f"{CANARY} x"}, InvalidArgument),
    ({"priority": 1001}, InvalidArgument),
    ({"priority": True}, InvalidArgument),
    ({"priority": "1"}, InvalidArgument),
    ({"timeout": 0}, InvalidArgument),
    ({"timeout": 604_801}, InvalidArgument),
    ({"max_attempts": 0}, InvalidArgument),
    ({"owner": ""}, InvalidArgument),
    ({"owner": CANARY * 50}, InvalidArgument),
    ({"owner": f"{CANARY}\0"}, InvalidArgument),
    ({"owner": f"{CANARY}\ud800"}, InvalidArgument),
    ({"key": ""}, InvalidArgument),
    ({"unique_key": CANARY * 50}, InvalidArgument),
    ({"tags": CANARY}, InvalidArgument),
    ({"tags": [CANARY] * 33}, InvalidArgument),
    ({"tags": [CANARY * 9]}, InvalidArgument),
    ({"tags": [""]}, InvalidArgument),
    ({"run_at": datetime(2026, 1, 1)}, InvalidArgument),  # noqa: DTZ001 - that is the fault
    ({"run_at": CANARY}, InvalidArgument),
    ({"run_at": datetime.now(UTC) - timedelta(hours=25), "kill_at": None}, RunAtTooOld),
    ({"run_at": datetime.now(UTC) + timedelta(days=36_600), "kill_at": None}, InvalidArgument),
    ({"kill_at": datetime.now(UTC) - timedelta(hours=1)}, InvalidArgument),
    ({"id": uuid4()}, IdOutOfWindow),
    ({"id": new_id(datetime.now(UTC) - timedelta(hours=2))}, IdOutOfWindow),
    ({"id": CANARY}, InvalidArgument),
    ({"args": f'{{"{CANARY}'}, InvalidArgument),
    ({"args": f'{{"x": "{CANARY}\\u0000"}}'}, InvalidArgument),
    ({"args": f'{{"x": "{CANARY}\\ud800"}}'}, InvalidArgument),
    ({"args": {"x": object()}}, InvalidArgument),
    ({"args": {1: CANARY}}, InvalidArgument),
    ({"args": {"x": CANARY * 30_000}}, TooLarge),
    ({"meta": {"x": CANARY * 2_000}}, TooLarge),
]


@pytest.mark.parametrize(("change", "error"), BAD)
async def test_bad_input_gets_its_named_error_echoes_nothing_and_writes_nothing(
    store: Store, change: dict[str, Any], error: type[BadInput]
) -> None:
    """One call and the bulk call agree; of the bulk call the offending item is named."""
    before = await counts(store)
    async with store.connection() as connection:
        with pytest.raises(error) as one:
            await enqueue(connection, whole(**change))
        with pytest.raises(error) as bulk:
            await enqueue_many(connection, [whole(), whole(), whole(**change), whole()])
    if error is not IdOutOfWindow:
        assert bulk.value.detail["items"] == [2]
    for caught in (one, bulk):
        assert CANARY not in f"{caught.value} {caught.value.detail}"
    assert await counts(store) == before


async def test_a_text_that_only_looks_like_a_nul_is_fine(store: Store) -> None:
    """An escaped backslash before u0000 is a text of six characters."""
    args = {"x": "\\u0000"}
    async with store.connection() as connection:
        job_id = await enqueue(connection, NewJob("a", args))
        assert (await show_job(connection, 0, job_id)).enqueued["args"] == args


async def test_strict_refuses_a_kind_that_nobody_registered(store: Store) -> None:
    """Without strict it is taken; a registered one or its alias passes."""
    async with store.connection() as connection:
        with pytest.raises(UnknownKind):
            await enqueue(connection, NewJob("mail"), strict=True)
        with pytest.raises(UnknownKind) as caught:
            await enqueue_many(connection, [NewJob("mail"), NewJob("other")], strict=True)
        assert caught.value.detail["items"] == [0, 1]
        await connection.fetchval(
            "select jobledger.register_kind(0::smallint, 'mail', 1, null, array['post'], '{\"max_attempts\": 2}')"
        )
        job_id = await enqueue(connection, NewJob("mail"), strict=True)
        assert (await show_job(connection, 0, job_id)).job.max_attempts == 2
        await enqueue_many(connection, [NewJob("mail"), NewJob("post")], strict=True)


async def test_an_id_of_the_callers_own_is_taken_once(store: Store) -> None:
    """It must lie near the database's clock; a second job of it is refused."""
    mine = new_id()
    async with store.connection() as connection:
        assert await enqueue(connection, NewJob("a", id=mine)) == mine
        with pytest.raises(IdTaken):
            await enqueue(connection, NewJob("a", id=mine))


async def test_a_batch_has_a_limit(store: Store) -> None:
    """It states both numbers and is observed; an empty one does nothing."""
    async with store.connection() as connection:
        with observing(LimitMet) as seen, pytest.raises(TooLarge, match="10001"):
            await enqueue_many(connection, [NewJob("a")] * 10_001)
        assert [(one.limit, one.value, one.allowed) for one in seen] == [("batch", 10_001, 10_000)]
        assert await enqueue_many(connection, []) == []


async def test_enqueuing_is_observed(store: Store) -> None:
    """One record a call, with the tenant when it is one; a key that was used before makes nothing."""
    async with store.connection() as connection:
        with observing(JobsEnqueued) as seen:
            await enqueue(connection, NewJob("a", tenant="x"))
            await enqueue_many(connection, [NewJob("a", tenant="x"), NewJob("a", tenant="x")])
            await enqueue_many(connection, [NewJob("a", tenant="x"), NewJob("a", tenant="y")])
            await enqueue(connection, NewJob("a", tenant="x", key="k"))
            await enqueue(connection, NewJob("a", tenant="x", key="k"))
    assert [(one.count, one.tenant) for one in seen] == [(1, "x"), (2, "x"), (2, None), (1, "x")]


def test_what_a_job_states_itself_holds_before_what_is_stated_for_it() -> None:
    """Each by itself: one that states its time-out gets the attempts, and the other way round."""
    assert NewJob("a", timeout=5).stating(3, 60) == NewJob("a", timeout=5, max_attempts=3)
    assert NewJob("a", max_attempts=2).stating(3, 60) == NewJob("a", timeout=60, max_attempts=2)
    assert NewJob("a").stating(None, 60) == NewJob("a", timeout=60)


async def test_a_role_enqueues_for_its_own_tenants_only(store: Store) -> None:
    """Both ways are refused for another tenant; the bulk call names the items."""
    async with store.connection() as connection:
        await connection.execute("create role one_shop; grant jobledger_producer to one_shop")
        await connection.execute("insert into jobledger.grants (role, tenant) values ('one_shop', 'acme')")
        await connection.execute("set role one_shop")
        try:
            await enqueue(connection, NewJob("a", tenant="acme"))
            with pytest.raises(Forbidden):
                await enqueue(connection, NewJob("a", tenant="other"))
            with pytest.raises(Forbidden) as caught:
                await enqueue_many(connection, [NewJob("a", tenant="acme"), NewJob("a", tenant="other")])
            assert caught.value.detail["items"] == [1]
        finally:
            await connection.execute("reset role; drop owned by one_shop; drop role one_shop")


async def test_a_job_that_is_shown_tells_no_arguments() -> None:
    """A repr may end in a log."""
    job = whole(args={"x": CANARY}, meta={"y": CANARY}, owner=CANARY, key=CANARY, unique_key=CANARY)
    assert CANARY not in repr(job)


async def test_a_transaction_of_repeatable_read_sees_the_collision(store: Store) -> None:
    """Two such callers with one key: the loser gets the driver's own error and repeats its transaction."""
    async with store.connection() as one, store.connection() as two:
        transaction = two.transaction(isolation="repeatable_read")
        await transaction.start()
        await two.fetchval("select 1")
        await enqueue(one, NewJob("a", key="k"))
        with pytest.raises((asyncpg.SerializationError, IdempotencyMismatch)):
            await enqueue(two, NewJob("a", key="k"))
        await transaction.rollback()
