"""The worker processes of a measurement, as the parent sees them: started, told to go, listened to, killed."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from jobledger.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jobledger.bench.measurement import Bench


class Process:
    """One worker process; `handled` is how many jobs its handlers have run, as far as it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Watch a process that was just started."""
        self.process = process
        self.handled = 0

    async def ready(self) -> None:
        """Wait until it is. Raises `Unavailable` if it ended instead."""
        await self.line()

    async def follow(self) -> None:
        """Take in its counts until it ends. Raises `Unavailable` when it ends by itself."""
        while True:
            self.handled = int(await self.line())

    async def line(self) -> str:
        """Return the next line that it says. Raises `Unavailable` when it ends by itself."""
        assert self.process.stdout is not None  # noqa: S101 - made with a pipe
        line = await self.process.stdout.readline()
        if not line:
            raise Unavailable(f"A worker process ended with status {await self.process.wait()} before the jobs did.")
        return line.decode()

    def say(self, line: str) -> None:
        """Tell it something."""
        assert self.process.stdin is not None  # noqa: S101 - made with a pipe
        self.process.stdin.write(line.encode() + b"\n")


@asynccontextmanager
async def processes(bench: Bench, program: str, count: int) -> AsyncIterator[list[Process]]:
    """Start so many processes of a module of this package with the measurement's orders; give them once ready."""
    orders = json.dumps({"dsn": bench.dsn, "concurrency": bench.setup.concurrency})
    started: list[Process] = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"jobledger.bench.{program}",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            started.append(Process(process))
            started[-1].say(orders)
        for one in started:
            await one.ready()
        yield started
    finally:
        for one in started:
            with suppress(ProcessLookupError):
                one.process.kill()  # its database is dropped with it: nothing is left to hand back
        for one in started:
            await one.process.wait()


@asynccontextmanager
async def working(workers: list[Process]) -> AsyncIterator[Callable[[], None]]:
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
