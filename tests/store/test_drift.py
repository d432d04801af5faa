"""`migrate check` tells every change that was made by hand, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobledger.errors import Forbidden, SchemaDrift, SchemaMissing
from jobledger.store.drift import check, drift
from jobledger.store.pool import connect

if TYPE_CHECKING:
    from jobledger.store.pool import Store


async def test_a_migrated_database_has_no_drift_and_no_scratch_database_stays(store: Store, database: str) -> None:
    """Also one that is in use and was opened; the scratch database is gone afterwards."""
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue('a')")
        assert await drift(database) == []
        await check(database)
        assert await connection.fetch("select from pg_database where datname like 'jobledger_check_%'") == []


async def test_a_database_that_was_never_migrated_is_told_so_in_one_sentence(empty_database: str) -> None:
    """Not by hundreds of things that it lacks."""
    with pytest.raises(SchemaMissing):
        await drift(empty_database)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("create table jobledger.mine (x int)", "extra     table mine"),
        ("alter table jobledger.kinds add column mine int", "extra     column kinds.mine"),
        ("alter table jobledger.kinds alter column version drop not null", "differs   column kinds.version"),
        ("alter table jobledger.workers alter column settled set default 7", "differs   column workers.settled"),
        ("drop index jobledger.ready_lane", "missing   index ready:"),
        ("create index on jobledger.ready (kind)", "extra     index ready:"),
        ("alter table jobledger.finished drop constraint finished_state_check", "missing   constraint finished."),
        ("drop trigger events_only_append on jobledger.events", "missing   trigger events.events_only_append"),
        (
            "alter table jobledger.events disable trigger events_only_append",
            "differs   trigger events.events_only_append",
        ),
        ("alter table jobledger.events disable row level security", "differs   table events"),
        ("drop policy events_own on jobledger.events", "missing   policy events.events_own"),
        ("alter policy events_own on jobledger.events using (true)", "differs   policy events.events_own"),
        ("alter view jobledger.dead_letter set (security_invoker = false)", "differs   view dead_letter"),
        ("grant update on jobledger.events to jobledger_reader", "differs   table events"),
        ("grant select (data) on jobledger.events to public", "differs   column events.data"),
        (
            "grant execute on function jobledger.repair(smallint, uuid[]) to public",
            "differs   function jobledger.repair",
        ),
        ("grant create on schema jobledger to public", "differs   schema jobledger"),
        ("drop function jobledger.tick(smallint, uuid)", "missing   function jobledger.tick"),
        (
            "create function jobledger.mine() returns int language sql as 'select 1'",
            "extra     function jobledger.mine",
        ),
        ("alter sequence jobledger.position cache 50", "differs   sequence of position"),
        ("alter type jobledger.job_state add value 'lost'", "differs   type job_state"),
        (
            "delete from jobledger.projection_files where path like 'contract/1%'",
            "missing   migrations not applied yet",
        ),
        ("alter table jobledger.ready set (fillfactor = 50)", "differs   table ready"),
    ],
)
async def test_a_change_by_hand_is_told(store: Store, database: str, change: str, told: str) -> None:
    """Whatever kind of object was made, changed or dropped is named."""
    async with store.connection() as connection:
        await connection.execute(change)
    found = [str(one) for one in await drift(database)]
    assert any(one.startswith(told) for one in found), found


async def test_a_partition_that_is_not_like_a_fresh_one_is_told(store: Store, database: str) -> None:
    """A partition's own TRUNCATE trigger is part of the fence; its months may differ, its shape may not."""
    async with store.connection() as connection:
        name = await connection.fetchval(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'jobledger.events'::regclass"
            " order by 1 limit 1"
        )
        await connection.execute(f"drop trigger events_never_truncate on {name}")
    (found,) = await drift(database)
    assert (found.what, found.kind, found.name) == ("differs", "partition", name.removeprefix("jobledger."))
    assert any("events_never_truncate" in line for line in found.lines)


async def test_a_changed_function_is_shown_by_its_differing_lines(store: Store, database: str) -> None:
    """The body counts, and the answer shows where it parts."""
    async with store.connection() as connection:
        await connection.execute(
            "create or replace function jobledger.time_of(id uuid) returns timestamptz language sql immutable"
            " parallel safe as $$ select null::timestamptz $$"
        )
    with pytest.raises(SchemaDrift) as caught:
        await check(database)
    (told,) = caught.value.detail["drift"]
    assert "function jobledger.time_of(uuid)" in told
    assert "+AS $function$ select null::timestamptz $function$" in told


async def test_who_may_not_create_a_database_is_told(store: Store, database: str) -> None:
    """The check needs a scratch database; without the right for it the way out is named."""
    async with store.connection() as connection:
        await connection.execute("create role plain login; grant usage on schema jobledger to plain")
        await connection.execute("grant select on jobledger.migrations, jobledger.projection_files to plain")
    try:
        with pytest.raises(Forbidden, match="CREATEDB"):
            await drift(database.replace("postgresql://postgres@", "postgresql://plain@"))
    finally:
        connection = await connect(database)
        await connection.execute("drop owned by plain; drop role plain")
        await connection.close()
