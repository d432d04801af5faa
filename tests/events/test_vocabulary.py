"""The vocabulary: every event type is read, written, tolerant of what is newer, and named where it is not known."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobledger.errors import MalformedEvent, UnknownEvent
from jobledger.events import JOB_TYPES, MODELS, Event, model_of, parse, parse_as
from jobledger.events import job as job_events

AT = "2026-03-01T12:00:00+00:00"
LATER = "2026-03-01T15:30:00+01:00"
ID = "0195500d-0000-7000-8000-000000000001"
ERROR = {"type": "ValueError", "message": "no", "traceback": "…", "class": "quota"}
ACT = {"name": "mail", "reason": "flood"}
LIMITED = {**ACT, "set": {"max_attempts": 3, "timeout": None}}

FULL: dict[str, dict[str, Any]] = {
    "job.enqueued": {
        "kind": "mail.send",
        "args": {"to": None},
        "queue": "mail",
        "priority": -5,
        "run_at": LATER,
        "max_attempts": 9,
        "timeout": 60,
        "owner": "ada",
        "tags": ["a", "b"],
        "meta": {"x": [1, None]},
        "backoff": {"type": "fixed", "delay": 1},
        "kill_at": LATER,
        "kill_rule": "own",
        "key": "k1",
        "unique": "u1",
        "trace": {"traceparent": "00-…"},
    },
    "job.claimed": {"call": 7, "beat": 3},
    "job.progressed": {"progress": 0.5, "message": "half", "detail": {"row": 5}},
    "job.succeeded": {"result": {"sent": True}, "ran": 0.25},
    "job.failed": {"error": ERROR, "retry_at": LATER, "ran": 1.5},
    "job.lease_expired": {"retry_at": LATER},
    "job.snoozed": {"run_at": LATER, "reason": "closed on Sundays"},
    "job.interrupted": {"reason": "SIGTERM"},
    "job.released": {},
    "job.parked": {"reason": "no rights", "needs": {"scope": "mail"}},
    "job.unparked": {"reason": "given"},
    "job.cancel_requested": {"reason": "not wanted"},
    "job.cancelled": {"reason": "not wanted", "error": ERROR},
    "job.killed": {"rule": "service", "reason": "too old"},
    "job.retried": {"max_attempts": 10, "kill_at": LATER, "kill_rule": "own", "run_at": LATER, "reason": "mended"},
    "job.rescheduled": {"run_at": LATER, "kill_at": LATER, "kill_rule": "service", "reason": "later"},
    "job.reprioritised": {"priority": 1000, "reason": "can wait"},
    "job.moved": {"queue": "bulk", "reason": "can wait"},
    "job.redacted": {"fields": ["args.name"], "reason": "asked for"},
    "worker.started": {
        "queues": {"mail": 5, "bulk": None},
        "kinds": ["mail.send"],
        "tenants": ["a"],
        "host": "h1",
        "pid": 1,
        "version": "0.2.0",
        "lease": 30,
    },
    "worker.heartbeat": {"beat": 4, "held": [ID]},
    "worker.report_rejected": {"job": ID, "claim": 2, "outcome": "succeeded", "reason": "over", "worker": ID},
    "worker.stopped": {"reason": "SIGTERM"},
    "kind.registered": {
        "name": "mail.send",
        "version": 2,
        "schema": {"type": "object"},
        "aliases": ["send_mail"],
        "queue": "mail",
        "max_attempts": 3,
        "timeout": 60,
        "kill_after": 3600,
    },
    "kind.paused": ACT,
    "kind.resumed": ACT,
    "kind.limited": LIMITED,
    "queue.paused": ACT,
    "queue.resumed": ACT,
    "queue.limited": LIMITED,
    "tenant.paused": ACT,
    "tenant.resumed": ACT,
    "tenant.limited": LIMITED,
    "store.limited": {**LIMITED, "name": "all"},
    "store.rebuilt": {"projection": "queue", "rows": 12},
    "store.mismatch_repaired": {"job": ID, "found": {"head": 3}, "expected": {"head": 4}},
    "store.partition_dropped": {"name": "events_20260105"},
    "store.epoch_opened": {"epoch": 2, "carried": 17},
    "subscription.created": {
        "name": "mail",
        "filter": {"types": ["job.failed"]},
        "slices": 4,
        "begin": "time",
        "at": LATER,
        "reason": "new",
    },
    "subscription.reset": {"name": "mail", "to": "time", "at": LATER, "slices": 4, "reason": "again"},
    "subscription.disabled": ACT,
    "subscription.removed": ACT,
    "key.created": {
        "name": "shop",
        "prefix": "jl_3fk2",
        "roles": ["enqueue", "read"],
        "tenants": ["a"],
        "owner": "ada",
        "rate": 50,
        "expires_at": LATER,
        "reason": "new shop",
    },
    "key.revoked": ACT,
    "webhook.created": {
        "name": "crm",
        "url": "https://crm.example/hook",
        "filter": {"types": ["job.failed"]},
        "begin": "time",
        "at": LATER,
        "reason": "new",
    },
    "webhook.reset": {"name": "crm", "to": "time", "at": LATER, "reason": "again"},
    "webhook.disabled": ACT,
    "webhook.rotated": ACT,
    "webhook.removed": ACT,
    "queue.push_set": {
        "name": "mail",
        "url": "https://f.example/run",
        "batch": 10,
        "concurrency": 4,
        "max_run": 30.0,
        "start_failure": "free",
        "reason": "a function now",
    },
    "queue.push_removed": ACT,
}


def event(type_: str, data: dict[str, Any] | None) -> Event:
    """Make an event of this type around the data."""
    return Event(
        position=1,
        stream_id=UUID(ID),
        version=1,
        type=type_,
        at=datetime(2026, 3, 1, tzinfo=UTC),
        tenant="a",
        data=data,
    )


def required(type_: str) -> dict[str, Any]:
    """Return the least data of a type."""
    names = {field.alias or name: field.is_required() for name, field in MODELS[type_].model_fields.items()}
    return {key: value for key, value in FULL[type_].items() if names[key]}


def test_every_model_has_an_example_here_and_says_what_it_is() -> None:
    """A new event type comes with a docstring, its own name, and an example in this file."""
    assert FULL.keys() == MODELS.keys()
    for type_, model in MODELS.items():
        assert type_ == model.TYPE
        assert model.__doc__
        assert (type_ in JOB_TYPES) == type_.startswith("job.")


@pytest.mark.parametrize("type_", MODELS)
@given(data=st.data())
def test_what_is_written_is_what_was_read(type_: str, data: st.DataObject) -> None:
    """Any choice of the optional keys survives reading, writing as JSON and reading again."""
    kept = required(type_)
    optional = sorted(FULL[type_].keys() - kept.keys())
    chosen = data.draw(st.sets(st.sampled_from(optional)) if optional else st.just(set[str]()))
    kept |= {key: FULL[type_][key] for key in chosen}
    first = parse(event(type_, kept))
    written = first.to_data()
    assert parse(event(type_, json.loads(json.dumps(written)))) == first
    assert set(written or {}) == set(kept)


@pytest.mark.parametrize("type_", MODELS)
def test_a_key_that_is_not_known_is_tolerated(type_: str) -> None:
    """A newer writer may add keys; they are ignored, also within an error."""
    data = {**FULL[type_], "of_tomorrow": {"a": 1}}
    if "error" in data:
        data["error"] = {**ERROR, "of_tomorrow": 1}
    assert parse(event(type_, data)) == parse(event(type_, FULL[type_]))


STRICT = [name for name in MODELS if required(name) and name != "job.failed"]


@pytest.mark.parametrize("type_", STRICT)
def test_data_that_do_not_fit_are_named_and_never_repeated(type_: str) -> None:
    """The error names the event's type and the keys at fault, and holds no value."""
    with pytest.raises(MalformedEvent) as missing:
        parse(event(type_, None))
    assert missing.value.detail["fields"] == sorted(required(type_))
    with pytest.raises(MalformedEvent) as wrong:
        parse(
            event(type_, {key: {"canary": ["canary"]} for key in FULL[type_]})
            if type_ != "job.enqueued"
            else event(type_, {"kind": ["canary"], "args": 1})
        )
    assert "canary" not in str(wrong.value)
    assert "canary" not in repr(wrong.value.detail)
    assert wrong.value.__cause__ is None
    assert wrong.value.__context__ is None


