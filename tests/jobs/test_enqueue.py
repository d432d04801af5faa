"""Enqueuing from Python: by kind, by name, one and many, in the caller's transaction and on the caller's pool."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from jobledger.errors import (
    Forbidden,
    IdempotencyMismatch,
    IdOutOfWindow,
    InvalidArgs,
    InvalidArgument,
    InvalidTenant,
    RunAtTooOld,
    SchemaMissing,
    TooLarge,
    UniqueTaken,
    UnknownKind,
    Unreachable,
)
from jobledger.jobs import App, Client, Context
from jobledger.lifecycle.backoff import Fixed
from jobledger.store.pool import Store

app = App()


@app.job(queue="mail", max_attempts=3, timeout=60)
async def greet(context: Context, name: str, times: int = 1) -> str:
    """Return a greeting."""
    return f"hello {name} (attempt {context.attempt}) " * times


@app.job("math.add", aliases=["add"])
def add(a: int, b: int) -> int:
    """Return the sum."""
    return a + b


async def enqueued(store: Store, id_: object) -> dict[str, Any]:
    """Return the data of a job's first event."""
    async with store.connection() as conn:
        row = await conn.fetchrow("select tenant, actor, data::text from jobledger.events where stream_id = $1", id_)
    assert row is not None
    return {"tenant": row["tenant"], "actor": row["actor"], **json.loads(row["data"])}


async def count(store: Store) -> int:
    """Return the number of jobs in the log."""
    async with store.connection() as conn:
        return int(await conn.fetchval("select count(*) from jobledger.events where type = 'job.enqueued'"))


@pytest.fixture
async def client(store: Store) -> Client:
    """Give a client of the app on the test's database."""
    return Client(store, app=app)


async def test_a_job_enqueued_by_its_kind_states_what_the_kind_declares(store: Store, client: Client) -> None:
    """Queue, attempts and time-out are those of the decorator, before any worker has registered the kind."""
    async with app.bound(client):
        handle = await greet.enqueue("Ada", times=2)
    found = await enqueued(store, handle.id)
    assert found["args"] == {"name": "Ada", "times": 2}
    assert (found["kind"], found["queue"], found["max_attempts"], found["timeout"]) == ("greet", "mail", 3, 60)


async def test_a_default_left_out_stays_out_of_the_log(store: Store, client: Client) -> None:
    """The handler's own default holds when it runs, so it is not frozen into the job."""
    async with app.bound(client):
        handle = await greet.enqueue("Ada")
    assert (await enqueued(store, handle.id))["args"] == {"name": "Ada"}


async def test_every_option_reaches_the_log(store: Store, client: Client) -> None:
    """What `using` takes is what the event holds."""
    at = datetime.now(UTC) + timedelta(hours=1)
    handle = await greet.using(
        client=client,
        tenant="acme",
        queue="slow",
        priority=-5,
        run_at=at,
        kill_at=at + timedelta(days=1),
        timeout=timedelta(minutes=2),
        max_attempts=7,
        backoff=Fixed(3.0),
        owner="ada",
        tags=["a", "b"],
        meta={"x": 1},
        key="k",
        unique_key="u",
        actor="test",
    ).enqueue("Ada")
    found = await enqueued(store, handle.id)
    assert (found["tenant"], found["actor"]) == ("acme", "test")
    assert (found["queue"], found["priority"], found["timeout"], found["max_attempts"]) == ("slow", -5, 120, 7)
    assert (found["owner"], found["tags"], found["meta"], found["key"]) == ("ada", ["a", "b"], {"x": 1}, "k")
    assert (found["unique"], found["backoff"]["type"], found["kill_rule"]) == ("u", "fixed", "own")
    assert datetime.fromisoformat(found["run_at"]) == at


