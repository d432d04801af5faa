"""`up` and `serve`: a key of the folder's own, a port that is free, and a database that is opened again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from tests.faults.conftest import until

from jobledger.cli.connect import Place, located
from jobledger.cli.serve import served
from jobledger.cli.up import _greet, _key_file
from jobledger.errors import InvalidArgument
from jobledger.http import push
from jobledger.settings import Settings
from jobledger.store.keys import create_key, find_key, hashed, new_key, revoke_key
from jobledger.store.service_key import ServiceKey
from jobledger.worker.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from jobledger.store.pool import Store

WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


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


async def test_a_port_that_is_taken_leaves_nothing_begun(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody seals or ticks before the service has its port; where it gets none, nothing is written."""
    begun: list[Keeper] = []
    monkeypatch.setattr(Keeper, "__aenter__", begun.append)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(dsn=database, http_port=taken.getsockname()[1])
        with pytest.raises(InvalidArgument, match="cannot listen"):
            async with served(Place(database, settings, None), None):
                pytest.fail("it serves")
    assert not begun


def test_what_listens_on_a_socket_tells_how_it_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line that is printed works as it is: with the socket, quoted, and an address that curl can read."""
    path = tmp_path / "a b.sock"
    secure = {"http_tls_cert": tmp_path / "c", "http_tls_key": tmp_path / "k"}
    for given, scheme in (({}, "http"), (secure, "https")):
        settings = Settings(http_socket=path, **given)
        _greet(Place("postgresql://localhost/x", settings, None), None, f"unix:{path}", tmp_path / "api-key")
        said = capsys.readouterr().out
        assert f"  curl --unix-socket '{path}' -H " in said
        assert f" {scheme}://localhost/v1/jobs\n" in said
        assert f"unix:{path}/" not in said


@pytest.mark.slow
def test_the_postgres_of_a_command_is_started_again_while_it_lasts(tmp_path: Path) -> None:
    """`up`, `serve` and workers on the embedded one go on after its SIGKILL: nobody else has to start it."""
    with located(Settings(dsn=None, data=tmp_path / "data")) as place:
        assert place.attachment is not None
        first = place.attachment.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while place.attachment.pid in (first, None):
            assert time.monotonic() < deadline


@pytest.mark.slow
async def test_a_second_ctrl_c_ends_it_at_once(store: Store, database: str) -> None:
    """The first lets requests end, and says how to hurry; after the second nobody is waited for."""
    async with store.connection() as connection:
        key = new_key(await ServiceKey.load(connection))
        await create_key(connection, store.shard, key, "one", roles=["admin"])
    words = ("-m", "jobledger", "serve", "--port", "0", "--dsn", database)
    environment = {**os.environ, "JOBLEDGER_HTTP_DRAIN_S": "300"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().split()[-1]
            headers = {"Authorization": f"Bearer {key}"}
            async with aiohttp.ClientSession(url, headers=headers) as session, store.transaction() as connection:
                await connection.execute("lock table jobledger.limits in access exclusive mode")
                asked = asyncio.create_task(_fails(session))
                async with store.connection() as other:
                    await until(lambda: other.fetchval(WAITING))
                process.send_signal(signal.SIGINT)
                assert "again: at once" in (await process.stdout.readline()).decode()
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 130
                await asked
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _fails(session: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientError):
        await session.get("/v1/limits")


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
