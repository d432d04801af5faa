"""The application whose workers the tests end: what its handlers do they put on a record of their own.

The record is a file for each process, appended to line by line, so that it outlives any signal. `FAULTS_PLACE` makes a
worker stand still: `claimed` between claim and handler, `concluded` between the handler's end and the report; with
`FAULTS_SPIN` it burns CPU there and its event loop does not turn.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobledger.jobs import App, Context
from jobledger.lifecycle.backoff import Fixed

if TYPE_CHECKING:
    from jobledger.jobs.middleware import Run

FOLDER = Path(os.environ["FAULTS_FOLDER"])
PLACE = os.environ.get("FAULTS_PLACE")
SPIN = "FAULTS_SPIN" in os.environ
LOOK_S = 0.005

app = App("works")
_at_once = Fixed(0, jitter=0)
_record = os.open(FOLDER / f"record-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def note(word: str, context: Context) -> None:
    """Put a word on the record: one write, so that no signal leaves half of it."""
    os.write(_record, f"{word} {context.id} {context.attempt}\n".encode())


async def opened(gate: str) -> None:
    """Wait until the test opens a gate, letting the loop turn."""
    while not (FOLDER / gate).exists():  # noqa: ASYNC110 - another process opens it
        await asyncio.sleep(LOOK_S)


@app.job(max_attempts=100, backoff=_at_once)
async def short(context: Context, ms: int) -> None:
    """Take some milliseconds."""
    note("begun", context)
    await asyncio.sleep(ms / 1000)
    note("ended", context)


@app.job(max_attempts=100, timeout=1, backoff=_at_once)
async def brief(context: Context) -> None:
    """Take no time, with a time-out that lies before any end a worker may know."""
    note("begun", context)
    note("ended", context)


@app.job(max_attempts=100, backoff=_at_once)
async def deaf(context: Context, gate: str) -> None:
    """Block the loop until the gate of this attempt opens; whatever the worker is told meanwhile comes too late."""
    note("begun", context)
    while not (FOLDER / f"{gate}-{context.attempt}").exists():
        time.sleep(LOOK_S)  # noqa: ASYNC251 - to hear nothing is its purpose
    note("ended", context)


@app.job(transaction=True, max_attempts=100, backoff=_at_once)
async def entry(context: Context, ending: str) -> None:
    """Write one row in the job's transaction, and end as it is told on the first attempt; later ones return."""
    note("begun", context)
    await context.connection.execute("insert into public.effects values ($1, $2)", context.id, context.attempt)
    note("wrote", context)
    if context.attempt == 1:
        await _end(context, ending)
    note("ended", context)


async def _end(context: Context, ending: str) -> None:
    if ending == "raises":
        raise RuntimeError("as it was told")
    if ending == "breaks a constraint":
        await context.connection.execute("insert into public.effects values ($1, $2)", context.id, context.attempt)
    elif ending == "waits":
        await opened("never")
    elif ending == "waits deaf":
        while not (FOLDER / "entry-1").exists():
            time.sleep(LOOK_S)  # noqa: ASYNC251 - to hear nothing is its purpose


async def stand(context: Context) -> None:
    """Stand at the place, until something ends this worker."""
    note("stands", context)
    while SPIN:
        pass
    await opened("never")


if PLACE is not None:

    @app.around_run
    async def stand_still(context: Context, run: Run) -> Any:
        """Stand before or after the handler."""
        if PLACE == "claimed":
            await stand(context)
        result = await run(context)
        await stand(context)
        return result
