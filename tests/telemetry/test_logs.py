"""Logs: the level of each observation and the two forms of a record."""

from __future__ import annotations

import logging
import sys
from datetime import datetime

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider

from jobledger import observations as seen
from jobledger.ids import new_id
from jobledger.telemetry import JsonFormatter, TextFormatter, observe_logs
from jobledger.telemetry.logs import level_of


def _record(message: str = "hello", **extra: object) -> logging.LogRecord:
    return logging.getLogger("jobledger.test").makeRecord(
        "jobledger.test", logging.WARNING, "file.py", 1, message, (), None, extra=extra
    )


def test_json_is_one_object_a_line_with_the_fields_of_the_record() -> None:
    """A program reads time, level, logger, message and every field by name."""
    job = new_id()
    line = JsonFormatter().format(_record("two\nlines", job=job, tenant="acme", attempt=2))
    assert "\n" not in line
    told = orjson.loads(line)
    assert told == {
        "at": told["at"],
        "level": "warning",
        "logger": "jobledger.test",
        "message": "two\nlines",
        "job": str(job),
        "tenant": "acme",
        "attempt": 2,
    }
    assert datetime.fromisoformat(told["at"]).tzinfo is not None


def test_json_carries_the_traceback() -> None:
    """An error's traceback is a field, not further lines."""
    record = _record()
    try:
        raise ValueError("broken")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert "ValueError: broken" in orjson.loads(JsonFormatter().format(record))["error"]


@pytest.mark.parametrize("value", ["\ud800", 2**70, object(), {1: {2}}, b"\xff"])
def test_json_loses_no_record_to_its_content(value: object) -> None:
    """What JSON cannot hold is written as text."""
    assert "odd" in orjson.loads(JsonFormatter().format(_record(odd=value)))


def test_text_is_one_line_a_record() -> None:
    """A person reads level, message and fields; a line break in a value cannot forge a second record."""
    line = TextFormatter().format(_record("did it\nerror forged", tenant="a b", wait_s=0.123456789))
    assert "\n" not in line
    assert "warning did it\\nerror forged tenant='a b' wait_s=0.123457" in line


def test_text_writes_several_of_a_thing_as_words() -> None:
    """Kinds and queues stand there as one would type them, not as Python would."""
    line = TextFormatter().format(_record(kinds=("greet", "mail"), queues=("one",), jobs=(), odd=["a b", 2]))
    assert "kinds=greet,mail queues=one jobs='' odd='a b,2'" in line


def test_a_record_names_the_span_it_was_written_in() -> None:
    """Logs and traces meet by the ids."""
    with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
        told = orjson.loads(JsonFormatter().format(_record()))
    assert told["trace_id"] == format(span.get_span_context().trace_id, "032x")
    assert told["span_id"] == format(span.get_span_context().span_id, "016x")


def test_an_observation_becomes_a_record_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    """The topic is the message; a field that a record has itself gets another name."""
    stop = observe_logs()
    with caplog.at_level(logging.INFO, "jobledger"):
        seen.emit(seen.ProjectionApplied(name="queue"))
        seen.emit(seen.JobsEnqueued(count=1, tenant=None))
    stop()
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno, record.name) == (
        "projection_applied",
        logging.INFO,
        "jobledger.observed",
    )
    assert vars(record)["name_"] == "queue"


def test_what_happens_to_every_job_is_for_debugging_only() -> None:
    """At the default level a busy worker does not write a line a job."""
    assert level_of(seen.JobFinished) == level_of(seen.JobsClaimed) == logging.DEBUG
    assert level_of(seen.ReportRejected) == level_of(seen.WorkerStalled) == logging.WARNING
    assert level_of(seen.PartitionsShort) == logging.ERROR
    assert level_of(seen.WorkerStarted) == logging.INFO
