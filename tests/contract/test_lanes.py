"""What a process remembers of its lanes: everybody is reached, and what a claim costs does not grow."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.contract.lane_table import LaneTable, key_at

from jobledger.store.lane import Lane
from jobledger.store.lanes import BEHIND_ROWS, BEHIND_SHORT, START, LaneRead, Lanes

if TYPE_CHECKING:
    import random


def drained(table: LaneTable, lanes: Lanes, n: int, limit: int) -> int:
    """Claim until nothing is left that this worker can take; returns how many claims it took."""
    for claims in range(1, limit + 1):
        table.claim(lanes, n)
        if len(table) == len(table.strange):
            return claims
    raise AssertionError(f"{len(table) - len(table.strange)} jobs were not reached in {limit} claims")


def test_every_gap_is_probed_in_turn() -> None:
    """Whatever is known already, each gap of each queue comes up within a few plans."""
    table, lanes = LaneTable(), Lanes(["q"], window=4, seed=1)
    for number in range(50):
        for moment in range(40):
            table.put(f"t{number:02}", moment)
    for _ in range(200):
        table.claim(lanes, 4)
    assert len(lanes) == 50
    seen: set[object] = set()
    for _ in range(40):
        seen.update((gap.after, gap.before) for gap in lanes.plan({}).gaps)
    assert len(seen) == 51


put = st.tuples(
    st.sampled_from("abcdefgh"), st.integers(0, 300), st.integers(-2, 2), st.sampled_from([False, False, False, True])
)
claim = st.integers(1, 40)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.lists(put, max_size=30), claim), max_size=25), st.integers(1, 5), st.randoms())
def test_every_job_is_reached(
    acts: list[list[tuple[str, int, int, bool]] | int], window: int, chance: random.Random
) -> None:
    """Jobs come at any time, before and behind the keys, of kinds known or not: each that can be taken is taken."""
    table, lanes = LaneTable(), Lanes(["q"], window=window, seed=chance.random())
    put_so_far: set[tuple[str, int, int]] = set()
    for act in acts:
        if isinstance(act, int):
            table.claim(lanes, act)
            continue
        for tenant, moment, priority, strange in act:
            if (tenant, moment, priority) not in put_so_far:
                put_so_far.add((tenant, moment, priority))
                table.put(tenant, moment, priority=priority, strange=strange)
    drained(table, lanes, 5, 2000)


@pytest.mark.parametrize(
    ("tenants", "n"),
    [
        (50, 1),
        (50, 3),
        (50, 10),
        *(pytest.param(*size, marks=pytest.mark.slow) for size in [(50, 500), (1000, 10), (1000, 64), (1000, 500)]),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["a", "t0500x", "z"])
def test_a_new_tenant_is_served_within_one_round(tenants: int, n: int, name: str) -> None:
    """T tenants wait, one with 99 % of the jobs: a new one is claimed within ceil(T / min(n, k)) + 1 claims."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    rest = 40 * n // tenants + 4
    for number in range(tenants):
        for moment in range(rest):
            table.put(f"t{number:04}", moment)
    for moment in range(99 * rest):
        table.put("t0007", 1000 + moment)
    for _ in range(30):
        table.claim(lanes, n)
    waiting = sum(map(bool, table.jobs.values()))
    table.put(name, 5000)
    claims = 1
    while name not in {tenant for tenant, _ in table.claim(lanes, n)}:
        claims += 1
        assert claims <= ceil(waiting / min(n, 64)) + 1


