"""`isolation="process"`: handlers that run in a child process, which can be killed whatever they do.

A child lives on and runs one job after the other; one that is killed is replaced when the next job needs it. The child
runs the handler with its own event loop and evaluates the outcome there, so only plain data crosses the pipe. It is
told of its end through the token first, and killed `_NOTICE_S` later. A child whose worker dies ends itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import pickle
import signal
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from jobledger.jobs.client import Client
from jobledger.store.pool import Store
from jobledger.worker.conclude import failed_with
from jobledger.worker.execute import Ended, handled, traced
from jobledger.worker.slots import Ending, Slot

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe
    from typing import Protocol

    from jobledger.jobs.kind import Job
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pool import Pooler
    from jobledger.worker.execute import Host
    from jobledger.worker.slots import Outcome, Runner
    from jobledger.worker.threads import Threads

    class IsolationHost(Host, Protocol):
        """What an isolated runner needs of the worker beside."""

        children: Children


_NOTICE_S = 1.0
_CONTEXT = multiprocessing.get_context("spawn")


class ChildEnded(Exception):  # noqa: N818 - its name is the error's type in the log
    """The child process ended before the handler did."""


class _Order(NamedTuple):
    module: str
    name: str
    job: ClaimedJob
    dsn: str | None
    pooler: Pooler
    service: tuple[str, str | None] | None


class Child:
    """One child process and the pipe to it. Runs one job at a time."""

    def __init__(self) -> None:
        """Start it."""
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=serve, args=(theirs,), name="jobledger-child", daemon=True)
        self._process.start()
        self._killed = False
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether it runs, and was not told to die a moment ago."""
        return not self._killed and self._process.is_alive()

    def order(self, order: _Order) -> None:
        """Hand it a job."""
        self._pipe.send(("run", order))

    def answer(self) -> tuple[str, Any]:
        """Wait for what it says next. Raises `ChildEnded` when it is gone."""
        try:
            said: tuple[str, Any] = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(1.0)
            raise ChildEnded(f"The child process ended with status {self._process.exitcode}.") from None
        return said

    def tell(self, why: str) -> None:
        """Tell its handler to stop."""
        with contextlib.suppress(OSError):
            self._pipe.send(("stop", why))

    def kill(self) -> None:
        """End it for good."""
        self._killed = True
        self._process.kill()

    def close(self) -> None:
        """End it and let the pipe go."""
        self._process.kill()
        self._process.join(5.0)
        self._pipe.close()


class Children:
    """The children of one worker: those at rest are taken again."""

    def __init__(
        self,
        threads: Threads,
        dsn: str | None,
        pooler: Pooler = "none",
        service: tuple[str, str | None] | None = None,
    ) -> None:
        """Begin without any; what the handlers enqueue goes to `dsn`, or to the service of this address and key."""
        self.threads = threads
        self.dsn = dsn
        self.pooler: Pooler = pooler
        self.service = service
        self._resting: list[Child] = []
        self._all: set[Child] = set()

    async def take(self) -> Child:
        """Return a child at rest, or a new one."""
        while self._resting:
            child = self._resting.pop()
            if child.alive:
                return child
            await self._end(child)
        # Started in this thread: on Linux a process dies with the thread that started it, where it asks for that.
        child = Child()
        self._all.add(child)
        return child

    def rest(self, child: Child) -> None:
        """Give a child back that has answered."""
        self._resting.append(child)

    async def end(self, child: Child) -> None:
        """Kill a child and clear it away."""
        await self._end(child)

    async def close(self) -> None:
        """End all of them."""
        self._resting.clear()
        for child in tuple(self._all):
            await self._end(child)

    async def _end(self, child: Child) -> None:
        self._all.discard(child)
        await self.threads.run(child.close)


def isolated_runner(kind: Job[..., Any], host: IsolationHost) -> Runner:
    """Return the runner of a kind that is declared with `isolation="process"`."""

    async def run(job: ClaimedJob, slot: Slot, /) -> Outcome:
        try:
            child = await host.children.take()
        except OSError as error:
            return failed_with(job, kind.declaration.policy, error)
        try:
            told = (kind.function.__module__, kind.function.__qualname__, job)
            child.order(_Order(*told, host.children.dsn, host.children.pooler, host.children.service))
            outcome = await _followed(child, host, job, slot)
        except ChildEnded as error:
            await host.children.end(child)
            return failed_with(job, kind.declaration.policy, error)
        except BaseException:
            # Cancelled, most likely: the handler had its notice, and is killed.
            await asyncio.shield(host.children.end(child))
            raise
        host.children.rest(child)
        return outcome

    return traced(run) if host.tracing else run


