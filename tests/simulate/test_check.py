"""The comparison of the log with the file: it must catch each way in which the two can differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jobledger.simulate import swf
from jobledger.simulate.check import Load, Recorded, compare
from jobledger.simulate.holdups import Holdups
from jobledger.simulate.plan import Plan, draw

DATA = Path(__file__).parents[1] / "data"
CALM = Load(0.1, 0.2)


@pytest.fixture
def plan() -> Plan:
    """Return the plan of the small log."""
    return draw(swf.read(DATA / "small.swf"), speed=10)


@pytest.fixture
def recorded(plan: Plan) -> list[Recorded]:
    """Return what a faultless service would have recorded."""
    return [
        Recorded(line=job.line, tenant=job.tenant, position=100 + n, outcome=job.outcome.value, ran_s=job.run_s)
        for n, job in enumerate(plan.jobs)
    ]


def test_a_faultless_record_is_good(plan: Plan, recorded: list[Recorded]) -> None:
    """Nothing is found where nothing differs, also when other tenants' positions lie between."""
    verdict = compare(plan, recorded, CALM)
    assert verdict.is_good
    assert verdict.runs_off == 0
    assert verdict.document()["ok"] is True


def test_a_missing_job_is_found(plan: Plan, recorded: list[Recorded]) -> None:
    """A job that the log does not have is named by its line."""
    findings = compare(plan, recorded[1:], CALM).findings
    assert any("missing from the log: line 7" in finding for finding in findings)
    assert any(finding.startswith("user-1: 0 jobs succeeded") for finding in findings)


def test_a_job_recorded_twice_is_found(plan: Plan, recorded: list[Recorded]) -> None:
    """A job that the log has twice is named."""
    findings = compare(plan, [*recorded, replace(recorded[0], position=999)], CALM).findings
    assert any("too often: line 7" in finding for finding in findings)


def test_a_wrong_outcome_is_found(plan: Plan, recorded: list[Recorded]) -> None:
    """A failure recorded as a success is found in the counts and by its line."""
    recorded[1] = replace(recorded[1], outcome="succeeded")
    findings = compare(plan, recorded, CALM).findings
    assert any("user-1: 2 jobs succeeded, the file says 1" in finding for finding in findings)
    assert any("another way" in finding for finding in findings)


def test_an_open_job_is_found(plan: Plan, recorded: list[Recorded]) -> None:
    """A job that has not ended counts as open."""
    recorded[0] = replace(recorded[0], outcome=None, ran_s=None)
    assert any("user-1: 1 jobs open" in finding for finding in compare(plan, recorded, CALM).findings)


def test_two_outcomes_swapped_within_a_tenant_are_found(plan: Plan, recorded: list[Recorded]) -> None:
    """Counts that agree do not hide jobs that ended each in the other's way."""
    recorded[0], recorded[1] = replace(recorded[0], outcome="failed"), replace(recorded[1], outcome="succeeded")
    assert any("2 jobs ended in another way" in finding for finding in compare(plan, recorded, CALM).findings)


def test_a_changed_order_is_found(plan: Plan, recorded: list[Recorded]) -> None:
    """Two jobs of one user enqueued the wrong way round are found; between users the order is free."""
    one = [job for job in recorded if job.tenant == "user-1"]
    turned = [job for job in recorded if job not in one[:2]]
    turned += [replace(one[0], position=one[1].position), replace(one[1], position=one[0].position)]
    assert any("user-1: the order differs" in finding for finding in compare(plan, turned, CALM).findings)


def test_run_times_are_judged_below_half_load_only(plan: Plan, recorded: list[Recorded]) -> None:
    """A run time beyond the slack is a finding at low load; above half it is told, not judged."""
    recorded[0] = replace(recorded[0], ran_s=plan.jobs[0].run_s * 1.05 + 0.0201)
    assert any("beyond the slack: line 7" in finding for finding in compare(plan, recorded, CALM).findings)
    loaded = compare(plan, recorded, Load(0.3, 0.6))
    assert loaded.is_good
    assert loaded.runs_off == 1
    assert "The load was above 50%, so none was judged" in loaded.run_times()


def test_a_job_that_ended_while_the_loop_was_held_up_is_told_apart(plan: Plan, recorded: list[Recorded]) -> None:
    """Its run time is off, and is counted as not judged; another one that is off still is a finding."""
    recorded[0] = replace(recorded[0], ran_s=99.0, held_up=True)
    verdict = compare(plan, recorded, Load(0.1, 0.2, longest_holdup_s=0.06))
    assert verdict.is_good
    assert (verdict.runs_off, verdict.runs_held_up) == (0, 1)
    assert "(for 60 ms at most) or the database slow: not judged" in verdict.run_times()
    recorded[1] = replace(recorded[1], ran_s=99.0)
    assert not compare(plan, recorded, CALM).is_good


def test_holdups_are_met_only_while_they_last() -> None:
    """A timer that fires late marks the time from before it was due until its backlog is worked off."""
    holdups = Holdups()
    holdups.note(due=10.0, fired=10.004)
    holdups.note(due=20.0, fired=20.050)
    assert not holdups.met(10.002)
    assert holdups.met(20.02)
    assert holdups.met(20.06)
    assert not holdups.met(19.9)
    assert not holdups.met(20.2)
    assert holdups.longest_s == pytest.approx(0.05)
