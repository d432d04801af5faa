"""`jobledger worker --url`: the worker of an application through a service, as it is started elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.http.test_killed_service import process
from tests.worker import isolated

from jobledger.jobs import Client
from jobledger.store.keys import create_key, new_key
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from jobledger.store.pool import Store

ROOT = Path(__file__).parents[2]


async def command(*words: str, **environment: str) -> tuple[int, str]:
    """Run a command of the package; return its exit status and what it wrote to stderr."""
    given = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}", **environment}
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jobledger", *words, stderr=asyncio.subprocess.PIPE, env=given
    )
    async with asyncio.timeout(60):
        _, told = await made.communicate()
    assert made.returncode is not None
    return made.returncode, told.decode()


@pytest.mark.slow
async def test_a_worker_on_the_command_line_works_through_a_service(store: Store, database: str, port: int) -> None:
    """Address and key reach its processes; a database beside it is refused, and a wrong key, too."""
    async with store.connection() as connection:
        key = new_key(await ServiceKey.load(connection))
        await create_key(connection, store.shard, key, "hands", roles=["work"])
    words = ("worker", "tests.worker.isolated:app", "--until-empty")
    url = f"http://127.0.0.1:{port}"
    async with process(database, port), Client(store, app=isolated.app) as client:
        await client.register()
        first = await client.enqueue("add", {"a": 1, "b": 1})
        status, told = await command(*words, "--url", url, "--processes", "2", JOBLEDGER_KEY=key)
        assert (status, await first.result(timeout=5)) == (0, [2, "half"]), told
        status, told = await command(*words, "--url", url, "--key", "jl_wrong")
        assert (status, "jl_wrong" in told) == (5, False), told
    status, told = await command(*words, "--url", url, "--dsn", database)
    assert (status, "either a database" in told) == (2, True), told
