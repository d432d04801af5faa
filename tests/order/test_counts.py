"""The projection `tenants`: what it counts is what the pure fold counts, at every place of the log and every answer."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from tests.lifecycle.conftest import LIVES, Life

from . import counting
from .counting import recounted, told

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOCK = (
    "create table jobledger.test_time (at timestamptz not null)",
    "insert into jobledger.test_time values ('2026-03-02T00:00:00Z')",
    (
        "create or replace function jobledger.now() returns timestamptz language sql volatile security definer as"
        " $$select at from jobledger.test_time$$"
    ),
    "select jobledger.partition_add('2026-03-01Z')",
)


@pytest.fixture(scope="module")
def connection(databases: Any, template: str) -> Iterator[counting.Rows]:
    """Give one database, with the projection and a shadow of it, and a clock that only the tests move."""
    name = databases.create(template)
    with psycopg.connect(databases.server.dsn_for(name), row_factory=dict_row, autocommit=True) as opened:
        for statement in CLOCK:
            opened.execute(statement.encode())
        counting.make(opened)
        counting.make(opened, "jobledger_tenants_next")
        yield opened
    databases.drop(name)


@given(lives=st.lists(LIVES, min_size=1, max_size=5), seed=st.integers(0, 2**32))
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.large_base_example],
)
def test_counts_are_those_of_the_pure_fold_at_every_moment(
    connection: counting.Rows, lives: list[Life], seed: int
) -> None:
    """Of random lives, folded in pieces: levels, counts at places, within blocks, and as live answers saw them."""
    number = connection.execute("select count(distinct tenant) as n from jobledger.events").fetchone()
    assert number
    tenants = [f"t{number['n']}a", f"t{number['n']}b"]
    chance = random.Random(seed)  # noqa: S311 - no secret
    jobs = [(chance.choice(tenants), life) for life in lives]
    done = [0] * len(jobs)
    moments: list[tuple[str, list[int]]] = []
    blocks: list[int] = []
    while any(done[n] < len(life.events) for n, (_, life) in enumerate(jobs)):
        before = list(done)
        with connection.transaction():
            for n, (tenant, life) in enumerate(jobs):
                for _ in range(min(chance.randint(0, 8), len(life.events) - done[n])):
                    done[n] += 1
                    counting.append(connection, tenant, life, done[n])
        moments.append((_one(connection, counting.NOW), list(done)))
        if before != done and chance.random() < 0.5:
            connection.execute("update jobledger.test_time set at = at + interval '40 seconds'")
            blocks.append(counting.seal(connection))
            moments.append((_one(connection, counting.AT_PLACE, 1, blocks[-1], 2**62), list(done)))
            moments.append((_one(connection, counting.NOW), list(done)))
            if chance.random() < 0.5:
                counting.take_in(connection, blocks[chance.randrange(len(blocks))])
    last = counting.seal(connection)
    counting.take_in(connection, last)
    counting.take_in(connection, last, "jobledger_tenants_next")
    for moment, versions in moments:
        for tenant in tenants:
            seen = [(t, life, v) for (t, life), v in zip(jobs, versions, strict=True) if t == tenant]
            at = counting.newest(seen) + timedelta(seconds=chance.choice([0, 0, 5, 20, 40, 60]))
            rows = connection.execute(counting.AS_OF, [tenant, counting.at_clock(moment, at)]).fetchall()
            assert told(rows) == recounted(seen, at), moment
    mine = {
        key: jobs for key, jobs in told(connection.execute(counting.LEVELS).fetchall()).items() if key[0] in tenants
    }
    assert mine == recounted([(t, life, len(life.events)) for t, life in jobs], None)


def _one(connection: counting.Rows, query: str, *values: object) -> str:
    row = connection.execute(query.encode(), values).fetchone()
    assert row
    return str(row["moment"])
