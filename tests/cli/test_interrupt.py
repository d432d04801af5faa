"""Ctrl-c ends what is followed, also where a cancellation is swallowed on its way."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from jobledger.cli.interrupt import interruptible
from jobledger.store import tasks


async def test_ctrl_c_ends_what_swallows_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled again, and has its last word."""
    monkeypatch.setattr(tasks, "_AGAIN_S", 0.02)
    said: list[str] = []

    async def stubborn() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            said.append("swallowed")
        try:
            await asyncio.sleep(60)
        finally:
            said.append("the last word")

    with pytest.raises(KeyboardInterrupt):
        await interruptible(stubborn())
    assert said == ["swallowed", "the last word"]


async def test_what_ends_by_itself_gives_its_answer() -> None:
    """Without an interruption nothing is changed."""

    async def seven() -> int:
        return 7

    assert await interruptible(seven()) == 7
