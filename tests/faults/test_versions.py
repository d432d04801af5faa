"""Several migrators at once, one killed in the middle, and an old worker beside a new one."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import Crew, Ledger
from tests.faults.workplace import Workplace

from jobledger.errors import SchemaMissing, SchemaNewer
from jobledger.jobs import Client
from jobledger.store.migrate import migrate, must_be_migrated, pending
from jobledger.store.migration_files import read_sql_files
from jobledger.store.pool import Store, connect

if TYPE_CHECKING:
    from uuid import UUID

OLD = Path(__file__).parents[1] / "data" / "jobledger-0.1.0.tar.xz"


async def run(dsn: str, *words: str, home: Path | None = None) -> asyncio.subprocess.Process:
    """Start this package's command, or that of the package unpacked at `home`."""
    path = {"PYTHONPATH": str(home / "service")} if home else {}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobledger", *words, "--dsn", dsn),
        env={**os.environ, **path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def works(dsn: str) -> None:
    """See that nothing is left to be applied, and that a job runs."""
    async with await Store.connect(dsn, pool_max=4) as store:
        async with store.connection() as connection:
            assert not await pending(connection)
        work = Workplace()
        async with work.manned(store):
            job = await Client(store, strict=False).enqueue("short", {"ms": 1})
            ledger = Ledger(store)
            await ledger.reaches(job.id, "succeeded")
        await ledger.agrees([job.id], work.notes)


@pytest.mark.slow
async def test_migrators_at_once_do_it_once(empty_database: str) -> None:
    """Three processes begin together: each ends well, and what they were to do is done once."""
    migrators = [await run(empty_database, "migrate") for _ in range(3)]
    said = [(await migrator.communicate())[0].decode() for migrator in migrators]
    assert [migrator.returncode for migrator in migrators] == [0, 0, 0]
    first = read_sql_files().migrations[0].name
    assert sum(f"applying {first}" in one for one in said) == 1
    await works(empty_database)


@pytest.mark.parametrize("moment", [pytest.param("0002_event_log", marks=pytest.mark.slow), "contract/50_report.sql"])
async def test_a_migrator_killed_in_the_middle_is_followed_by_one_that_goes_on(
    empty_database: str, moment: str
) -> None:
    """What it had committed stays, what it was about is done again by the next, and no lock is left behind."""
    killed = await run(empty_database, "migrate")
    assert killed.stdout is not None
    async with asyncio.timeout(60):
        while moment not in (line := (await killed.stdout.readline()).decode()):
            assert line
        killed.kill()
        await killed.communicate()
        following = await run(empty_database, "migrate")
        told = (await following.communicate())[0].decode()
    assert following.returncode == 0, told
    await works(empty_database)


def unpacked(folder: Path) -> Path:
    """Unpack the package as it was with the first four migrations; return its folder."""
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    return folder / "jobledger-0.1.0"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Give the folder of the older package."""
    return unpacked(tmp_path)


@pytest.mark.slow
async def test_an_old_worker_goes_on_beside_a_new_one_while_the_database_is_migrated(
    empty_database: str, old: Path, tmp_path: Path
) -> None:
    """The old one, never stopped, claims and reports by the newer functions; both finish jobs, and all agrees."""
    migrator = await run(empty_database, "migrate", home=old)
    told = (await migrator.communicate())[0].decode()
    assert migrator.returncode == 0, told
    crew = Crew(tmp_path, empty_database)
    jobs: list[UUID] = []
    try:
        async with await Store.connect(empty_database, pool_max=4) as store:
            ledger = Ledger(store)

            async def enqueue(count: int) -> None:
                async with store.connection() as connection:
                    jobs.extend(
                        [
                            await connection.fetchval(
                                "select jobledger.enqueue('short', jsonb_build_object('ms', 20), max_attempts => 100)"
                            )
                            for _ in range(count)
                        ]
                    )

            before = crew.hire(PYTHONPATH=str(old / "service"))
            await enqueue(20)
            await before.ends_more(5)
            connection = await connect(empty_database)
            done = await migrate(connection)
            await connection.close()
            assert done.projections
            old_before, after = len(before.notes("ended")), crew.hire()
            while not (after.notes("ended") and len(before.notes("ended")) > old_before):
                await enqueue(20)
                await ledger.all_over()
            enqueuer = await run(empty_database, "enqueue", "short", "--args", '{"ms": 1}', home=old)
            told = (await enqueuer.communicate())[0].decode()
            assert enqueuer.returncode == 0, told
            jobs[:] = [row[0] for row in await ledger.fetch("select id from jobledger.jobs")]
            await ledger.all_over()
            assert [hand.process.poll() for hand in crew.hands] == [None, None]
            await crew.dismiss()
            await ledger.agrees(jobs, crew.notes())
    finally:
        crew.kill()


async def test_a_worker_starts_on_a_database_that_newer_code_has_migrated_and_still_serves_it(store: Store) -> None:
    """It neither applies its own older functions nor refuses; where its contract is not served any more, it refuses."""
    newer = read_sql_files()
    older = dataclasses.replace(newer, migrations=newer.migrations[:-1], projections=newer.projections[:-3])
    async with store.connection() as connection:
        await must_be_migrated(connection, files=older, version="0.0.9")
        await must_be_migrated(connection, version="0.0.9")
        with pytest.raises(SchemaNewer, match="does not know"):
            await must_be_migrated(connection, files=older, contract=0)
        with pytest.raises(SchemaNewer):
            await migrate(connection, files=older)
        await connection.execute("drop function jobledger.serves(int)")
        with pytest.raises(SchemaNewer):
            await must_be_migrated(connection, files=older)
        with pytest.raises(SchemaMissing):
            await must_be_migrated(connection, files=dataclasses.replace(newer, projections=()))
