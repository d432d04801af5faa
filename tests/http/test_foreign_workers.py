"""The example workers of the documentation, run: sh with curl, and Node."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobledger import App
from jobledger.jobs import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.store.pool import Store

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
ADD = "import json, sys; args = json.load(sys.stdin)['data']['args']; print(json.dumps(args['a'] + args['b']))"


def declared() -> App:
    """Return the kinds that the examples run; their handlers are elsewhere."""
    app = App()

    @app.job(max_attempts=1)
    async def add(a: Any, b: Any) -> Any:
        """Add."""

    @app.job(max_attempts=1)
    async def wait(seconds: float) -> str:
        """Wait."""
        return str(seconds)

    return app


@asynccontextmanager
async def running(*words: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program for a block; at its end it has ended by itself, or is killed."""
    process = await asyncio.create_subprocess_exec(*words, env={**os.environ, **environment})
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
async def test_a_worker_of_sh_and_curl_runs_jobs(store: Store, serving: Any) -> None:
    """Results come back, what fails says why, and it ends when there is nothing more."""
    app = declared()
    async with serving(store) as (session, _), Client(store, app=app) as client:
        await client.register()
        good = [await client.enqueue("add", {"a": n, "b": "2" if n == 3 else 2}) for n in range(1, 4)]
        url = str(session._base_url).rstrip("/")
        how = {"JOBLEDGER_URL": url, "JOBLEDGER_KEY": "k", "WAIT_S": "0", "UNTIL_EMPTY": "1"}
        words = ("sh", str(EXAMPLES / "worker.sh"), "add", sys.executable, "-I", "-c", ADD)
        async with running(*words, **how) as process, asyncio.timeout(30):
            assert await process.wait() == 0
        assert [await one.result(timeout=5) for one in good[:2]] == [3, 4]
        failed = (await client.history(good[2].id))[-1].data
    assert "TypeError" in str(failed)
    async with store.connection() as connection:
        assert await connection.fetchval("select stopped_at is not null from jobledger.workers")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("node"), reason="there is no Node here")
async def test_a_worker_of_node_runs_jobs_side_by_side(store: Store, serving: Any) -> None:
    """Several at a time; SIGTERM lets what runs finish, and its outcome counts."""
    app = declared()
    async with serving(store) as (session, _), Client(store, app=app) as client:
        await client.register()
        many = [await client.enqueue("add", {"a": n, "b": 1}) for n in range(30)]
        slow = await client.enqueue("wait", {"seconds": 3})
        url = str(session._base_url).rstrip("/")
        words = ("node", str(EXAMPLES / "worker.mjs"))
        async with running(*words, JOBLEDGER_URL=url, JOBLEDGER_KEY="k") as process, asyncio.timeout(60):
            assert [await one.result(timeout=20) for one in many] == list(range(1, 31))
            while (await client.job(slow.id)).job.state != "running":  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        assert await slow.result(timeout=5) == "waited"
    async with store.connection() as connection:
        assert await connection.fetchval("select stopped_at is not null from jobledger.workers")
