"""The fold of one job's stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobledger.errors import MalformedEvent, UnknownEvent, WrongState
from jobledger.events import Event
from jobledger.ids import new_id, time_of
from jobledger.lifecycle import FINISHED, Job, State, effective_kill_at, evolve, fold, state_at, steps

START = datetime(2026, 3, 1, tzinfo=UTC)
ID = new_id(START)
WORKER = UUID(int=7)
ERROR = {"type": "OSError", "message": "no", "class": "transient"}


def told(*facts: tuple[str, dict[str, Any] | None], **columns: Any) -> list[Event]:
    """Make a stream of these events, one a second."""
    return [
        Event(
            position=version,
            stream_id=ID,
            version=version,
            type=f"job.{type_}",
            at=START + timedelta(seconds=version),
            tenant="t",
            worker=WORKER if type_ == "claimed" else None,
            data=data,
            **columns,
        )
        for version, (type_, data) in enumerate(facts, 1)
    ]


def after(*facts: tuple[str, dict[str, Any] | None]) -> Job:
    """Return the job after these events."""
    job = fold(told(*facts))
    assert job is not None
    return job


ENQUEUED = ("enqueued", {"kind": "k", "args": {}})
CLAIMED = ("claimed", {"call": 4, "beat": 2})
RELEASED = ("released", None)


def test_a_new_job_has_the_defaults_of_the_log() -> None:
    """Absent keys mean queue default, priority 0, 5 attempts, 1800 s, due at once, the service's kill date."""
    job = after(ENQUEUED)
    assert (job.state, job.head, job.queue, job.priority, job.max_attempts) == (State.READY, 1, "default", 0, 5)
    assert (job.timeout, job.run_at, job.kill_at, job.attempt) == (1800, START + timedelta(seconds=1), None, 0)
    assert job.enqueued_at == time_of(ID)
    assert job.open
    assert not job.finished


def test_a_claim_is_the_version_of_its_event_and_ends_with_it() -> None:
    """While the job runs, claim, worker, call and time of the claim are known; after that they are not."""
    job = after(ENQUEUED, CLAIMED, ("progressed", {"progress": None}), ("cancel_requested", None))
    assert (job.claim, job.head, job.worker, job.call) == (2, 4, WORKER, 4)
    assert job.claimed_at == START + timedelta(seconds=2)
    assert job.cancel_requested
    ended = after(ENQUEUED, CLAIMED, ("cancel_requested", None), ("snoozed", {"run_at": "2026-03-02T00:00:00Z"}))
    assert (ended.claim, ended.worker, ended.call, ended.claimed_at) == (None, None, None, None)
    assert not ended.cancel_requested
    assert ended.run_at == START + timedelta(days=1)


def test_the_third_release_in_a_row_has_to_be_a_failure() -> None:
    """Two releases are free; any other ending of an attempt begins the count anew."""
    twice = (ENQUEUED, CLAIMED, RELEASED, CLAIMED, RELEASED)
    assert (after(*twice).releases, after(*twice).attempt) == (2, 0)
    with pytest.raises(WrongState, match="releases < 2"):
        after(*twice, CLAIMED, RELEASED)
    renewed = (*twice, CLAIMED, ("interrupted", None), CLAIMED, RELEASED)
    assert after(*renewed).releases == 1
    failed = after(*twice, CLAIMED, ("failed", {"error": ERROR, "retry_at": "2026-03-02T00:00:00Z"}))
    assert (failed.releases, failed.attempt, failed.state) == (0, 1, State.READY)


def test_a_job_says_why_it_stands_where_it_stands() -> None:
    """The reason belongs to the state, and goes with it."""
    parked = after(ENQUEUED, CLAIMED, ("parked", {"reason": "rights", "needs": ["mail"]}))
    assert (parked.reason, parked.needs, parked.attempt) == ("rights", ["mail"], 0)
    assert after(ENQUEUED, CLAIMED, ("failed", {"error": ERROR})).reason == "OSError"
    assert after(ENQUEUED, CLAIMED, ("lease_expired", None)).reason == "LeaseExpired"
    assert after(ENQUEUED, ("killed", {"rule": "own", "reason": "old"})).reason == "old"
    cancelled = (ENQUEUED, ("cancelled", {"reason": "no"}))
    assert after(*cancelled).reason == "no"
    again = after(*cancelled, ("retried", {"max_attempts": 5, "kill_at": "2027-01-01T00:00:00Z", "kill_rule": "own"}))
    assert (again.reason, again.finished_at, again.kill_rule) == (None, None, "own")
    assert again.run_at == START + timedelta(seconds=3)


