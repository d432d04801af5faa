"""Kinds whose handlers run in a child process, which finds them here by name."""

from __future__ import annotations

import os

from jobledger.jobs import App, Context

app = App("isolated")


@app.job(isolation="process")
def add(context: Context, a: int, b: int) -> list[object]:
    """Add, and say that half of it is done."""
    context.wait_for(context.progress(0.5))
    return [a + b, "half"]


@app.job(isolation="process")
async def follow() -> str:
    """Enqueue another job from the child process."""
    return str((await add.enqueue(3, 4)).id)


@app.job(isolation="process")
def spin() -> None:
    """Never end, and never look up."""
    while True:
        pass


@app.job(isolation="process")
def die() -> None:
    """Take the process along."""
    os._exit(9)


@app.job(isolation="process")
def fail() -> None:
    """Fail."""
    raise ValueError("no luck")


@app.job(isolation="process")
def obey(context: Context) -> str:
    """End when told to, with a result."""
    context.cancellation.wait_blocking(60)
    return "as told"


@app.job(isolation="process")
def number() -> int:
    """Say which process this is."""
    return os.getpid()
