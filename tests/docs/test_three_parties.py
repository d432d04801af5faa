"""The example of three parties runs as it stands, and each of them sees what it should and no more."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "three_parties.py"


@pytest.mark.slow
async def test_the_three_parties_meet(database: str) -> None:
    """The page sees the launch go live; another owner's token finds nothing; the page's own reads no jobs."""
    example = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLE), database), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(60):
            said = (await example.communicate())[0].decode()
    finally:
        if example.returncode is None:
            example.terminate()
            await example.wait()
    lines = [line.strip() for line in said.splitlines() if line.startswith(("ada", "bob"))]
    assert example.returncode == 0, said
    assert lines[-4:] == [
        "ada's page sees: live https://ada.example",
        "bob asks for /v1/launches/ID: 404",
        "ada asks for /v1/jobs/ID: 403",
        "ada asks for /v1/launches/ID: 200",
    ]
    assert any(line.startswith("ada's page sees: ") and "live" not in line for line in lines)
