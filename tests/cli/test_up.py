"""`up` and `serve`: a key of the folder's own, a port that is free, and a database that is opened again."""

from __future__ import annotations

import asyncio
import socket
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from jobledger.cli.connect import Place
from jobledger.cli.serve import served
from jobledger.cli.up import _key_file
from jobledger.http import push
from jobledger.settings import Settings
from jobledger.store.keys import find_key, hashed, revoke_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from jobledger.store.pool import Store


async def test_the_folders_key_is_made_once_and_anew_when_it_was_revoked(store: Store, tmp_path: Path) -> None:
    """Only its owner can read it; who takes it back gets another one at the next start."""
    path = await _key_file(tmp_path, store)
    first = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (await _key_file(tmp_path, store)).read_text().strip() == first
    async with store.connection() as connection:
        found = (await find_key(connection, store.shard, hash_=hashed(first))).key
        assert found is not None
        await revoke_key(connection, store.shard, found.id, reason="lost")
    assert (await _key_file(tmp_path, store)).read_text().strip() != first


async def test_what_serves_opens_the_database_again_and_finds_a_free_port(store: Store, database: str) -> None:
    """On a taken port another one is found; while the live tables are not rebuilt it is not ready, then it is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(dsn=database, http_port=taken.getsockname()[1])
        place = Place(database, settings, None)
        async with served(place, None, any_port=True) as url, aiohttp.ClientSession(url) as session:
            assert not url.endswith(f":{settings.http_port}")
            async with store.connection() as connection:
                await connection.execute("delete from jobledger.live")
            async with asyncio.timeout(20), session.get("/livez") as response:
                assert response.status == 200
                while (await session.get("/readyz")).status != 200:  # noqa: ASYNC110 - it says it to who asks
                    await asyncio.sleep(0.02)


async def test_what_ends_says_so_while_pushed_jobs_still_run(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It still listens, for their reports, and is not ready: a balancer sends nothing more."""
    said: list[int] = []

    @asynccontextmanager
    async def under_way(_: object, url: str) -> AsyncIterator[None]:
        yield
        async with aiohttp.ClientSession(url) as session, session.get("/readyz") as response:
            said.append(response.status)

    monkeypatch.setattr(push, "pushing", under_way)
    place = Place(database, Settings(dsn=database, http_port=0), None)
    async with (
        served(place, None, keep=False) as url,
        aiohttp.ClientSession(url) as session,
        session.get("/readyz") as response,
    ):
        said.append(response.status)
    assert said == [200, 503]