async def test_a_job_exists_only_if_the_callers_transaction_commits(store: Store, client: Client) -> None:
    """On the caller's connection a rollback takes the job with it."""
    async with store.connection() as conn:
        transaction = conn.transaction()
        await transaction.start()
        handle = await greet.using(client=client, conn=conn).enqueue("Ada")
        await transaction.rollback()
    assert await count(store) == 0
    async with store.connection() as conn, conn.transaction():
        handle = await greet.using(conn=conn).enqueue("Ada")
    assert await count(store) == 1
    assert (await enqueued(store, handle.id))["kind"] == "greet"


async def test_a_client_uses_the_callers_pool_and_leaves_it_open(store: Store) -> None:
    """The pool is the caller's: closing the client closes nothing."""
    async with Client(store.pool, app=app) as client:
        await client.enqueue("add", {"a": 1, "b": 2})
    async with store.connection() as conn:
        assert await conn.fetchval("select 1") == 1


async def test_a_client_opens_and_closes_a_pool_of_its_own(database: str) -> None:
    """With an address the client connects in `async with` and is unusable outside."""
    client = Client(database, app=app)
    with pytest.raises(Unreachable):
        await client.enqueue("add", {"a": 1, "b": 2})
    async with client:
        await client.enqueue("add", {"a": 1, "b": 2})
    with pytest.raises(Unreachable):
        await client.enqueue("add", {"a": 1, "b": 2})


async def test_many_jobs_of_several_kinds_go_in_one_call(store: Store, client: Client) -> None:
    """Handles come back in the order of the calls."""
    calls = [greet.call("Ada"), greet.using(tenant="acme").call("Bob", times=3)]
    first, second = await client.enqueue_many(calls)
    assert (await enqueued(store, first.id))["args"] == {"name": "Ada"}
    assert (await enqueued(store, second.id))["tenant"] == "acme"
    assert await client.enqueue_many([]) == []


async def test_a_bulk_call_is_all_or_nothing_and_names_the_offenders(store: Store, client: Client) -> None:
    """The places of the bad items are in the error's detail, and nothing is written."""
    calls = [greet.using(tenant=tenant).call("x") for tenant in ("ok", "not ok", "ok", "not ok either")]
    with pytest.raises(InvalidTenant) as caught:
        await client.enqueue_many(calls)
    assert caught.value.detail["items"] == [1, 3]
    too_old = greet.using(run_at=datetime.now(UTC) - timedelta(hours=25)).call("x")
    with pytest.raises(RunAtTooOld) as late:
        await client.enqueue_many([greet.call("x"), too_old])
    assert late.value.detail["items"] == [1]
    assert await count(store) == 0


async def test_an_unknown_kind_is_refused_only_when_strict(store: Store) -> None:
    """By name a strict client takes what somebody has registered, a lenient one anything."""
    with pytest.raises(UnknownKind):
        await Client(store).enqueue("nobody.knows", {})
    assert await count(store) == 0
    await Client(store, strict=False).enqueue("nobody.knows", {})
    assert await Client(store, app=app).register() == ["greet", "math.add"]
    await Client(store).enqueue("greet", {"name": "x"})
    await Client(store).enqueue("add", {"a": 1, "b": 2})


async def test_registering_again_changes_nothing(store: Store) -> None:
    """A kind is registered only when it differs."""
    assert await app.register(store) == ["greet", "math.add"]
    assert await app.register(store) == []
    async with store.connection() as conn:
        rows = await conn.fetch(
            "select data::text from jobledger.events where type = 'kind.registered' order by position"
        )
    assert [json.loads(row["data"])["name"] for row in rows] == ["greet", "math.add"]
    assert json.loads(rows[1]["data"])["aliases"] == ["add"]


async def test_a_default_set_by_an_operator_binds_a_registered_kind(store: Store, client: Client) -> None:
    """The job does not repeat the declaration of a kind that the database knows, so its limits hold."""
    await client.register()
    async with store.connection() as conn:
        await conn.execute(
            """select jobledger.set_limit(0::smallint, 'kind', 'greet', '{"max_attempts": 9}', 'me', 'test')"""
        )
    handle = await greet.using(client=client).enqueue("Ada")
    assert (await enqueued(store, handle.id))["max_attempts"] == 9


