"""The page about pushed queues: its function runs, and takes what the service sends."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from jobledger import App
from jobledger.delivery import signature
from jobledger.delivery.push import Pusher
from jobledger.delivery.push_endpoint import push_label
from jobledger.settings import Settings
from jobledger.store.pushes import set_push
from jobledger.store.service_key import ServiceKey
from jobledger.worker.keeper import Keeper

if TYPE_CHECKING:
    import pytest

    from jobledger.store.pool import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "push.md"


async def test_the_function_of_the_page_takes_jobs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It checks the signature and answers with outcomes: a job of its kind succeeds, another fails for good."""
    app = App()

    @app.job(queue="thumbnails", timeout=5)
    async def resize(width: int) -> None:
        """The function does it."""

    @app.job(queue="thumbnails", timeout=5)
    async def crop() -> None:
        """No function does it."""

    await app.register(store)
    async with store.connection() as connection:
        key = await ServiceKey.load(connection)
    monkeypatch.setitem(os.environ, "PUSH_SECRET", signature.secret(key, push_label("thumbnails", None)))
    code = re.search(r"^```python\n(# function.py.*?)^```", PAGE.read_text(), re.M | re.S)
    assert code is not None
    names: dict[str, Any] = {"__name__": "function"}
    exec(compile(code[1], "function.py", "exec"), names)  # noqa: S102 - the documentation's own code
    server = ThreadingHTTPServer(("127.0.0.1", 0), names["Function"])
    monkeypatch.setattr(names["Function"], "log_message", lambda *_: None)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    settings = Settings(send_private=True)
    try:
        async with store.connection() as connection:
            said: dict[str, Any] = {"tenant": None, "actor": "test", "reason": None, "max_run": 5}
            await set_push(connection, store.shard, "thumbnails", url=url, **said)
            await connection.execute("select jobledger.enqueue('resize', '{\"width\": 640}')")
            await connection.execute("select jobledger.enqueue('crop')")
        async with (
            Keeper(store, settings),
            Pusher(store, settings, url="http://127.0.0.1:1"),
            asyncio.timeout(20),
            store.connection() as connection,
        ):
            while await connection.fetchval("select count(*) from jobledger.finished") < 2:  # noqa: ASYNC110 - in the database
                await asyncio.sleep(0.02)
        async with store.connection() as connection:
            rows = await connection.fetch(
                "select data from jobledger.events where type in ('job.succeeded', 'job.failed') order by type"
            )
        done, failed = [orjson.loads(row["data"]) for row in rows]
        assert done["result"] == {"width": 320}
        assert (failed["error"]["type"], failed["error"]["class"]) == ("UnknownKind", "permanent")
    finally:
        server.shutdown()
        server.server_close()
