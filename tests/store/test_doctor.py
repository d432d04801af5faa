"""The doctor finds what is wrong, says what it means, and names the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.observations import PartitionsShort, observing
from jobledger.store import doctor_server
from jobledger.store.doctor import examine
from jobledger.store.enqueue import NewJob, enqueue, enqueue_many
from jobledger.store.pool import Store

if TYPE_CHECKING:
    import pytest

    from jobledger.store.findings import Finding
    from jobledger.testing.clock import Clock


def of(found: list[Finding], topic: str) -> list[Finding]:
    """Return the findings of a topic that are not good."""
    return [one for one in found if one.topic == topic and one.severity != "good"]


async def test_a_sound_database_has_nothing_to_mend(store: Store) -> None:
    """Apart from the settings of the tests' own server, which is fast and unsafe."""
    async with store.connection() as connection:
        await enqueue(connection, NewJob("a"))
    found = await examine(store)
    topics = {one.topic for one in found if one.severity in ("alarm", "warning")}
    assert topics <= {"settings", "workers"}
    assert {"schema", "open", "partitions", "log", "open streams", "clockwork"} <= {one.topic for one in found}
    assert [one.rank for one in found] == sorted(one.rank for one in found)


async def test_settings_that_hurt_are_alarms_with_a_way_out(store: Store) -> None:
    """The tests' server has fsync, full_page_writes and synchronous_commit off."""
    said = {one.sentence.split()[0]: one for one in of(await examine(store), "settings")}
    assert said["fsync"].severity == said["full_page_writes"].severity == "alarm"
    assert said["synchronous_commit"].severity == "warning"
    assert all(one.way_out for one in said.values())


async def test_settings_of_the_session_are_looked_at(database: str) -> None:
    """A role's own isolation and statement time-out count, not the server's file."""
    async with await Store.connect(database, pool_min=1, pool_max=1) as store, store.connection() as connection:
        name = await connection.fetchval("select current_database()")
        await connection.execute(f"alter database {name} set default_transaction_isolation = 'serializable'")
        await connection.execute(f"alter database {name} set statement_timeout = '5s'")
    async with await Store.connect(database, pool_min=1, pool_max=1) as store:
        said = " ".join(str(one) for one in of(await examine(store, compared=False), "settings"))
    assert "serializable" in said
    assert "statement_timeout is 5 s" in said


async def test_rows_that_contradict_the_log_are_told_and_repaired_when_asked(store: Store) -> None:
    """The first look only tells; the second mends; the third finds nothing."""
    async with store.connection() as connection:
        made = await enqueue_many(connection, [NewJob("a") for _ in range(3)])
        await connection.execute("delete from jobledger.ready where id = $1", made[1].id)
        await connection.execute("update jobledger.ready set priority = 7 where id = $1", made[2].id)
    (told,) = of(await examine(store), "log")
    assert (told.severity, told.facts["count"]) == ("alarm", 2)
    assert str(made[1].id) in str(told.facts)
    (mended,) = of(await examine(store, repaired=True), "log")
    assert (mended.severity, mended.facts["count"]) == ("warning", 2)
    assert of(await examine(store), "log") == []


async def test_two_open_jobs_of_one_unique_key_are_an_alarm_that_a_person_ends(store: Store) -> None:
    """A repair says so, and that one of them is to be cancelled."""
    async with store.connection() as connection:
        await enqueue(connection, NewJob("a", unique_key="one"))
        await connection.execute("delete from jobledger.unique_keys")
        await enqueue(connection, NewJob("a", unique_key="one"))
    (told,) = of(await examine(store, repaired=True), "log")
    assert told.severity == "alarm"
    assert "Cancel one" in (told.way_out or "")


async def test_partitions_that_run_out_are_an_alarm(store: Store, clock: Clock) -> None:
    """Fewer than two ahead: told, and observed."""
    await clock.advance(days=75)
    with observing(PartitionsShort) as seen:
        (told,) = of(await examine(store, compared=False), "partitions")
    assert told.severity == "alarm"
    assert [one.ahead for one in seen] == [told.facts["ahead"]]


async def test_too_many_partitions_are_an_alarm(store: Store) -> None:
    """Every plan and lock grows with them."""
    async with store.connection() as connection:
        await connection.execute("select jobledger.partitions_ensure(0::smallint, 36)")
    (told,) = of(await examine(store, compared=False), "partitions")
    assert told.severity == "alarm"
    assert told.facts["attached"] > 32


async def test_time_that_nobody_keeps_is_an_alarm(store: Store, clock: Clock) -> None:
    """Due jobs that nobody promotes, and jobs whose worker is dead, mean that no tick runs."""
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue('a', run_at => jobledger.now() + interval '1 minute')")
    await clock.advance(minutes=10)
    (told,) = of(await examine(store, compared=False), "clockwork")
    assert (told.severity, told.facts["due"]) == ("alarm", 1)


async def test_jobs_that_no_worker_takes_are_told(store: Store) -> None:
    """They are ready, and none is alive."""
    assert not of(await examine(store, compared=False), "workers")
    async with store.connection() as connection:
        await enqueue(connection, NewJob("a"))
    (told,) = of(await examine(store, compared=False), "workers")
    assert (told.severity, told.facts["ready"], told.facts["workers"]) == ("warning", 1, 0)


async def test_open_jobs_are_counted_by_partition(store: Store, clock: Clock) -> None:
    """A partition with an open job cannot be dropped."""
    async with store.connection() as connection:
        await enqueue(connection, NewJob("a"))
        await clock.advance(days=40)
        await connection.execute("select jobledger.partitions_ensure(0::smallint, 3)")
        await enqueue_many(connection, [NewJob("a"), NewJob("a")])
    (told,) = [one for one in await examine(store, compared=False) if one.topic == "open streams"]
    assert list(told.facts.values()) == [1, 2]


async def test_a_long_transaction_is_told_with_its_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By process, user and age; never by its statement, which may hold values."""
    monkeypatch.setattr(doctor_server, "LONG_TRANSACTION_S", 0.0)
    async with store.connection() as holder, holder.transaction():
        await holder.execute("select 'canary'")
        told = of(await examine(store, compared=False), "transactions")
        assert holder.get_server_pid() in [one.facts["pid"] for one in told]
        assert "canary" not in str(told)
    assert of(await examine(store, compared=False), "transactions") == []


async def test_a_database_that_is_not_migrated_or_not_open_says_so_first(store: Store, empty_database: str) -> None:
    """Nothing else can be looked at then, and the way out is a command."""
    async with await Store.connect(empty_database) as empty:
        first = (await examine(empty))[0]
    assert (first.severity, first.topic, first.way_out) == ("alarm", "schema", "Run `jobledger migrate`.")
    async with store.connection() as connection:
        await connection.execute("select jobledger.close(0::smallint)")
    (told,) = of(await examine(store), "open")
    assert told.severity == "alarm"
    async with store.connection() as connection:
        await connection.execute("insert into jobledger.migrations values (9999, 'x.sql', '', now(), '')")
    (newer,) = of(await examine(store), "schema")
    assert "9999" in str(newer) or "x.sql" in str(newer)


async def test_dead_rows_are_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By table, with both counts."""
    monkeypatch.setattr(doctor_server, "DEAD_ROWS_LEAST", 10)
    async with store.connection() as connection:
        await enqueue_many(connection, [NewJob("a") for _ in range(100)])
        await connection.execute("delete from jobledger.ready")
        await connection.execute("select pg_stat_force_next_flush()")
        found = await doctor_server.bloat(connection)
    assert [one.facts["dead"] for one in found if "jobledger.ready" in one.sentence] == [100]
