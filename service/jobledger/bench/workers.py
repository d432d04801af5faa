"""The worker processes of a measurement, as the parent sees them: started, told to go, listened to, killed."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from jobledger.bench.drainer import Done, Orders
from jobledger.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from jobledger.bench.measurement import Bench

_LINE_BYTES: Final = 4 * 1024 * 1024
_ANSWER_S: Final = 30.0


class Process:
    """One worker process; `first` is the line by which it said that it is there, `done` what it has done so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Watch a process that was just started."""
        self.process = process
        self.first = ""
        self.done = Done()
        self._heard = asyncio.Event()

    @property
    def handled(self) -> int:
        """How many jobs its handlers have run."""
        return self.done.handled

    @property
    def cpu_s(self) -> float:
        """The CPU seconds that it has used."""
        return self.done.cpu_s

    async def follow(self) -> None:
        """Take in what it says until it ends. Raises `Unavailable` when it ends by itself."""
        while True:
            self.take_in(await self.line())

    async def fresh(self) -> None:
        """Wait until it has said anew what it has done; somebody must follow it meanwhile."""
        self._heard.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_S):
                await self._heard.wait()

    async def times(self) -> dict[str, list[float]]:
        """Return how long its claims and reports took; it says nothing more after that."""
        self.say("times")
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_S):
                while not self.done.times:
                    await self.fresh()
        return self.done.times

    async def line(self) -> str:
        """Return the next line that it says. Raises `Unavailable` when it ends by itself."""
        assert self.process.stdout is not None  # noqa: S101 - made with a pipe
        line = await self.process.stdout.readline()
        if not line:
            raise Unavailable(
                f"A process of the measurement ended with status {await self.process.wait()} before it was done."
            )
        return line.decode()

    def say(self, line: str) -> None:
        """Tell it something."""
        assert self.process.stdin is not None  # noqa: S101 - made with a pipe
        self.process.stdin.write(line.encode() + b"\n")

    def take_in(self, line: str) -> None:
        """Take in one line of what it has done."""
        self.done = Done(**json.loads(line))
        self._heard.set()


@asynccontextmanager
async def started(program: str, orders: Sequence[str]) -> AsyncIterator[list[Process]]:
    """Start a process of a module of this package for each line of orders; give them once each has said a line."""
    running: list[Process] = []
    try:
        for order in orders:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"jobledger.bench.{program}",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES,
                # Ctrl-c at a terminal goes to all of its processes: these would each tell of it by a traceback.
                start_new_session=True,
            )
            running.append(Process(process))
            running[-1].say(order)
        for one in running:
            one.first = await one.line()
            if program == "drainer":
                one.take_in(one.first)
        yield running
    finally:
        for one in running:
            with suppress(ProcessLookupError):
                one.process.kill()  # its database is dropped with it: nothing is left to hand back
        for one in running:
            await one.process.wait()


@asynccontextmanager
async def drainers(bench: Bench, count: int, **orders: Any) -> AsyncIterator[list[Process]]:
    """Start so many workers on the measurement's database, with its concurrency unless `orders` say another."""
    line = Orders(**{"dsn": bench.dsn, "concurrency": bench.setup.concurrency, **orders}).line()
    async with started("drainer", [line] * count) as workers:
        yield workers


@asynccontextmanager
async def working(workers: Sequence[Process]) -> AsyncIterator[Callable[[], None]]:
    """Tell the processes to go and take in their counts; the function given raises if one of them has ended."""
    following = [asyncio.create_task(worker.follow()) for worker in workers]

    def check() -> None:
        for task in following:
            if task.done():
                task.result()

    for worker in workers:
        worker.say("go")
    try:
        yield check
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
