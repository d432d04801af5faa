"""Transaction ids of 32 bits begin again while a transaction is prepared: it is still the one that is waited for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest
from tests.conftest import PG_BIN, migrated
from tests.faults.conftest import Ledger
from tests.faults.workplace import Workplace

from jobledger.embedded import Server
from jobledger.embedded.binaries import find_binaries
from jobledger.jobs import Client
from jobledger.store.pool import Store
from jobledger.store.recovery import is_unlogged, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from uuid import UUID

WRAP: Final = 1 << 32
# What making the database takes, and more: the rest is used up when it is there.
BEFORE: Final = 20_000
SEGMENT_IDS: Final = 1 << 20
SEGMENT_BYTES: Final = 32 * 8192
NEXT = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
BURN = """
do $$ begin
  for i in 1 .. {count} loop
    perform pg_current_xact_id();
    commit;
  end loop;
end $$
"""
DATABASES = "select datname from pg_database where datname <> 'template0'"
LATE = "select xid::text::bigint from jobledger.late order by xid"
PREPARED = "select transaction::text::bigint from pg_prepared_xacts order by gid"


async def _freeze(server: Server) -> None:
    """Leave no row behind whose age is counted from where the ids stood."""
    connection = await asyncpg.connect(server.dsn_for("postgres"))
    names = [row["datname"] for row in await connection.fetch(DATABASES)]
    await connection.close()
    for name in names:
        connection = await asyncpg.connect(server.dsn_for(name))
        await connection.execute("vacuum (freeze)")
        await connection.close()


def _set_next(folder: Path, xid: int) -> None:
    """Let a cluster that is stopped go on with this transaction id, as one does that has lived so long."""
    cluster = folder / "cluster"
    owner = cluster.stat()
    account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(  # noqa: S603 - Postgres's own program
        [find_binaries(PG_BIN).program("pg_resetwal"), "-x", str(xid), "-D", str(cluster)],
        capture_output=True,
        text=True,
        check=False,
        **account,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr
    # The states of transactions go on in a file of their own, which has to be there.
    segment = cluster / "pg_xact" / f"{xid // SEGMENT_IDS:04X}"
    segment.write_bytes(bytes(SEGMENT_BYTES))
    os.chown(segment, owner.st_uid, owner.st_gid)
    segment.chmod(0o600)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that the account of Postgres can reach by its path: its programs that we call ask for that."""
    made = Path(tempfile.mkdtemp(prefix="jobledger-wrap-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Server]:
    """Run a server shortly before its ids begin again, migrated, with unlogged live tables."""
    made = Server(folder / "pg", settings={"max_prepared_transactions": "8", "autovacuum": "off"}, pg_bin=PG_BIN)
    try:
        await made.astart()
        await _freeze(made)
        await made.astop()
        _set_next(folder / "pg", WRAP - BEFORE)
        async with migrated(made):
            yield made
    finally:
        await made.astop()


async def _burn(ledger: Ledger, upto: int) -> None:
    """Use up the ids before this one."""
    count = upto - await ledger.value(NEXT)
    assert count > 0
    await ledger.fetch(BURN.format(count=count))


async def _prepared(server: Server, name: str) -> tuple[UUID, int]:
    """Enqueue in a transaction that is prepared and not committed; return the job, and the id in 64 bits."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("begin")
    job = await connection.fetchval("select jobledger.enqueue('short', '{\"ms\": 1}')")
    xid = await connection.fetchval("select pg_current_xact_id()::text::bigint")
    await connection.execute(f"prepare transaction '{name}'")
    await connection.close()
    return job, xid


@pytest.mark.slow
async def test_what_was_prepared_before_the_ids_of_transactions_began_again_is_found_after_a_crash(
    server: Server,
) -> None:
    """`late` has its id in 64 bits, beside that of one after the wrap; committed, both are repaired and run."""
    work = Workplace()
    async with await Store.connect(server.dsn) as store:
        ledger = Ledger(store)
        await open_store(store)
        async with store.connection() as connection:
            assert await is_unlogged(connection)
        jobs = [(await Client(store, strict=False).enqueue("short", {"ms": 1})).id]
        await _burn(ledger, WRAP - 10)
        early, before = await _prepared(server, "1 before")
        await _burn(ledger, WRAP + 100)
        late, after = await _prepared(server, "2 after")
        assert before < WRAP < after
        # The server itself tells the low half only.
        assert [row[0] for row in await ledger.fetch(PREPARED)] == [before, after - WRAP]
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.astart()
    async with await Store.connect(server.dsn) as store:
        ledger = Ledger(store)
        assert (await open_store(store)).rows == 1
        assert [row[0] for row in await ledger.fetch(LATE)] == [before, after]
        async with work.manned(server.dsn):
            await ledger.reaches(jobs[0], "succeeded")
            # Ticks go by, and neither is taken for one that has ended.
            assert [row[0] for row in await ledger.fetch(LATE)] == [before, after]
            for name in ("1 before", "2 after"):
                await ledger.fetch(f"commit prepared '{name}'")
            for job in (early, late):
                await ledger.reaches(job, "succeeded")
            await ledger.all_over()
            await ledger.until(lambda: _none_late(ledger))
        await ledger.agrees([*jobs, early, late], work.notes)


async def _none_late(ledger: Ledger) -> bool:
    return not await ledger.fetch(LATE)