async def test_a_default_set_by_an_operator_binds_a_kind_that_nobody_has_registered_yet(
    store: Store, client: Client
) -> None:
    """What a kind leaves to the service is not stated as if it were its own: before and after, a job is the same."""
    async with store.connection() as conn:
        await conn.execute(
            "select jobledger.set_limit(0::smallint, 'service', '', $1, 'me', 'test')",
            '{"max_attempts": 9, "timeout": 77}',
        )
    for _ in range(2):
        one = await add.using(client=client).enqueue(1, 2)
        (many,) = await client.enqueue_many([add.call(1, 2)])
        for handle in (one, many):
            found = await enqueued(store, handle.id)
            assert (found["max_attempts"], found["timeout"]) == (9, 77)
        greeting = await greet.using(client=client).enqueue("Ada")
        assert (await enqueued(store, greeting.id))["max_attempts"] == 3
        await client.register()


async def test_the_same_key_enqueues_once(client: Client) -> None:
    """The second call returns the first job; other content under the key is an error."""
    first = await greet.using(client=client, key="k").enqueue("Ada")
    again = await greet.using(client=client, key="k").enqueue("Ada")
    assert (first.created, again.created, first.id == again.id) == (True, False, True)
    with pytest.raises(IdempotencyMismatch):
        await greet.using(client=client, key="k").enqueue("Bob")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tenant": "no spaces"}, InvalidTenant),
        ({"tenant": 5}, InvalidArgument),
        ({"run_at": datetime.now(UTC) - timedelta(hours=25)}, RunAtTooOld),
        ({"run_at": datetime(2030, 1, 1)}, InvalidArgument),  # noqa: DTZ001 - that is what is refused
        ({"priority": 1001}, InvalidArgument),
        ({"priority": True}, InvalidArgument),
        ({"timeout": 0.5}, InvalidArgument),
        ({"max_attempts": 0}, InvalidArgument),
        ({"meta": {"x": "y" * 20_000}}, TooLarge),
        ({"id": uuid4()}, IdOutOfWindow),
        ({"tags": ["x" * 65]}, InvalidArgument),
        ({"owner": ""}, InvalidArgument),
        ({"nonsense": 1}, InvalidArgument),
        ({"unique_key": "taken"}, UniqueTaken),
    ],
)
async def test_a_bad_option_gets_its_named_error_and_writes_nothing(
    store: Store, client: Client, options: dict[str, Any], error: type[Exception]
) -> None:
    """Each option out of rule is refused by name."""
    await add.using(client=client, unique_key="taken").enqueue(1, 2)
    with pytest.raises(error):
        await add.using(client=client, **options).enqueue(1, 2)
    assert await count(store) == 1


async def test_arguments_over_the_limit_are_refused(store: Store, client: Client) -> None:
    """256 KiB of JSON is the limit of the service."""
    with pytest.raises(TooLarge):
        await greet.using(client=client).enqueue("x" * 300_000)
    assert await count(store) == 0


async def test_arguments_by_name_are_checked_against_the_app(store: Store, client: Client) -> None:
    """A client with the app refuses what the handler could not take."""
    with pytest.raises(InvalidArgs):
        await client.enqueue("greet", {"name": 5, "what": 1})
    with pytest.raises(InvalidArgs):
        await client.enqueue("greet", {"name": object()})
    assert await count(store) == 0


async def test_an_app_that_is_not_connected_says_what_to_do() -> None:
    """There is no hidden global connection."""
    with pytest.raises(Unreachable, match=r"app\.connect"):
        await add.enqueue(1, 2)


async def test_connecting_the_app_registers_its_kinds(database: str) -> None:
    """`app.connect` is the short way: registered, bound, closed at the end."""
    async with app.connect(database) as client:
        handle = await add.enqueue(1, 2)
        assert await handle.state() == "ready"
        assert await app.register(client.store) == []


