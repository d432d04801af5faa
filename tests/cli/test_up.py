"""`up` stays up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.cli.worker import _ticked
from jobledger.store.recovery import open_store

if TYPE_CHECKING:
    import pytest

    from jobledger.store.pool import Store


async def test_up_waits_for_a_database_that_cannot_answer_now(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """`jobledger rebuild queue` beside it must not end it; it says so once, and goes on."""
    async with store.connection() as connection:
        await connection.execute("delete from jobledger.live")
    told = await _ticked(store, None)
    assert told == "not_open"
    assert await _ticked(store, told) == told
    assert capsys.readouterr().err.count("Going on when it answers.") == 1
    await open_store(store)
    assert await _ticked(store, told) is None
