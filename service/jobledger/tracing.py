"""Trace context: from the span that enqueues a job to the span of its run, hours or weeks later.

Uses the OpenTelemetry API only; without a configured SDK both ends do nothing. The run is a trace of its own, *linked*
to the enqueuing span, because a job may run long after that trace has ended, and more than once.
Only W3C `traceparent` and `tracestate` are stored: baggage has no limit and may hold anything.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.trace import Link, NoOpTracerProvider, ProxyTracerProvider, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from opentelemetry.trace import Span

_TRACE_CONTEXT = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("jobledger")
# How an attempt ended when nothing went wrong; any other outcome marks the span as an error.
_SOUND = frozenset({"succeeded", "snoozed", "interrupted", "cancelled", "parked", "released"})


def capture() -> dict[str, str] | None:
    """Return the current span's context, to be stored with a job; None unless a span is being recorded."""
    # A program without tracing has an empty context; looking for a span in it costs three times as much.
    if not get_current() or not trace.get_current_span().is_recording():
        return None
    carrier: dict[str, str] = {}
    _TRACE_CONTEXT.inject(carrier)
    return carrier


def enabled() -> bool:
    """Say whether anybody records spans. Asked once a claim, so that without an SDK a run costs nothing."""
    return not isinstance(trace.get_tracer_provider(), (ProxyTracerProvider, NoOpTracerProvider))


@contextmanager
def running(*, job: UUID, tenant: str, queue: str, kind: str, attempt: int, enqueued: object) -> Iterator[Span]:
    """Make the span of one attempt current; `enqueued` is what `capture` returned at the enqueue, or any JSON.

    What the handler raises passes through and is not recorded here: `ended` says how the attempt ended.
    """
    with _TRACER.start_as_current_span(
        f"run {kind}",
        context=trace.set_span_in_context(trace.INVALID_SPAN),
        kind=SpanKind.CONSUMER,
        links=_links(enqueued),
        attributes={
            "messaging.system": "jobledger",
            "messaging.operation.type": "process",
            "messaging.destination.name": queue,
            "messaging.message.id": str(job),
            "jobledger.kind": kind,
            "jobledger.tenant": tenant,
            "jobledger.attempt": attempt,
        },
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def ended(span: Span, outcome: str, error_type: str | None = None) -> None:
    """Write the attempt's outcome on its span; a failure sets the status to error, with the error's type only."""
    span.set_attribute("jobledger.outcome", outcome)
    if outcome not in _SOUND:
        span.set_attribute("error.type", error_type or outcome)
        span.set_status(Status(StatusCode.ERROR, error_type))


def _links(enqueued: object) -> list[Link]:
    # In SQL a job's trace may be any JSON.
    if not isinstance(enqueued, dict):
        return []
    carrier = {name: text for name, text in enqueued.items() if isinstance(text, str)}
    origin = trace.get_current_span(_TRACE_CONTEXT.extract(carrier)).get_span_context()
    return [Link(origin)] if origin.is_valid else []