async def test_a_batch_does_not_mix_connections(store: Store, client: Client) -> None:
    """One call, one transaction: a connection belongs to the call, not to an item."""
    async with store.connection() as conn:
        with pytest.raises(InvalidArgument):
            await client.enqueue_many([add.using(conn=conn).call(1, 2)])
        async with conn.transaction():
            await client.enqueue_many([add.call(1, 2)], conn=conn)
    assert await count(store) == 1


async def test_middleware_sees_every_enqueuing_one_and_many(store: Store) -> None:
    """The first layer is the outermost; a layer may change the job, and one error stops the whole batch."""
    own = App()
    seen: list[str] = []

    @own.job()
    async def note(text: str) -> None:
        """Do nothing."""

    @own.around_enqueue
    async def outer(new: Any, send: Any) -> Any:
        seen.append("outer")
        return await send(new)

    @own.around_enqueue
    async def inner(new: Any, send: Any) -> Any:

        seen.append("inner")
        if b"bad" in new.args:
            raise ValueError("no")
        return await send(replace(new, owner="ada"))

    client = Client(store, app=own)
    handle = await note.using(client=client).enqueue("a")
    assert seen == ["outer", "inner"]
    assert (await enqueued(store, handle.id))["owner"] == "ada"
    first, second = await client.enqueue_many([note.call("b"), note.call("c")])
    assert (await enqueued(store, first.id))["args"] == {"text": "b"}
    assert (await enqueued(store, second.id))["owner"] == "ada"
    with pytest.raises(ValueError, match="no"):
        await client.enqueue_many([note.call("d"), note.call("bad")])
    assert await count(store) == 3


async def test_a_database_without_jobledger_says_so(empty_database: str) -> None:
    """The error tells to migrate."""

    pool = await asyncpg.create_pool(empty_database, min_size=1, max_size=1)
    try:
        with pytest.raises(SchemaMissing):
            await greet.using(client=Client(pool, app=app)).enqueue("x")
    finally:
        await pool.close()


async def test_a_producer_that_may_read_nothing_enqueues_all_the_same(store: Store) -> None:
    """Being refused the catalogue of kinds neither fails the call nor ends the caller's transaction."""
    await app.register(store)
    async with store.connection() as conn:
        await conn.execute("insert into jobledger.grants (role, tenant) values ('jobledger_producer', 'acme')")
        await conn.execute("revoke select on jobledger.kinds from jobledger_producer")
        async with conn.transaction():
            await conn.execute("set local role jobledger_producer")
            handle = await greet.using(conn=conn, tenant="acme").enqueue("Ada")
            assert await Client(conn, app=app).register() == []
            (second,) = await Client(conn, app=app).enqueue_many([greet.using(tenant="acme").call("Bob")])
            with pytest.raises(Forbidden):
                async with conn.transaction():
                    await greet.using(conn=conn, tenant="other").enqueue("Eve")
    assert (await enqueued(store, handle.id))["max_attempts"] == 3
    assert (await enqueued(store, second.id))["tenant"] == "acme"
    assert await count(store) == 2


async def test_an_enqueue_on_the_clients_own_pool_is_one_round_trip(database: str) -> None:
    """One, with a key, and many: nothing follows that would reset a session in which nothing was set."""
    async with await Store.connect(database, pool_min=1, pool_max=1) as pooled:
        client = Client(pooled, app=app)
        async with pooled.connection() as conn:
            queries: list[str] = []
            conn.add_query_logger(lambda sent: queries.append(sent.query))
        await client.enqueue("math.add", {"a": 1, "b": 2})
        queries.clear()
        await client.enqueue("math.add", {"a": 1, "b": 2})
        await client.enqueue("math.add", {"a": 1, "b": 2}, key="once")
        await client.enqueue_many([await client.call("math.add", {"a": 1, "b": 2})])
        assert len(queries) == 3, queries
        async with pooled.connection() as conn:
            await conn.execute("set statement_timeout = '7s'")
        assert len(queries) == 5, queries
