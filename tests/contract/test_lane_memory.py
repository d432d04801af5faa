"""What a process remembers of its lanes stays whole whatever claims say, in whatever order their answers come."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.contract.lane_table import key_at

from jobledger.store.lanes import START, LaneRead, Lanes

if TYPE_CHECKING:
    from jobledger.store.lanes import Plan, Segment


def answered(plan: Plan, chance: random.Random) -> list[LaneRead]:
    """Answer a plan as any claim might, beside others that take from the same lanes: of each lane by itself."""
    new = [f"t{chance.randrange(12):02}" for _ in range(chance.randint(0, min(6, plan.new_lanes)))] if plan.gaps else []
    fresh = [_read(chance.choice("pqr"), tenant, chance.randrange(3), None, chance) for tenant in new]
    return fresh + [_read(*segment.lane.name, segment, chance) for segment in plan.segments]


def _read(queue: str, tenant: str, priority: int, segment: Segment | None, chance: random.Random) -> LaneRead:
    asked = chance.choice([0, 0, 1, 16, 50])
    looked = chance.choice([0, asked // 2, asked])
    got = looked if chance.random() < 0.95 else 0  # a lane with rows of strange kinds is never forgotten
    key = START if segment is None else segment.after
    if looked and (segment is None or not segment.most):
        key = max(key, key_at(chance.randrange(100_000)))
    return LaneRead(queue, tenant, priority, key, asked, got, looked - got, looked, more=chance.random() < 0.5)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**32))
@example(4, 1)
def test_any_answers_in_any_order_are_taken_in(window: int, seed: int) -> None:
    """Claims are under way at once, find lanes empty that others found full, and come back in any order."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    lanes = Lanes(["q"], window=window, seed=seed)
    under_way: list[tuple[Plan, int]] = []
    for _ in range(200):
        n = chance.randint(1, 60)
        if chance.random() < 0.02:
            lanes.forget_all()  # the live tables were rebuilt while claims were under way
        under_way.append((lanes.plan({}, chance.choice([None, None, ["q"]]), n=n), n))
        for _ in range(chance.randint(0, min(3, len(under_way)))):
            plan, asked = under_way.pop(chance.randrange(len(under_way)))
            lanes.learn(plan, answered(plan, chance), missing=chance.choice([0, 0, asked // 2, asked]), asked=asked)


def test_a_lane_whose_look_was_left_out_may_be_forgotten_by_the_same_claim() -> None:
    """Looks at other lanes took all of a busy claim; behind this one's key lies a job, and after it nothing."""
    lanes = Lanes(["q"], seed=1)
    plan = lanes.plan({}, n=8)
    lanes.learn(plan, [LaneRead("q", "a", 0, key_at(1), 8, 8, 0, 8, more=True)], missing=0, asked=8)
    moment = 1
    while len((plan := lanes.plan({}, n=8)).segments) == 1:
        moment += 1
        lanes.learn(plan, [LaneRead("q", "a", 0, key_at(moment), 8, 8, 0, 8, more=True)], missing=0, asked=8)
    left_out, empty = plan.segments
    assert left_out.most
    reads = [
        LaneRead(*left_out.lane.name, left_out.after, 0, 0, 0, 0, more=True),
        LaneRead(*empty.lane.name, empty.after, 0, 0, 0, 0, more=False),
    ]
    lanes.learn(plan, reads, missing=0, asked=8)
    assert len(lanes) == 0
    assert [gap.after for gap in lanes.plan({}, n=8).gaps] == [("", -32768)]  # where the job behind is found