async def _followed(child: Child, host: IsolationHost, job: ClaimedJob, slot: Slot) -> Outcome:
    while True:
        answer = asyncio.ensure_future(host.children.threads.run(child.answer))
        try:
            what, said = await asyncio.shield(answer)
        except asyncio.CancelledError:
            child.tell(slot.ending.value if slot.ending is not None else Ending.CANCELLED.value)
            await asyncio.wait([answer], timeout=_NOTICE_S)
            if _ended(answer) is None:
                child.kill()
                await asyncio.wait([answer])
            last = _ended(answer)
            if last is not None and last[0] == "succeeded":
                return last
            raise
        if what == "progress":
            await host.progress(slot, job, said)
            continue
        ended: Outcome = said
        return ended


def _ended(answer: asyncio.Future[tuple[str, Any]]) -> Outcome | None:
    """Return the outcome in a child's answer; None before it came, and where it is something else."""
    if not answer.done() or answer.exception() is not None:
        return None
    what, said = answer.result()
    ended: Outcome | None = said if what == "ended" else None
    return ended


# ---- in the child


class _ChildHost:
    """The surroundings of a handler in its child process."""

    def __init__(self, pipe: Pipe, kind: Job[..., Any]) -> None:
        from jobledger.worker.threads import Threads  # noqa: PLC0415 - in the child only

        self.threads = Threads()
        self.middleware = tuple(kind.app.run_layers)
        self.tracing = False
        self._pipe = pipe

    async def progress(self, slot: Slot, job: ClaimedJob, data: dict[str, Any]) -> None:  # noqa: ARG002
        self._pipe.send(("progress", data))

    def slot_lost(self, job: ClaimedJob) -> None:
        """Nothing is lost here: the process is killed."""


def serve(pipe: Pipe) -> None:
    """Run jobs that come through the pipe, one after the other; the child's main function."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Sent to the whole group they are the worker's affair; it kills its children when their time is over.
        signal.signal(number, signal.SIG_IGN)
    orders: asyncio.Queue[_Order] = asyncio.Queue()
    asyncio.run(_serve(pipe, orders))


async def _serve(pipe: Pipe, orders: asyncio.Queue[_Order]) -> None:
    loop = asyncio.get_running_loop()
    slot = Slot()

    def listen() -> None:
        while True:
            try:
                what, said = pipe.recv()
            except (EOFError, OSError):
                os._exit(0)  # the worker is gone
            if what == "run":
                loop.call_soon_threadsafe(orders.put_nowait, said)
            elif slot.token is not None:
                slot.token.set(said)

    threading.Thread(target=listen, daemon=True, name="jobledger-pipe").start()
    known: set[int] = set()
    async with contextlib.AsyncExitStack() as stack:
        while True:
            order = await orders.get()
            kind = _kind_of(order)
            if id(kind.app) not in known:
                known.add(id(kind.app))
                await _surround(stack, kind, order)
            slot.token = None
            slot.job = order.job
            try:
                outcome = await handled(kind, _ChildHost(pipe, kind), order.job, slot)
            except Ended as ended:
                outcome = ended.outcome
            pipe.send(("ended", _plain(outcome)))


async def _surround(stack: contextlib.AsyncExitStack, kind: Job[..., Any], order: _Order) -> None:
    """Give the app its resources and a client, which connects when a handler enqueues something."""
    if order.service is not None:
        url, key = order.service
        client = await stack.enter_async_context(Client(url=url, key=key, app=kind.app))
        await stack.enter_async_context(kind.app.bound(client))
    elif order.dsn is not None:
        store = await stack.enter_async_context(
            await Store.connect(order.dsn, pooler=order.pooler, pool_min=0, pool_max=2)
        )
        client = await stack.enter_async_context(Client(store, app=kind.app))
        await stack.enter_async_context(kind.app.bound(client))
    await stack.enter_async_context(kind.app.running())


def _kind_of(order: _Order) -> Job[..., Any]:
    found: Any = importlib.import_module("__mp_main__" if order.module == "__main__" else order.module)
    for part in order.name.split("."):
        found = getattr(found, part)
    kind: Job[..., Any] = found
    return kind


def _plain(outcome: Outcome) -> Outcome:
    """Return the outcome in a form that crosses the pipe."""
    import orjson  # noqa: PLC0415 - in the child only

    name, data = outcome
    plain = None if data is None else orjson.loads(orjson.dumps(data))
    pickle.dumps(plain)
    return (name, plain)
