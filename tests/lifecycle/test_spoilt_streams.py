"""Streams that no append function can have written: both folds refuse them, or both go on to the same job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from jobledger.errors import JobledgerError
from jobledger.lifecycle import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobledger.events import Event

FOLD: Final = """
select (jobledger.fold(e order by e.version)).* from jsonb_populate_recordset(null::jobledger.events, %s::jsonb) as e
"""
COLUMNS: Final = (
    *("tenant", "head", "kind", "queue", "priority", "run_at", "kill_at", "timeout", "attempt", "max_attempts"),
    *("releases", "worker", "claim", "claimed_at", "call", "cancel_requested"),
)


@pytest.fixture(scope="module")
def connection(databases: Any, template: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Give one connection to a migrated database that nothing is written to."""
    name = databases.create(template)
    with psycopg.connect(databases.server.dsn_for(name), row_factory=dict_row, autocommit=True) as opened:
        yield opened
    databases.drop(name)


def numbered(events: list[Event]) -> list[Event]:
    """Return the events with dense versions."""
    return [event.model_copy(update={"version": version}) for version, event in enumerate(events, 1)]


def spoil(events: list[Event], draw: Callable[[Any], Any]) -> list[Event]:
    """Leave an event out, tell one twice, or swap two; with versions that hide it, or not."""
    place = draw(st.integers(0, len(events) - 1))
    how = draw(st.sampled_from(["leave out", "twice", "swap", "jump"]))
    told = list(events)
    if how == "leave out":
        del told[place]
    elif how == "twice":
        told.insert(place, told[place])
    elif how == "swap":
        other = draw(st.integers(0, len(events) - 1))
        told[place], told[other] = told[other], told[place]
    else:
        return [*told[:place], *(e.model_copy(update={"version": e.version + 1}) for e in told[place:])]
    return numbered(told)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_folds_refuse_the_same_spoilt_streams(
    lives: st.SearchStrategy[Any], connection: psycopg.Connection[dict[str, Any]], data: st.DataObject
) -> None:
    """Whatever was left out, doubled or swapped: one answer of both."""
    events = spoil(data.draw(lives).events, data.draw)
    rows = json.dumps([event.model_dump(mode="json") for event in events])
    try:
        job = fold(events)
    except JobledgerError:
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(FOLD, [rows]).fetchone()
        assert refused.value.sqlstate == "JL204"
        return
    found = connection.execute(FOLD, [rows]).fetchone()
    assert found is not None
    if job is None:
        assert found["id"] is None
        return
    assert found["state"] == job.state.value
    assert {name: found[name] for name in COLUMNS} == {name: getattr(job, name) for name in COLUMNS}
