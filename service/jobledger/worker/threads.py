"""Threads for sync handlers.

A thread cannot be ended from outside. A sync handler is told through its cancellation token; one that ignores it for
`ignore_s` keeps its thread, which is counted as lost, and the worker's process is replaced when too many are. The
threads are daemons, so a lost one does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context as Variables

T = TypeVar("T")


class _Call(NamedTuple):
    function: Callable[[], Any]
    variables: Variables
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Threads:
    """Threads that are started as they are needed and live on; one runs one handler at a time."""

    def __init__(self, *, ignore_s: float = 10.0) -> None:
        """Begin without a thread. A handler that ignores its token for `ignore_s` after its end is left alone."""
        self.lost = 0
        self._ignore_s = ignore_s
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._idle = 0
        self._count = 0
        self._lock = threading.Lock()

    async def run(self, function: Callable[[], T], on_lost: Callable[[], None] | None = None) -> T:
        """Run `function` in a thread and return what it returns.

        When the caller's task is cancelled the function is given `ignore_s` to end by itself. What it returns in that
        time counts: its work is done. Otherwise the cancellation goes on, and if it has not ended `on_lost` is called.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._start_one_if_needed()
        self._calls.put(_Call(function, copy_context(), loop, future))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if future.done():
                raise
            done, _ = await asyncio.wait([future], timeout=self._ignore_s)
            if not done:
                self.lost += 1
                if on_lost is not None:
                    on_lost()
                future.add_done_callback(self._found)
            elif future.exception() is None:
                return future.result()
            raise

    def close(self) -> None:
        """Let the threads end that run nothing."""
        with self._lock:
            for _ in range(self._count):
                self._calls.put(None)
            self._count = self._idle = 0

    def _found(self, future: asyncio.Future[Any]) -> None:
        self.lost -= 1
        if not future.cancelled():
            future.exception()

    def _start_one_if_needed(self) -> None:
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                return
            self._count += 1
        threading.Thread(target=self._work, name=f"jobledger-handler-{self._count}", daemon=True).start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            self._run_one(call)
            # At rest it would keep the job's arguments and result for as long as no other comes.
            del call
            with self._lock:
                self._idle += 1

    def _run_one(self, call: _Call) -> None:
        try:
            value = call.variables.run(call.function)
        except BaseException as error:  # noqa: BLE001 - handed to the one who waits, whatever it is
            self._hand_back(call, None, error)
        else:
            self._hand_back(call, value, None)

    @staticmethod
    def _hand_back(call: _Call, value: object, error: BaseException | None) -> None:
        def settle() -> None:
            if call.future.done():
                return
            if error is None:
                call.future.set_result(value)
            elif isinstance(error, StopIteration):
                call.future.set_exception(RuntimeError("the handler raised StopIteration"))
            else:
                call.future.set_exception(error)

        try:
            call.loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return  # the loop has ended; nobody waits any more
