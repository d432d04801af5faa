"""Ctrl-c while something is followed: what runs is ended for sure, and has its last word."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end, or until ctrl-c: then it is cancelled, however often that takes, and awaited.

    A single cancellation, which is what the event loop makes of ctrl-c, may be swallowed on its way while connections
    break; a second ctrl-c ends the process as it ends any other.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    interrupted = asyncio.Event()

    def interrupt() -> None:
        interrupted.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    waiting = loop.create_task(interrupted.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await end([task])
            raise KeyboardInterrupt
        return task.result()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        await end([waiting, task])
