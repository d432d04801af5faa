"""Slices of a subscription under any order of joins, deaths, checkpoints and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobledger.testing.clock import Clock

SLICES = 5
LEASE_S = 30
CREATE = "select jobledger.subscription_create(0::smallint, null, %s, p_slices => %s, p_lease_s => %s)"
TAKE = "select slice, taken, block, surrender from jobledger.subscription_take(0::smallint, %s, %s)"
RELEASE = "select jobledger.subscription_release(0::smallint, %s, %s, %s::smallint[])"
ADVANCE = (
    "select jobledger.subscription_advance(0::smallint, %s, %s, array[%s::smallint], array[%s], array[%s::bigint],"
    " array[0::bigint], array[1], array[%s::bigint], array[0::bigint])"
)
LOOK = "select slice, consumer, taken, block from jobledger.subscription_slices where subscription = %s order by slice"
CLOCK = "update jobledger.test_clock set ahead = ahead + %s::interval"
CONSUMERS = [UUID(int=number) for number in range(1, 5)]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["take", "leave", "surrender"]), st.sampled_from(CONSUMERS), st.just(0)),
        st.tuples(st.just("advance"), st.sampled_from(CONSUMERS), st.integers(0, SLICES - 1)),
        st.tuples(st.just("wait"), st.none(), st.sampled_from([5, LEASE_S + 1])),
        st.tuples(st.just("reset"), st.none(), st.just(0)),
    ),
    max_size=25,
)


class Group:
    """Consumers of one subscription, each with what it was told last."""

    def __init__(self, sql: psycopg.Connection[Any], name: str) -> None:
        """Create the subscription."""
        self.sql = sql
        self.name = name
        sql.execute(CREATE, [name, SLICES, LEASE_S])
        row = sql.execute("select id from jobledger.subscriptions where name = %s", [name]).fetchone()
        assert row is not None
        self.id = row[0]
        self.told: dict[UUID, dict[int, tuple[int, int, bool]]] = {}
        self.taken = dict.fromkeys(range(SLICES), 0)

    def look(self) -> dict[int, tuple[UUID | None, int, int]]:
        """Return consumer, fence and block of each slice; the fence only rises."""
        found = {row[0]: row[1:] for row in self.sql.execute(LOOK, [self.id]).fetchall()}
        for number, (_, taken, _) in found.items():
            assert taken >= self.taken[number]
            self.taken[number] = taken
        return found

    def take(self, who: UUID) -> dict[int, tuple[int, int, bool]]:
        """Join or renew; what it is told is what there is."""
        rows = self.sql.execute(TAKE, [self.id, who]).fetchall()
        self.told[who] = {number: (taken, block, surrender) for number, taken, block, surrender in rows}
        mine = {number: (taken, block) for number, (one, taken, block) in self.look().items() if one == who}
        assert {number: told[:2] for number, told in self.told[who].items()} == mine
        return self.told[who]

    def surrender(self, who: UUID) -> None:
        """Give back what was told to be too much."""
        told = self.told.get(who, {})
        surplus = [number for number, (_, _, surrender) in told.items() if surrender]
        if surplus:
            self.sql.execute(RELEASE, [self.id, who, surplus])
            self.told[who] = {number: one for number, one in told.items() if number not in surplus}

    def advance(self, who: UUID, number: int) -> None:
        """Move a checkpoint from where it is believed to be: done where all of that is so, else nothing changes."""
        taken, block, surrender = self.told.get(who, {}).get(number, (1, 0, False))
        before = self.look()
        moved = self.sql.execute(ADVANCE, [self.id, who, number, taken, block, block + 1]).fetchall()
        assert bool(moved) == (before[number] == (who, taken, block))
        expected = before | ({number: (who, taken, block + 1)} if moved else {})
        assert self.look() == expected
        if moved:
            self.told[who][number] = (taken, block + 1, surrender)

    def settle(self, alive: list[UUID]) -> None:
        """Let the living renew until nothing changes: each has its share to within one, together all."""
        for _ in range(3):
            for who in alive:
                self.take(who)
                self.surrender(who)
        shares = [len(self.take(who)) for who in alive]
        assert sum(shares) == SLICES
        assert max(shares) - min(shares) <= 1


@pytest.fixture
def sql(database: str, clock: Clock) -> Iterator[psycopg.Connection[Any]]:  # noqa: ARG001 - its clock is installed
    """Give a connection to a database with a settable clock."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_slices_are_never_two_consumers_and_always_somebodys(sql: psycopg.Connection[Any], steps: list[Any]) -> None:
    """In any order of events a stale consumer moves nothing, and the living soon have everything, fairly."""
    row = sql.execute("select count(*) from jobledger.subscriptions").fetchone()
    assert row is not None
    group = Group(sql, f"s{row[0]}")
    for what, who, number in steps:
        if what == "take":
            group.take(who)
        elif what == "surrender":
            group.surrender(who)
        elif what == "leave":
            sql.execute(RELEASE, [group.id, who, None])
        elif what == "advance":
            group.advance(who, number)
        elif what == "wait":
            _pass(sql, number)
        else:
            sql.execute("select jobledger.subscription_reset(0::smallint, null, %s, 'beginning')", [group.name])
        group.look()
    _pass(sql, LEASE_S + 1)
    group.settle(CONSUMERS[:3])


def _pass(sql: psycopg.Connection[Any], seconds: int) -> None:
    sql.execute(CLOCK, [f"{seconds} s"])
