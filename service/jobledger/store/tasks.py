"""Tasks of the package that go on until they are cancelled, and how they are ended for sure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_AGAIN_S: Final = 3.0


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended; what they raise is left to whoever asks them.

    One that still goes on after a while, which is enough to tidy up, is cancelled again: a cancellation that comes in
    the moment in which what was awaited is done may be swallowed on the way (`asyncio.wait_for` does so before Python
    3.12), and who waited for the task would wait for ever.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen, so that nobody is told of it as of one that was lost