SLOPPY: list[tuple[str, dict[str, Any] | None]] = [
    ("job.failed", None),
    ("job.failed", {"error": None}),
    ("job.failed", {"error": "no"}),
    ("job.failed", {"error": {"type": None, "message": ["no"], "class": "of tomorrow"}, "ran": -1}),
    ("job.failed", {"error": [1], "ran": "long"}),
    ("job.cancelled", {"error": {}, "reason": 5}),
    ("job.parked", {"reason": {"a": 1}}),
    ("job.parked", None),
    ("job.progressed", {"progress": "half", "message": 5}),
    ("job.succeeded", {"ran": True}),
    ("job.interrupted", {"reason": []}),
    ("worker.started", {"host": 5, "pid": "x", "kinds": [None], "queues": {"q": "many"}, "lease": 30}),
]


@pytest.mark.parametrize(("type_", "data"), SLOPPY)
def test_what_a_careless_worker_reported_can_still_be_read(type_: str, data: dict[str, Any] | None) -> None:
    """It went into the log as it came; what is missing or of another form is filled in, and stays so."""
    first = parse(event(type_, data))
    assert parse(event(type_, first.to_data())) == first


def test_what_is_missing_of_an_error_has_a_name() -> None:
    """An error without facts is a transient one of unknown type; text alone is its message."""
    assert parse_as(event("job.failed", None), job_events.Failed).error.to_data() == {
        "type": "Unknown",
        "message": "",
        "class": "transient",
    }
    said = parse_as(event("job.failed", {"error": "no"}), job_events.Failed).error
    assert (said.type, said.message) == ("Unknown", "no")


