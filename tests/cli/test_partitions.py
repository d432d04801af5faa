"""`partitions`, as a person and as a program reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.conftest import in_thread

from jobledger.store.pool import Store
from jobledger.testing.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]


def months_later(database: str, days: int) -> None:
    """Let time pass in a database."""

    async def move() -> None:
        async with await Store.connect(database) as store:
            clock = Clock(store)
            await clock.install()
            await clock.advance(days=days)

    in_thread(move)


@pytest.mark.slow
def test_partitions_are_listed_added_and_dropped(cli: Run, database: str) -> None:
    """What keeps a month is named, with the jobs; a dry run changes nothing; then it goes, and a retry is told so."""
    at = ("--dsn", database)
    job = cli("enqueue", "k", "--lax", "--json", *at).document["id"]
    listed = cli("partitions", "list", "--json", *at).document["partitions"]
    months = [one for one in listed if one["lower"] is not None]
    assert [one["live"] for one in months].count(1) == 1
    assert "events_control" in cli("partitions", "list", *at).out
    months_later(database, 100)
    assert cli("partitions", "add", "--ahead", "4", "--json", *at).document["made"] > 3
    assert cli("partitions", "add", "--ahead", "4", *at).out.startswith("They were there")
    refused = cli("partitions", "drop", "--keep", "20", "--json", *at)
    assert refused.status == 4
    assert refused.problem["code"] == "partition_in_use"
    (kept,) = [one for one in refused.document["partitions"] if one["kept"] == "live"]
    assert kept["facts"]["jobs"] == [job]
    assert refused.problem["facts"][kept["name"]]["live"] == 1
    assert cli("cancel", job, "--reason", "over", *at).status == 0
    tried = cli("partitions", "drop", "--keep", "20", "--dry-run", *at)
    assert f"{kept['name']}: would be dropped" in tried.out
    assert cli("history", job, *at).status == 0
    done = cli("partitions", "drop", "--keep", "20", *at)
    assert f"{kept['name']}: dropped" in done.out
    assert cli("retry", job, "--reason", "again", "--json", *at).problem["code"] == "job_gone"
    for gone in (("show", job), ("history", job), ("cancel", job, "--reason", "why")):
        assert cli(*gone, "--json", *at).problem["code"] == "job_gone"
    assert kept["name"] not in cli("partitions", "list", *at).out
    assert cli("partitions", "drop", "--before", "2001-01-01T00:00:00Z", *at).out.startswith("No month")
    for words in ((), ("--keep", "1", "--before", "1h")):
        assert cli("partitions", "drop", *words, *at).status == 2
