"""What a measurement counts while several clients are at work at once."""

from __future__ import annotations

import asyncio

from jobledger.bench.enqueue import _repeated


async def test_what_each_client_does_is_counted_once() -> None:
    """Clients whose calls overlap lose nothing of the count to each other."""

    async def step(number: int) -> int:  # noqa: ARG001 - a step is told its number
        await asyncio.sleep(0)
        return 1

    done, _, ms = await _repeated([step] * 8, 0.02)
    assert done == len(ms) >= 8
