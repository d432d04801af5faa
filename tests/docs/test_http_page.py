"""The page on the API: its commands are typed in, one after the other, at a service of a real process."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.order.stress import seal_all

from jobledger import Client
from jobledger.store.keys import create_key, new_key
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from jobledger.store.pool import Store

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8470"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the page's commands are curl and jq")
async def test_the_commands_of_the_page_do_what_it_says(database: str) -> None:
    """Every block as it stands, but for the address; the first command that fails ends it."""
    said = await _typed("http.md", database, {})
    assert said.count('"code"') == 1


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the page's commands are curl and jq")
async def test_the_commands_that_consume_a_subscription_do_so(store: Store, database: str) -> None:
    """The loop prints each event once, and its end is stored."""
    async with Client(store, strict=False) as client, store.connection() as connection:
        mails = client.subscription("mails")
        await mails.create(types=["job.enqueued"])
        jobs = [(await client.enqueue("noop")).id for _ in range(3)]
        await seal_all(connection)
        key = new_key(await ServiceKey.load(connection))
        await create_key(connection, store.shard, key, "mailer", roles=["operate"])
        said = await _typed("subscribe.md", database, {"JOBLEDGER_KEY": key})
        assert [said.count(f'["{job}/1"') for job in jobs] == [1, 1, 1]
        assert (await mails.status()).consumers == 0
        assert all(part.place.position >= 3 for part in await mails.slices())


async def _typed(page: str, database: str, given: dict[str, str]) -> str:
    """Type in a page's commands at a service of a process, and return what they said."""
    blocks = BLOCK.findall((ROOT / "docs" / "howto" / page).read_text())
    serving = [sys.executable, "-u", "-m", "jobledger", "serve", "--port", "0", "--dsn", database]
    service = await asyncio.create_subprocess_exec(*serving, stdout=asyncio.subprocess.PIPE)
    try:
        assert service.stdout is not None
        async with asyncio.timeout(30):
            url = (await service.stdout.readline()).decode().split()[-1]
        script = "\n".join(["set -euxo pipefail", *blocks]).replace(ADDRESS, url)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "JOBLEDGER_DSN": database, "PATH": path, **given}
        typed = await asyncio.create_subprocess_exec(
            *("bash", "-c", script), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(60):
            said, _ = await typed.communicate()
        assert typed.returncode == 0, said.decode()[-3000:]
        return said.decode()
    finally:
        await _ended(service)


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()
