"""One token tells a handler that it should stop: cancel, kill, time-out, lost lease, shut-down; sync handlers too."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

StopReason = Literal["cancel", "kill", "timeout", "lease_lost", "shutdown"]


class Stopped(BaseException):
    """Raised inside a handler that was asked to stop.

    A BaseException, like asyncio's own: `except Exception` in a handler must not swallow it.
    """

    def __init__(self, why: StopReason) -> None:
        """Keep why."""
        self.why: StopReason = why
        super().__init__(why)


class CancellationToken:
    """Set once, from any thread; read from any thread or event loop.

    The first reason stands: a job killed after it was cancelled keeps `cancel` here, the log tells the rest.
    """

    __slots__ = ("_callbacks", "_event", "_lock", "_why")

    def __init__(self) -> None:
        """Begin unset."""
        self._lock = threading.Lock()
        # Made on first use: 1,000 jobs at once pay for no condition variable that nobody waits on.
        self._event: threading.Event | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._why: StopReason | None = None

    @property
    def why(self) -> StopReason | None:
        """The reason, None while the handler may go on."""
        return self._why

    @property
    def is_set(self) -> bool:
        """Whether the handler should stop."""
        return self._why is not None

    def set(self, why: StopReason) -> bool:
        """Ask to stop; return False if that was done before."""
        with self._lock:
            if self._why is not None:
                return False
            self._why = why
            callbacks, self._callbacks = self._callbacks, []
            if self._event is not None:
                self._event.set()
        for callback in callbacks:
            callback()
        return True

    def raise_if_cancelled(self) -> None:
        """Raise `Stopped` if the handler should stop; cheap enough for the inside of a loop."""
        if self._why is not None:
            raise Stopped(self._why)

    def wait_blocking(self, timeout_s: float | None = None) -> bool:
        """Wait in a sync handler for the request to stop; return False when `timeout_s` seconds went by first."""
        with self._lock:
            if self._event is None:
                self._event = threading.Event()
                if self._why is not None:
                    self._event.set()
        return self._event.wait(timeout_s)

    async def wait(self) -> StopReason:
        """Wait in an async handler for the request to stop; return why."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            loop.call_soon_threadsafe(_finish, future)

        forget = self.on_set(wake)
        try:
            await future
        finally:
            forget()
        assert self._why is not None  # noqa: S101 - the callback runs after the reason is written
        return self._why

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once when the token is set (at once if it is), from the thread that sets it.

        Returns a function that takes the callback back.
        """
        with self._lock:
            if self._why is None:
                self._callbacks.append(callback)
                return lambda: self._forget(callback)
        callback()
        return lambda: None

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
