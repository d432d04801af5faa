"""Middleware: functions of the application around every enqueuing and around every run, the first added outermost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from jobledger.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobledger.jobs.context import Context
    from jobledger.store.enqueue import Enqueued, NewJob

Send = Callable[["NewJob"], "Awaitable[Enqueued]"]
EnqueueMiddleware = Callable[["NewJob", Send], "Awaitable[Enqueued]"]
Run = Callable[["Context"], Awaitable[Any]]
RunMiddleware = Callable[["Context", Run], Awaitable[Any]]


def around_enqueue(layers: Sequence[EnqueueMiddleware], send: Send) -> Send:
    """Return `send` inside the layers."""
    for layer in reversed(layers):
        send = _enqueue_layer(layer, send)
    return send


def around_run(layers: Sequence[RunMiddleware], run: Run) -> Run:
    """Return `run` inside the layers: the worker's, around each handler on its event loop."""
    for layer in reversed(layers):
        run = _run_layer(layer, run)
    return run


def _enqueue_layer(layer: EnqueueMiddleware, send: Send) -> Send:
    def layered(new: NewJob) -> Awaitable[Enqueued]:
        return layer(new, send)

    return layered


def _run_layer(layer: RunMiddleware, run: Run) -> Run:
    def layered(context: Context) -> Awaitable[Any]:
        return layer(context, run)

    return layered


async def send_together(
    layers: Sequence[EnqueueMiddleware],
    jobs: Sequence[NewJob],
    send_all: Callable[[list[NewJob]], Awaitable[Sequence[Enqueued]]],
) -> list[Enqueued]:
    """Take many jobs through the layers and send what comes out as one batch, all or nothing.

    Every job has its layers to itself; the batch leaves when each has either reached the end or was answered by a
    layer without sending. An error in one layer is the error of the whole call, and nothing is sent.
    """
    if not layers:
        return list(await send_all(list(jobs)))
    seats = [_Seat(new) for new in jobs]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_seated(seat, layers)) for seat in seats]
            for seat in seats:
                await seat.settled.wait()
            for seat in seats:
                if seat.fault is not None:
                    raise seat.fault
            batch = [seat for seat in seats if seat.waiting is not None]
            if batch:
                await _answer(batch, send_all)
    except BaseExceptionGroup as errors:
        # One batch, one fate: every layer was told, the caller hears it once.
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class _Seat:
    """One job of the batch: `waiting` once it reached the end of its layers, `settled` once that is known or not."""

    def __init__(self, new: NewJob) -> None:
        self.new = new
        self.waiting: asyncio.Future[Enqueued] | None = None
        self.fault: Exception | None = None
        self.settled = asyncio.Event()

    async def send(self, new: NewJob) -> Enqueued:
        if self.waiting is not None:
            raise InvalidArgument("A middleware sends a job once.")
        self.new = new
        self.waiting = asyncio.get_running_loop().create_future()
        self.settled.set()
        return await self.waiting


async def _seated(seat: _Seat, layers: Sequence[EnqueueMiddleware]) -> Enqueued:
    try:
        return await around_enqueue(layers, seat.send)(seat.new)
    except Exception as error:
        seat.fault = error
        raise
    finally:
        seat.settled.set()


async def _answer(batch: Sequence[_Seat], send_all: Callable[[list[NewJob]], Awaitable[Sequence[Enqueued]]]) -> None:
    try:
        answers = await send_all([seat.new for seat in batch])
    except Exception as error:  # noqa: BLE001 - handed to the layers, which may look at it; it comes out of them again
        for seat in batch:
            if seat.waiting is not None and not seat.waiting.done():
                seat.waiting.set_exception(error)
        return
    for seat, answer in zip(batch, answers, strict=True):
        if seat.waiting is not None and not seat.waiting.done():
            seat.waiting.set_result(answer)