@pytest.mark.parametrize("n", [1, 3, 5, 8, 20])
def test_many_tenants_that_come_at_once_are_served_within_one_round_and_a_half(n: int) -> None:
    """Twice as many come at once as there were: the last one waits for half a round more than if it came alone."""
    for seed in range(3):
        table, lanes = LaneTable(), Lanes(["q"], seed=seed)
        for number in range(20):
            for moment in range(40 + 2 * n):
                table.put(f"t{number:04}", moment)
        for _ in range(20 // n + 5):
            table.claim(lanes, n)
        new = {f"{'aotz'[number % 4]}{number * 37 % 100:04}x" for number in range(40)}
        for name in new:
            for moment in range(30):
                table.put(name, 5000 + moment)
        claims = 0
        while new:
            claims += 1
            assert claims <= 1.5 * ceil(60 / n) + 1
            new -= {tenant for tenant, _ in table.claim(lanes, n)}


def test_known_tenants_wait_no_longer_because_new_ones_keep_coming() -> None:
    """New lanes come first in a claim, but not for ever: who waits is served within two rounds."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    for number in range(20):
        for moment in range(2000):
            table.put(f"m{number:02}", moment)
    for _ in range(10):
        table.claim(lanes, 10)
    since = dict.fromkeys([f"m{number:02}" for number in range(20)], 0)
    longest = 0
    for turn in range(100):
        for number in range(10):
            table.put(f"n{turn * 10 + number:05}", turn)
        served = {tenant for tenant, _ in table.claim(lanes, 10)}
        since = {tenant: 0 if tenant in served else waits + 1 for tenant, waits in since.items()}
        longest = max(longest, *since.values())
    assert longest <= 2 * (20 // 10 + 2)
    table.put("o", 1)
    rounds = ceil(sum(map(bool, table.jobs.values())) / 10)
    assert "o" in {tenant for _ in range(2 * rounds) for tenant, _ in table.claim(lanes, 10)}


def test_an_urgent_job_of_a_known_tenant_is_claimed_by_the_next_round() -> None:
    """A lane more urgent than those known is found in its gap, whatever the backlog."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    for number in range(50):
        for moment in range(500):
            table.put(f"t{number:02}", moment)
    for _ in range(10):
        table.claim(lanes, 50)
    table.put("t33", 700, priority=-5)
    taken = [job for _ in range(2) for job in table.claim(lanes, 50)]
    assert ("t33", key_at(700)) in taken


def test_a_job_that_commits_late_is_reached_in_few_claims_under_full_load() -> None:
    """Rows behind the keys are reached though every claim comes back full of others."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    for number in range(20):
        for moment in range(0, 3000, 2):
            table.put(f"t{number:02}", moment)
    for _ in range(55):
        table.claim(lanes, 500)
    behind = 55 * 500
    table.put("t07", 1)
    table.put("t11", 1001)
    late = {("t07", key_at(1)), ("t11", key_at(1001))}
    claims = 0
    while late:
        claims += 1
        assert claims <= behind / 64
        late -= set(table.claim(lanes, 500))
        for number in range(20):
            for moment in range(25):
                table.put(f"t{number:02}", 10_000 + claims * 25 + moment)


def emptied() -> tuple[LaneTable, Lanes]:
    """Return lanes of which one has given so many rows that it is kept, and is empty."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    for moment in range(0, 4000, 2):
        table.put("a", moment)
    for _ in range(10):
        table.claim(lanes, 500)
    assert (len(table), len(lanes)) == (0, 1)
    return table, lanes


def test_a_job_that_commits_late_is_found_by_the_next_claim_of_a_worker_that_waits() -> None:
    """Where there is nothing else to do the newest stretches behind a key are looked at in every claim."""
    table, lanes = emptied()
    table.put("a", 3777)
    assert table.claim(lanes, 500) == [("a", key_at(3777))]


def test_what_comes_in_bulk_behind_a_key_is_claimed_in_bulk() -> None:
    """A look that finds most of what it read claimable sets the key back: not a few rows a look for ever."""
    table, lanes = emptied()
    for moment in range(1, 4000, 2):
        table.put("a", moment)
    assert drained(table, lanes, 500, 12) <= 12


def test_a_lane_that_was_empty_has_its_share_again_when_jobs_come() -> None:
    """It was set aside: found not empty it is back among those that every claim serves."""
    table, lanes = emptied()
    for moment in range(1000):
        table.put("a", 5000 + moment)
        table.put("b", 5000 + moment)
    table.claim(lanes, 100)
    shares = [segment.lane.name[1] for segment in lanes.plan({}, n=100).segments if segment.most is None]
    assert shares == ["a", "b"] or shares == ["b", "a"]


def test_the_cost_of_a_claim_does_not_grow_with_the_dead_entries() -> None:
    """Nothing is ever vacuumed, as under a snapshot held elsewhere: late claims read no more than early ones."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    costs = []
    for turn in range(200):
        for number in range(20):
            for moment in range(25):
                table.put(f"t{number:02}", turn * 25 + moment)
        table.entries = table.descents = 0
        assert len(table.claim(lanes, 500)) > 400
        costs.append(table.entries + table.descents)
    early, late = sum(costs[50:100]) / 50, sum(costs[150:]) / 50
    assert late < 1.2 * early
    assert late < 6000


@pytest.mark.parametrize("each", [1, 3])
def test_lanes_used_once_are_forgotten_and_cost_nothing(each: int) -> None:
    """5,000 tenants of one or three jobs: few lanes are remembered, and each claim costs the same."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    for number in range(5000):
        for moment in range(each):
            table.put(f"t{number:05}", moment)
    claims = drained(table, lanes, 500, 200 * each)
    assert claims <= 1.3 * 10 * each + 5
    assert len(lanes) < 100
    # What comes now is found in the gaps that they left.
    table.put("t01000", 50)
    table.entries = table.descents = 0
    assert [tenant for _ in range(2) for tenant, _ in table.claim(lanes, 500)] == ["t01000"]
    assert table.entries < 3 * 5000 * each


def test_a_plan_names_no_more_lanes_for_thousands_of_tenants_than_for_a_hundred() -> None:
    """The lanes that a claim names are bounded by the window, whatever is known."""
    named = []
    for tenants in (100, 3000):
        table, lanes = LaneTable(), Lanes(["q"], seed=3)
        for number in range(tenants):
            for moment in range(20):
                table.put(f"t{number:05}", moment)
        for _ in range(tenants):
            if len(lanes) < tenants:
                table.claim(lanes, 100)
        assert len(lanes) == tenants
        plan = lanes.plan({}, n=500)
        named.append(len(plan.segments) + len(plan.gaps))
    assert named[1] <= 1.2 * named[0] + 64


def test_a_look_behind_passes_rows_that_the_worker_cannot_take() -> None:
    """Rows of strange kinds at the start of a stretch do not hide what lies behind them."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    for moment in range(1000, 1500):
        table.put("a", moment)
        table.put("b", moment)
    for _ in range(8):
        table.claim(lanes, 100)
    for moment in range(100):
        table.put("a", moment, strange=True)
    table.put("a", 200)
    taken = [job for _ in range(4 * 100 // BEHIND_ROWS + BEHIND_SHORT) for job in table.claim(lanes, 100)]
    assert ("a", key_at(200)) in taken


@given(st.lists(st.integers(1, 400), min_size=1, max_size=600), st.integers(1, 2000))
@example([1] * 600, 16)
@settings(max_examples=50, deadline=None)
def test_the_walk_behind_a_key_covers_everything_and_starts_again(steps: list[int], most: int) -> None:
    """Whatever stretches there are, two rounds of looks leave no gap between the lane's start and its key."""
    lane = Lane(("q", "t", 0))
    moment = 0
    for step in steps:
        moment += step
        lane.advance(key_at(moment), step)
    covered = set()
    for _ in range(4 * lane.stretches + 4):
        part = lane.behind(most)
        assert part is not None
        covered.add(part)
        lane.looked(*part, part[0])
    at = lane.behind(0) and min(after for after, _ in covered)
    for after, upto in sorted(covered):
        assert at is not None
        assert after <= at
        at = max(at, upto)
    assert at == lane.key
    assert lane.stretches <= 256


def test_paused_tenants_cost_a_claim_no_more_than_its_window() -> None:
    """3,000 paused tenants lie beside 20 that are served: a claim looks at no more lanes than a window of them."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    table.paused = {f"p{number:05}" for number in range(3000)}
    for tenant in table.paused:
        table.put(tenant, 1)
    for moment in range(2000):
        for number in range(20):
            table.put(f"t{number:02}", moment)
    assert any([table.claim(lanes, 500) for _ in range(10)][-2:])
    for _ in range(20):
        table.descents = 0
        assert len(table.claim(lanes, 500)) == 500
        assert table.descents < 64 + 150


def test_a_worker_with_nothing_to_do_goes_past_paused_tenants_quickly() -> None:
    """Where a search ended among them and gave nothing, the lanes say that there is more to see."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    table.paused = {f"p{number:05}" for number in range(3000)}
    for tenant in table.paused:
        table.put(tenant, 1)
    table.put("t", 1)
    claims = 1
    while not table.claim(lanes, 1000):
        assert lanes.unread
        claims += 1
        assert claims <= 4


def test_a_new_tenant_among_paused_ones_is_served_within_a_round() -> None:
    """The search behind paused tenants goes on where it ended, and its turn comes round, whatever else is found."""
    table, lanes = LaneTable(), Lanes(["q"], seed=3)
    table.paused = {f"p{number:04}" for number in range(1000)}
    for tenant in table.paused:
        table.put(tenant, 1)
    for moment in range(20_000):
        table.put(f"t{moment % 20:02}", moment)
    for _ in range(20):
        table.claim(lanes, 100)
    for name in ("p0500x", "p0999x", "p0000x", "t05x"):
        table.put(name, 30_000)
        claims = 1
        while name not in {tenant for tenant, _ in table.claim(lanes, 100)}:
            claims += 1
            assert claims <= ceil((len(table.paused) + 21) / 64) + 1


def test_lanes_that_are_passed_by_do_not_end_the_search() -> None:
    """Where a claim finds as many as it may, and none is worth knowing, the next search goes on behind them."""
    lanes = Lanes(["q"], window=4, seed=1)
    seen = []
    for _ in range(3):
        plan = lanes.plan({}, n=4)
        seen.append(plan.gaps[0].after)
        last = plan.gaps[0].after[0] or "a"
        paused = [LaneRead("q", f"{last}{at}", 0, START, 0, 0, 0, 0, more=False) for at in range(plan.new_lanes)]
        lanes.learn(plan, paused, missing=4, asked=4)
    assert seen == sorted(set(seen))
    plan = lanes.plan({}, n=4)
    lanes.learn(plan, [], missing=4, asked=4)
    assert lanes.plan({}, n=4).gaps[0].after == ("", -32768)
