"""Runners that are killed at any moment, under load: what they leave is what a fold of the whole log gives."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.faults.conftest import until

from jobledger.order import projections as register
from jobledger.order.projections import from_folder
from jobledger.order.runner import Runner
from jobledger.store.pool import Store

from .stress import Writers, seal_all, sealing

if TYPE_CHECKING:
    from pathlib import Path

FOLD = """
create function fold(p_shard smallint, p_after bigint, p_upto bigint) returns void language sql as $$
  insert into counted select e.type::text, count(*), sum(e.version) from
    jobledger.sealed_between(p_shard, p_after, p_upto) as e group by 1
  on conflict (type) do update set events = counted.events + excluded.events,
    versions = counted.versions + excluded.versions
$$
"""
COUNTED = "select type, events, versions from jobledger_counted.counted order by type"
WHOLE = (
    'select type::text collate "default" as type, count(*) as events, sum(version) as versions'
    " from jobledger.events group by 1 order by 1"
)


@pytest.mark.slow
async def test_killed_runners_leave_the_fold_of_the_whole_log(two_phase: str, tmp_path: Path) -> None:
    """Two runners, one of them killed several times a second, a rebuild begun and cut off: each event counts once."""
    folder = tmp_path / "counted"
    folder.mkdir()
    (folder / "version.txt").write_text("1\n")
    (folder / "10_counted.sql").write_text(
        "create table counted (type text primary key, events bigint not null, versions numeric not null)"
    )
    (folder / "fold.sql").write_text(FOLD)
    (tmp_path / "counting.py").write_text(
        f"from jobledger import App\n\napp = App()\napp.sql_projection({str(folder)!r})\n"
    )
    async with await Store.connect(two_phase) as store:
        await _kill(store, two_phase, tmp_path, folder)


async def _kill(store: Store, two_phase: str, tmp_path: Path, folder: Path) -> None:
    sealer = await asyncpg.connect(two_phase)
    stop = asyncio.Event()
    sealed = asyncio.create_task(sealing(sealer, stop))
    writing = asyncio.create_task(Writers(two_phase, straggle_s=0.3).run(4, 4.0))
    draw = random.Random(5)  # noqa: S311 - a test's choice
    kills = 0
    while kills < 3 or not writing.done():
        killed = await _runner(tmp_path, two_phase)
        async with store.connection() as connection:
            began = await connection.fetchval("select sum(events) from jobledger.projections") or 0
            if began:
                await register.begin(connection, 0, "counted", None, shadow=True)
        await until(partial(_moved, store, began))
        await asyncio.sleep(draw.uniform(0, 0.1))
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
        kills += 1
    await writing
    stop.set()
    await sealed
    await seal_all(sealer)
    await Runner(store, [from_folder(folder)]).settle()
    (one,) = await _standings(store)
    assert (one.state, one.behind) == ("running", 0)
    assert await sealer.fetch(COUNTED) == await sealer.fetch(WHOLE)
    await sealer.close()


async def _runner(folder: Path, dsn: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobledger", "projections", "run", "--app", "counting:app", "--dsn", dsn),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
    )


async def _standings(store: Store) -> list[register.Standing]:
    async with store.connection() as connection:
        return [one for one in await register.standings(connection, 0) if one.name == "counted"]


async def _moved(store: Store, began: int) -> bool:
    """Say whether anything was folded since; a rebuild that is through and swapped has as many events as before."""
    found = await _standings(store)
    swapped = began > 0 and not any(one.shadow for one in found)
    return swapped or sum(one.events for one in found) != began