def test_attempts_have_an_end() -> None:
    """No attempt begins, and none is promised, beyond those allowed."""
    one = ("enqueued", {"kind": "k", "args": {}, "max_attempts": 1})
    with pytest.raises(WrongState, match=r"attempts < max_attempts; the job has 1 of 1"):
        after(one, CLAIMED, ("lease_expired", {"retry_at": "2026-03-02T00:00:00Z"}))
    retried = {"max_attempts": 1, "kill_at": "2027-01-01T00:00:00Z", "kill_rule": "own"}
    with pytest.raises(WrongState, match="1 of 1 attempts"):
        after(one, CLAIMED, ("lease_expired", None), ("retried", retried))


def test_a_gap_a_repetition_and_a_foreign_event_are_refused() -> None:
    """What is not the next event of this job's stream changes nothing."""
    first, second = told(ENQUEUED, CLAIMED)
    job = evolve(None, first)
    with pytest.raises(WrongState, match="cannot follow version 0"):
        evolve(None, second)
    for version in (1, 3):
        with pytest.raises(WrongState, match=f"Version {version} of a stream cannot follow version 1"):
            evolve(job, second.model_copy(update={"version": version}))
    for column, value in (("stream_id", new_id()), ("tenant", "other"), ("shard", 1)):
        with pytest.raises(WrongState, match="not of this job's stream"):
            evolve(job, second.model_copy(update={column: value}))
    with pytest.raises(WrongState, match="should be attempt 1, and says 2"):
        evolve(job, second.model_copy(update={"attempt": 2}))


def test_what_is_no_event_of_a_job_is_refused() -> None:
    """A fact about a worker, one of a newer version and one with broken data each have their error."""
    first = told(ENQUEUED)[0]
    with pytest.raises(WrongState):
        evolve(None, first.model_copy(update={"type": "worker.stopped"}))
    with pytest.raises(UnknownEvent):
        evolve(None, first.model_copy(update={"type": "job.teleported"}))
    with pytest.raises(MalformedEvent):
        evolve(None, first.model_copy(update={"data": {}}))


def test_scheduled_is_a_name_that_the_clock_gives() -> None:
    """A ready job is called scheduled until its time has come; no other state depends on the clock."""
    job = after(("enqueued", {"kind": "k", "args": {}, "run_at": "2026-03-01T01:00:00Z"}))
    assert state_at(job, START) is State.SCHEDULED
    assert state_at(job, START + timedelta(hours=1)) is State.READY
    assert state_at(after(ENQUEUED, CLAIMED), START - timedelta(days=1)) is State.RUNNING


def test_a_job_without_a_date_is_killed_by_the_services_default() -> None:
    """It counts from the id's own time; a date of the job's own holds before it."""
    week = timedelta(days=7)
    assert effective_kill_at(after(ENQUEUED), week) == time_of(ID) + week
    own = after(("enqueued", {"kind": "k", "args": {}, "kill_at": "2026-04-01T00:00:00Z", "kill_rule": "own"}))
    assert effective_kill_at(own, week) == datetime(2026, 4, 1, tzinfo=UTC)


def test_no_events_are_no_job() -> None:
    """The fold of nothing is nothing."""
    assert fold([]) is None


@given(st.data())
def test_a_life_is_told_as_the_bookkeeping_tells_it(lives: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """After each event of a random life, state, attempts, releases and run_at are those kept by hand."""
    life = data.draw(lives)
    assert [(job.state.value, job.attempt, job.releases, job.run_at) for _, job in steps(life.events)] == life.tellings


@given(st.data())
def test_a_life_keeps_what_must_always_hold(lives: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Versions dense, attempts within bounds, a claim exactly while running, an end exactly when finished."""
    life = data.draw(lives)
    before: Job | None = None
    for count, (event, job) in enumerate(steps(life.events), 1):
        assert job.head == event.version == count
        assert 0 <= job.attempt <= job.max_attempts
        assert 0 <= job.releases <= 2
        assert job.open != job.finished
        assert (job.state is State.RUNNING) == (job.claim is not None) == (job.worker is not None)
        assert (job.claim or 1) <= job.head
        assert job.finished == (job.finished_at is not None) == (job.state in FINISHED)
        assert not (job.cancel_requested and job.state is not State.RUNNING)
        if before is not None and before.finished:
            assert event.type in {"job.retried", "job.redacted"}
            assert before.state is not State.SUCCEEDED or event.type == "job.redacted"
        before = job


@given(st.data())
def test_a_life_can_be_folded_from_any_point(lives: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """The fold of a prefix is a state of the walk, and the rest folded onto it gives the whole."""
    life = data.draw(lives)
    walk = [job for _, job in steps(life.events)]
    cut = data.draw(st.integers(1, len(walk)))
    assert fold(life.events[:cut]) == walk[cut - 1]
    assert fold(life.events[cut:], walk[cut - 1]) == walk[-1]
