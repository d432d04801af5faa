"""Tasks are ended for sure, whatever becomes of a cancellation on its way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobledger.store import tasks
from jobledger.store.tasks import end

if TYPE_CHECKING:
    import pytest


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is not swallowed; one that has ended, or failed, is left as it is."""
    monkeypatch.setattr(tasks, "_AGAIN_S", 0.05)
    swallowed = asyncio.Event()
    began = asyncio.Event()

    async def stubborn() -> None:
        while True:
            try:
                began.set()
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if swallowed.is_set():
                    raise
                swallowed.set()

    async def failing() -> None:
        raise ZeroDivisionError

    failed = asyncio.create_task(failing())
    task = asyncio.create_task(stubborn())
    await began.wait()
    async with asyncio.timeout(10):
        await end([task, failed])
    assert task.cancelled()
    assert swallowed.is_set()
    assert isinstance(failed.exception(), ZeroDivisionError)
    await end([])
