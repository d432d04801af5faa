"""The envelope: one row of the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg.pgproto.pgproto
import pytest

from jobledger.errors import MalformedEvent
from jobledger.events import Event

ROW: dict[str, Any] = {
    "shard": 0,
    "position": 12,
    "xid": 900,
    "stream_id": UUID("0195500d-0000-7000-8000-000000000001"),
    "version": 2,
    "type": "job.claimed",
    "at": datetime(2026, 3, 1, tzinfo=UTC),
    "tenant": "a",
    "actor": None,
    "worker": UUID("0195500d-0000-7000-8000-000000000002"),
    "attempt": 1,
    "data": '{"call": 7, "beat": 3}',
}


@pytest.mark.parametrize("data", ['{"call": 7, "beat": 3}', b'{"call": 7, "beat": 3}', {"call": 7, "beat": 3}])
def test_a_row_is_read_whether_its_data_are_decoded_or_text(data: object) -> None:
    """Both forms of jsonb give the same event; columns beyond the envelope are ignored."""
    event = Event.from_row({**ROW, "data": data})
    assert event.data == {"call": 7, "beat": 3}
    assert event.version == 2


def test_the_drivers_own_uuids_are_uuids() -> None:
    """asyncpg hands over a subclass of its own."""
    own = asyncpg.pgproto.pgproto.UUID(str(ROW["stream_id"]))
    assert Event.from_row({**ROW, "stream_id": own}).stream_id == ROW["stream_id"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("version", 0), ("at", datetime(2026, 3, 1)), ("data", "[canary"), ("data", "[1]"), ("stream_id", "canary")],  # noqa: DTZ001
)
def test_a_row_that_does_not_fit_names_its_column_only(column: str, value: object) -> None:
    """The error tells the column, never what was in it."""
    with pytest.raises(MalformedEvent) as error:
        Event.from_row({**ROW, column: value})
    assert error.value.detail == {"columns": [column]}
    assert "canary" not in str(error.value)


def test_an_event_of_an_unknown_type_can_still_be_held() -> None:
    """The envelope itself needs no vocabulary, so that any log can be listed."""
    assert Event.from_row({**ROW, "type": "job.teleported"}).type == "job.teleported"


def test_an_event_is_frozen() -> None:
    """A fact does not change in memory either."""
    event = Event.from_row(ROW)
    with pytest.raises(ValueError, match="frozen"):
        event.version = 3  # type: ignore[misc]
