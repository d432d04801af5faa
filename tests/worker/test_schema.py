"""A worker and the schema that it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from jobledger.errors import SchemaMissing
from jobledger.jobs.app import App
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from jobledger.store.pool import Store


def app_of_one() -> App:
    """Return an app with one kind."""
    app = App("one")

    @app.job()
    async def noop() -> None:
        """Do nothing."""

    return app


async def test_a_worker_refuses_a_database_that_was_never_migrated(empty_database: str) -> None:
    """It says at once what is missing and how to put it there, instead of failing at every claim."""
    with pytest.raises(SchemaMissing, match="jobledger migrate"):
        await Worker(app_of_one(), empty_database, until_empty=True).run()


async def test_a_worker_refuses_functions_older_than_its_code(store: Store, database: str) -> None:
    """A projection file that changed since it was applied is told before anything is claimed."""
    connection = await asyncpg.connect(database)
    await connection.execute("update jobledger.projection_files set checksum = 'old' where path like '%enqueue.sql'")
    await connection.close()
    with pytest.raises(SchemaMissing, match="jobledger migrate"):
        await Worker(app_of_one(), store, until_empty=True).run()
