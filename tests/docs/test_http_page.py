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

if TYPE_CHECKING:
    from asyncio.subprocess import Process

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8470"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the page's commands are curl and jq")
async def test_the_commands_of_the_page_do_what_it_says(database: str) -> None:
    """Every block as it stands, but for the address; the first command that fails ends it."""
    blocks = BLOCK.findall((ROOT / "docs" / "howto" / "http.md").read_text())
    serving = [sys.executable, "-u", "-m", "jobledger", "serve", "--port", "0", "--dsn", database]
    service = await asyncio.create_subprocess_exec(*serving, stdout=asyncio.subprocess.PIPE)
    try:
        assert service.stdout is not None
        async with asyncio.timeout(30):
            url = (await service.stdout.readline()).decode().split()[-1]
        script = "\n".join(["set -euxo pipefail", *blocks]).replace(ADDRESS, url)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {**os.environ, "JOBLEDGER_DSN": database, "PATH": path}
        typed = await asyncio.create_subprocess_exec(
            *("bash", "-c", script), env=given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(60):
            said, _ = await typed.communicate()
        assert typed.returncode == 0, said.decode()[-3000:]
        assert said.decode().count('"code"') == 1
    finally:
        await _ended(service)


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()
