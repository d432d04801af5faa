"""Events as CloudEvents 1.0, and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobledger.errors import MalformedEvent
from jobledger.events import Event
from jobledger.events.cloudevent import CloudEvent, read_event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner, max_size=3))
EVENTS = st.builds(
    Event,
    shard=st.integers(0, 32767),
    position=st.integers(0, 2**63 - 1),
    stream_id=st.uuids(),
    version=st.integers(1, 2**31 - 1),
    type=st.sampled_from(["job.enqueued", "job.failed", "worker.heartbeat", "tenant.paused", "newer.thing"]),
    at=st.datetimes(timezones=st.just(UTC)),
    tenant=st.sampled_from(["acme", "_global"]),
    actor=st.none() | TEXT,
    worker=st.none() | st.uuids(),
    attempt=st.none() | st.integers(1, 1000),
    data=st.none() | st.dictionaries(TEXT, JSON, max_size=3),
)
NAMES = re.compile("[a-z0-9]+")
REQUIRED = {"specversion", "id", "source", "type"}
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@given(EVENTS)
def test_an_event_travels_and_comes_back_the_same(event: Event) -> None:
    """Whatever the log may hold; to who may not see every tenant without its position."""
    assert read_event(CloudEvent.of(event, whole=True).json_text()).event() == event
    told = CloudEvent.of(event, cursor="s1").json_text()
    assert read_event(told).event() == event.model_copy(update={"position": 0})
    document = orjson.loads(told) if not _has_long_numbers(event.data) else {}
    assert document.keys().isdisjoint({"position", "block", "xid"})


@given(EVENTS)
def test_it_is_what_cloudevents_asks_for(event: Event) -> None:
    """The four required attributes; names of a-z and 0-9; text without control characters; nothing that is null."""
    document = CloudEvent.of(event, whole=True).model_dump(mode="json", exclude_unset=True)
    data = document.pop("data", None)
    assert (data is None) == ("datacontenttype" not in document)
    assert document.keys() >= REQUIRED
    assert all(NAMES.fullmatch(name) for name in document)
    assert all(value is not None for value in document.values())
    assert not any(CONTROL.search(value) for value in document.values() if isinstance(value, str))
    assert all(-(2**31) <= value < 2**31 for value in document.values() if isinstance(value, int))


def test_what_each_attribute_says() -> None:
    """One event, written out."""
    event = Event(
        position=9,
        stream_id=UUID(int=7),
        version=3,
        type="job.cancelled",
        at=datetime(2026, 3, 1, tzinfo=UTC),
        tenant="acme",
        actor="key:shop",
        data={"reason": "a\nb"},
    )
    assert orjson.loads(CloudEvent.of(event).json_text()) == {
        "specversion": "1.0",
        "id": f"{UUID(int=7)}/3",
        "source": "/jobledger/0",
        "type": "dev.jobledger.job.cancelled",
        "subject": f"job/{UUID(int=7)}",
        "time": "2026-03-01T00:00:00Z",
        "datacontenttype": "application/json",
        "data": {"reason": "a\nb"},
        "tenant": "acme",
        "streamversion": 3,
        "actor": "key:shop",
    }
    assert b"\n" not in CloudEvent.of(event).json_text()


@pytest.mark.parametrize("document", [b"{", b"[]", {"id": "x"}])
def test_what_is_no_cloudevent_is_refused_by_the_names_of_its_attributes(document: Any) -> None:
    """Never by their values."""
    with pytest.raises(MalformedEvent):
        read_event(document)


def test_an_id_of_another_log_is_no_event_of_ours() -> None:
    """The id has the stream and the version."""
    event = Event(position=1, stream_id=UUID(int=7), version=1, type="job.killed", at=datetime.now(UTC), tenant="a")
    foreign = CloudEvent.of(event).model_copy(update={"id": "A234-1234"})
    with pytest.raises(MalformedEvent):
        foreign.event()


def _has_long_numbers(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(_has_long_numbers(one) for one in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and abs(value) >= 2**63