def test_a_type_that_is_not_known_is_named() -> None:
    """An event of a newer version is no KeyError."""
    with pytest.raises(UnknownEvent, match="newer jobledger"):
        parse(event("job.teleported", None))
    with pytest.raises(UnknownEvent):
        model_of("job.teleported")


def test_defaults_are_not_written() -> None:
    """A job that is like most takes two keys; an event with nothing to say has no data at all."""
    assert job_events.Enqueued(kind="k", args={}, queue="default", priority=0).to_data() == {"kind": "k", "args": {}}
    assert job_events.Succeeded().to_data() is None
    assert job_events.Released().to_data() is None


def test_a_cleared_limit_is_not_an_absent_one() -> None:
    """Null clears a limit, so it has to survive."""
    assert (parse(event("kind.limited", LIMITED)).to_data() or {})["set"] == {"max_attempts": 3, "timeout": None}


def test_moments_are_compared_whatever_their_offset() -> None:
    """Text with any offset is the same moment, in UTC; text without one is refused."""
    snoozed = parse_as(event("job.snoozed", {"run_at": LATER}), job_events.Snoozed)
    assert snoozed.run_at == datetime(2026, 3, 1, 14, 30, tzinfo=UTC)
    assert snoozed.run_at.tzinfo is UTC
    with pytest.raises(MalformedEvent):
        parse(event("job.snoozed", {"run_at": "2026-03-01T12:00:00"}))


def test_reading_as_another_type_is_a_mistake_of_the_program() -> None:
    """`parse_as` gives only the model that belongs to the event's type."""
    with pytest.raises(TypeError):
        parse_as(event("job.snoozed", {"run_at": AT}), job_events.Parked)


def test_the_models_are_frozen() -> None:
    """A fact does not change in memory either."""
    succeeded = job_events.Succeeded()
    with pytest.raises(ValueError, match="frozen"):
        succeeded.ran = 1  # type: ignore[misc]
