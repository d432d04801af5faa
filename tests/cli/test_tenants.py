"""`tenants`, as a person and as a program reads it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from jobledger.order.projections import built_in
from jobledger.order.runner import Runner
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Answer


def test_tenants_are_shown_one_by_one_all_together_and_as_they_were(cli: Callable[..., Answer], database: str) -> None:
    """Open jobs of one with a token, the counts of all, and the same counts asked for again by token and by time."""
    assert cli("tenants", "--dsn", database).status == 0
    assert cli("tenants", "acme", "--json", "--dsn", database).document["history"] is None
    for tenant, words in (("acme", ()), ("acme", ("--run-at", "1h")), ("bob", ())):
        assert cli("enqueue", "k", "--lax", "--tenant", tenant, *words, "--dsn", database).status == 0
    answer = cli("tenants", "acme", "--json", "--dsn", database).document
    assert [(one["state"], one["jobs"]) for one in answer["open"]["counts"]] == [("scheduled", 1), ("ready", 1)]
    assert cli("enqueue", "k", "--lax", "--tenant", "acme", "--dsn", database).status == 0
    assert cli("seal", "--dsn", database).status == 0
    _count(database)
    again = cli("tenants", "acme", "--as-of", answer["token"], "--json", "--dsn", database).document
    assert {(one["state"], one["jobs"]) for one in again["counts"]} == {("scheduled", 1), ("ready", 1)}
    now = cli("tenants", "--as-of", "0s", "--json", "--dsn", database).document
    assert sorted((one["tenant"], one["state"], one["jobs"]) for one in now["counts"]) == [
        ("acme", "ready", 2),
        ("acme", "scheduled", 1),
        ("bob", "ready", 1),
    ]
    listed = cli("tenants", "--json", "--dsn", database).document["tenants"]
    assert [(one["tenant"], one["ready"]) for one in listed] == [("acme", 3), ("bob", 1)]
    assert cli("tenants", "--limit", "1", "--dsn", database).err.count("--after acme") == 1
    shown = cli("tenants", "acme", "--since", "1h", "--token", "--dsn", database)
    assert (shown.status, "3 open jobs, exact as of" in shown.err, "--as-of u" in shown.err) == (0, True, True)
    assert "scheduled" in shown.out
    assert "bob" in cli("tenants", "--as-of", "0s", "--dsn", database).out
    assert cli("tenants", "--since", "1h", "--dsn", database).status == 2
    assert cli("tenants", "--as-of", "0s", "--limit", "1", "--dsn", database).status == 2


def _count(database: str) -> None:
    async def settle() -> None:
        async with await Store.connect(database) as store:
            await Runner(store, built_in()).settle()

    thread = threading.Thread(target=lambda: asyncio.run(settle()))
    thread.start()
    thread.join()
