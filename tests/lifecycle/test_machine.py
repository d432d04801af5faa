"""The one table of transitions, and what is derived from it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from jobledger.errors import WrongState
from jobledger.events import JOB_TYPES, MODELS
from jobledger.lifecycle import FINISHED, OPEN, TRANSITIONS, State, is_possible, possible, transition
from jobledger.lifecycle.machine import STATES

PAIRS = list(itertools.product(sorted(JOB_TYPES), (None, *State)))
ALLOWED = {(row.event, source) for row in TRANSITIONS for source in row.sources}


def test_every_event_of_a_job_has_its_rows() -> None:
    """No event without a row, no row without an event."""
    assert {row.event for row in TRANSITIONS} == JOB_TYPES


@pytest.mark.parametrize(("event", "source"), PAIRS)
def test_what_the_table_does_not_have_is_refused(event: str, source: State | None) -> None:
    """Each pair of event and state either has a row or raises, whether or not there is another attempt."""
    allowed = (event, source) in ALLOWED
    assert is_possible(event, source) == allowed
    assert (event in possible(source)) == allowed
    for again in (True, False):
        if allowed:
            assert transition(event, source, again=again).leads_to(source) in State
        else:
            with pytest.raises(WrongState) as refused:
                transition(event, source, again=again)
            assert refused.value.detail == {"type": event, "state": source.value if source else None}


def test_only_what_is_claimed_costs_and_only_what_ends_a_run_gives_back() -> None:
    """Attempts are spent in one place, and come back only from a run."""
    assert [row.event for row in TRANSITIONS if row.cost > 0] == ["job.claimed"]
    assert {source for row in TRANSITIONS if row.cost < 0 for source in row.sources} == {State.RUNNING}
    assert {row.cost for row in TRANSITIONS} == {-1, 0, 1}


def test_only_a_retry_leaves_a_finished_state_and_nothing_leaves_success() -> None:
    """Finished is final for everybody but an operator with a reason."""
    leaving = {
        (row.event, source)
        for row in TRANSITIONS
        for source in row.sources
        if source in FINISHED and row.leads_to(source) is not source
    }
    assert leaving == {("job.retried", state) for state in FINISHED - {State.SUCCEEDED}}


def test_a_job_can_get_anywhere_and_come_to_an_end_from_everywhere() -> None:
    """Every state of the table is reached from nothing, and a finished one from every state."""
    arrows = {(source, row.leads_to(source)) for row in TRANSITIONS for source in row.sources}
    reached: set[State | None] = {None}
    while True:
        more = {target for source, target in arrows if source in reached} - reached
        if not more:
            break
        reached |= more
    assert reached - {None} == set(STATES)
    assert all({(state, end) for end in (State.CANCELLED, State.KILLED)} <= arrows for state in set(STATES) & OPEN)


def test_a_row_does_not_lead_from_elsewhere() -> None:
    """A transition asked from a state that is none of its sources is a mistake of the program."""
    with pytest.raises(ValueError, match="not possible"):
        transition("job.claimed", State.READY).leads_to(State.PARKED)


def test_the_states_are_those_of_the_schema() -> None:
    """Names and order are those of the SQL type."""
    sql = (Path(__file__).resolve().parents[2] / "migrations" / "0001_foundation.sql").read_text()
    named = re.search(r"create type jobledger\.job_state as enum \((.*?)\)", sql, re.S)
    assert named
    assert re.findall(r"'(\w+)'", named[1]) == [state.value for state in State]


def test_the_events_are_those_of_the_schema() -> None:
    """Each type of the SQL enumeration has a model, and no other has."""
    folder = Path(__file__).resolve().parents[2] / "migrations"
    sql = "\n".join(path.read_text() for path in sorted(folder.glob("*.sql")))
    named = re.search(r"create type jobledger\.event_type as enum \((.*?)\)", sql, re.S)
    assert named
    added = re.findall(r"alter type jobledger\.event_type add value '([\w.]+)'", sql)
    assert re.findall(r"'([\w.]+)'", named[1]) + added == list(MODELS)
