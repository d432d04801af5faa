"""The fold in SQL and the fold in Python tell the same of the same stream: the one is the other's check."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from jobledger.errors import WrongState
from jobledger.events import JOB_TYPES, Event
from jobledger.ids import new_id
from jobledger.lifecycle import Job, State, evolve, fold

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = "2026-03-02T00:00:00+00:00"
ERROR = {"type": "OSError", "message": "no", "class": "transient"}
FOLD = """
select (jobledger.fold(e order by e.version)).* from jsonb_populate_recordset(null::jobledger.events, %s::jsonb) as e
"""
SAME = {
    *(
        "id",
        "shard",
        "tenant",
        "head",
        "kind",
        "queue",
        "priority",
        "run_at",
        "kill_at",
        "timeout",
        "owner",
        "unique_key",
    ),
    *("attempt", "max_attempts", "releases", "worker", "claim", "claimed_at", "call", "cancel_requested"),
}

LEAST: dict[str, dict[str, Any]] = {
    "job.enqueued": {"kind": "k", "args": {}},
    "job.claimed": {"call": 1, "beat": 1},
    "job.progressed": {"progress": 1},
    "job.failed": {"error": ERROR},
    "job.snoozed": {"run_at": LATER},
    "job.parked": {"reason": "r"},
    "job.killed": {"rule": "own"},
    "job.retried": {"max_attempts": 9, "kill_at": LATER, "kill_rule": "own", "reason": "r"},
    "job.rescheduled": {"run_at": LATER, "kill_at": LATER, "kill_rule": "own"},
    "job.reprioritised": {"priority": 3},
    "job.moved": {"queue": "q"},
    "job.redacted": {"fields": [], "reason": "r"},
}
WAYS: dict[State | None, tuple[str, ...]] = {
    None: (),
    State.READY: ("job.enqueued",),
    State.RUNNING: ("job.enqueued", "job.claimed"),
    State.PARKED: ("job.enqueued", "job.claimed", "job.parked"),
    State.SUCCEEDED: ("job.enqueued", "job.claimed", "job.succeeded"),
    State.FAILED: ("job.enqueued", "job.claimed", "job.lease_expired"),
    State.KILLED: ("job.enqueued", "job.killed"),
    State.CANCELLED: ("job.enqueued", "job.cancelled"),
}


@pytest.fixture(scope="module")
def connection(databases: Any, template: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Give one connection to a migrated database that nothing is written to."""
    name = databases.create(template)
    with psycopg.connect(databases.server.dsn_for(name), row_factory=dict_row, autocommit=True) as opened:
        yield opened
    databases.drop(name)


def folded(connection: psycopg.Connection[dict[str, Any]], events: list[Event]) -> dict[str, Any]:
    """Return what SQL makes of the stream."""
    rows = [event.model_dump(mode="json") for event in events]
    found = connection.execute(FOLD, [json.dumps(rows)]).fetchone()
    assert found
    return found


def agree(job: Job, row: dict[str, Any]) -> None:
    """Compare what both have; without an end, reason and claim, as the live tables do not keep those either."""
    assert row["state"] == job.state.value
    assert {name: row[name] for name in SAME} == {name: getattr(job, name) for name in SAME}
    if job.state is State.PARKED:
        assert row["reason"] == job.reason


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_folds_tell_the_same_of_a_life(
    lives: st.SearchStrategy[Any], connection: psycopg.Connection[dict[str, Any]], data: st.DataObject
) -> None:
    """State, place, attempts, fence and dates are equal after any random life."""
    life = data.draw(lives)
    job = fold(life.events)
    assert job is not None
    agree(job, folded(connection, life.events))


@pytest.mark.parametrize("type_", sorted(JOB_TYPES))
@pytest.mark.parametrize("source", WAYS)
def test_both_folds_refuse_the_same(
    connection: psycopg.Connection[dict[str, Any]], source: State | None, type_: str
) -> None:
    """For every state and event: either both go on, to the same, or both refuse."""
    id_ = new_id(START)
    events = [
        Event(
            position=version,
            stream_id=id_,
            version=version,
            type=name,
            at=START + timedelta(seconds=version),
            tenant="t",
            worker=UUID(int=7) if name == "job.claimed" else None,
            data=LEAST.get(name),
        )
        for version, name in enumerate((*WAYS[source], type_), 1)
    ]
    before = fold(events[:-1])
    assert (before and before.state) == source
    try:
        job = evolve(before, events[-1])
    except WrongState:
        with pytest.raises(psycopg.Error) as refused:
            folded(connection, events)
        assert refused.value.sqlstate == "JL204"
    else:
        agree(job, folded(connection, events))
