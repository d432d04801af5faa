"""Traces, read back with the SDK's in-memory exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from jobledger import tracing
from jobledger.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Record spans in memory for one test; the global provider can be set only once, so the tracer is replaced."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_TRACER", provider.get_tracer("jobledger"))
    yield exporter
    provider.shutdown()


def _run(enqueued: object, outcome: str = "succeeded", error_type: str | None = None) -> None:
    with tracing.running(job=new_id(), tenant="acme", queue="mail", kind="send", attempt=2, enqueued=enqueued) as span:
        tracing.ended(span, outcome, error_type)


def test_without_a_span_nothing_is_captured() -> None:
    """An application without traces stores nothing with its jobs."""
    assert tracing.capture() is None
    assert not tracing.enabled()


def test_the_run_is_a_trace_of_its_own_linked_to_the_enqueuing_span(spans: InMemorySpanExporter) -> None:
    """The way from the run leads back to the request that enqueued the job."""
    with tracing._TRACER.start_as_current_span("request") as request:
        stored = tracing.capture()
        _run(stored)
    assert stored is not None
    assert set(stored) <= {"traceparent", "tracestate"}
    run = next(span for span in spans.get_finished_spans() if span.name == "run send")
    assert run.parent is None
    assert run.context.trace_id != request.get_span_context().trace_id
    assert [link.context.span_id for link in run.links] == [request.get_span_context().span_id]
    assert run.kind is SpanKind.CONSUMER


@pytest.mark.parametrize("said", [[1], "00-1-1-01", 5, {"traceparent": 5}, {"traceparent": ["x"], "tracestate": {}}])
def test_a_run_whose_trace_is_none_has_no_link(spans: InMemorySpanExporter, said: object) -> None:
    """Who enqueues in SQL may write any JSON there; it fails no run."""
    _run(said)
    (run,) = spans.get_finished_spans()
    assert list(run.links) == []


def test_a_span_that_is_not_recorded_is_not_captured() -> None:
    """A trace that sampling left out stays out."""
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False))):
        assert tracing.capture() is None


@pytest.mark.parametrize("stored", [None, {}, {"traceparent": "nonsense"}, {"other": "00-1-1-01"}])
def test_a_context_that_cannot_be_read_is_no_link(spans: InMemorySpanExporter, stored: dict[str, str] | None) -> None:
    """A job enqueued by plain SQL may carry anything there; it runs."""
    _run(stored)
    (run,) = spans.get_finished_spans()
    assert run.links == ()


def test_a_failure_marks_the_span_by_type_only(spans: InMemorySpanExporter) -> None:
    """Messages may hold what nobody wants in a tracing system; the log has them."""
    _run(None, "failed", "ValueError")
    _run(None, "snoozed")
    failed, snoozed = spans.get_finished_spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "ValueError"
    assert failed.attributes["jobledger.attempt"] == 2
    assert not failed.events
    assert snoozed.status.status_code is StatusCode.UNSET
