"""Which event loop runs: uvloop where it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def name() -> str:
    """Return the name of the loop that `run` uses."""
    return "uvloop" if find_spec("uvloop") else "asyncio"


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on the best loop there is."""
    if name() == "uvloop":
        import uvloop  # noqa: PLC0415 - an extra that may not be there

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    return asyncio.run(main)
