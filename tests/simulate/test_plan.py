"""The drawing of a replay's plan from a log."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from jobledger.errors import InvalidArgument
from jobledger.simulate import swf
from jobledger.simulate.plan import Outcome, draw

DATA = Path(__file__).parents[1] / "data"
NASA = DATA / "NASA-iPSC-1993-3.1-cln.swf.gz"


def test_statuses_decide_and_parts_are_left_out() -> None:
    """1 and -1 succeed, 0 fails, 5 is cancelled; the parts (2, 3, 4) of checkpointed jobs are counted, not replayed."""
    plan = draw(swf.read(DATA / "small.swf"), speed=10)
    assert {job.record: job.outcome for job in plan.jobs} == {
        1: Outcome.SUCCEEDED,
        2: Outcome.FAILED,
        3: Outcome.SUCCEEDED,
        4: Outcome.CANCELLED,
        5: Outcome.SUCCEEDED,
        6: Outcome.FAILED,
        7: Outcome.CANCELLED,
        8: Outcome.SUCCEEDED,
        9: Outcome.SUCCEEDED,
    }
    assert (plan.parts, plan.runs_unknown, plan.drawn) == (3, 1, 2)
    assert plan.jobs[-1].tenant == "user-unknown"


def test_times_are_scaled() -> None:
    """Submit times, counted from the first, and run times are divided by the speed."""
    plan = draw(swf.read(DATA / "small.swf"), speed=10)
    assert plan.jobs[1].due_s == pytest.approx(0.5)
    assert plan.jobs[1].run_s == pytest.approx(6.0)
    assert plan.lasts_s() == pytest.approx(12.0)


def test_rates_draw_only_where_the_file_says_nothing() -> None:
    """With every unknown record to fail, those with a status keep it."""
    plan = draw(swf.read(DATA / "small.swf"), fail_rate=1.0)
    assert sum((count for count in plan.counts().values()), Counter()) == {
        Outcome.SUCCEEDED: 3,
        Outcome.FAILED: 4,
        Outcome.CANCELLED: 2,
    }


def test_the_same_seed_draws_the_same_outcomes() -> None:
    """A plan is a function of file, rates and seed; its shares come near the rates."""
    log = swf.read(NASA)
    one = draw(log, fail_rate=0.1, cancel_rate=0.05, seed=7)
    assert one == draw(log, fail_rate=0.1, cancel_rate=0.05, seed=7)
    assert one != draw(log, fail_rate=0.1, cancel_rate=0.05, seed=8)
    total: Counter[Outcome] = sum((count for count in one.counts().values()), Counter())
    assert total[Outcome.FAILED] / len(one.jobs) == pytest.approx(0.1, abs=0.01)
    assert total[Outcome.CANCELLED] / len(one.jobs) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"speed": 0}, "speed"),
        ({"speed": -1}, "speed"),
        ({"speed": float("nan")}, "speed"),
        ({"speed": float("inf")}, "speed"),
        ({"fail_rate": 1.1}, "fail_rate"),
        ({"cancel_rate": -0.1}, "cancel_rate"),
        ({"fail_rate": float("nan")}, "fail_rate"),
        ({"fail_rate": 0.6, "cancel_rate": 0.6}, "together"),
    ],
)
def test_rates_and_speed_out_of_range_are_refused(options: dict[str, float], says: str) -> None:
    """Each number out of its range is an InvalidArgument that names it."""
    with pytest.raises(InvalidArgument, match=says):
        draw(swf.read(DATA / "small.swf"), **options)  # type: ignore[arg-type]
