"""From the request that enqueues a job to its run: the worker's spans, logs and metrics, end to end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobledger import App, Client, Context, Fixed, Worker, tracing
from jobledger.telemetry import observe_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

app = App("traced")


@app.job(max_attempts=2, backoff=Fixed(0))
async def halve(context: Context, number: int) -> int:
    """Log inside the run's span; an odd number is an error."""
    context.logger.info("halving")
    if number % 2:
        raise ValueError("odd")
    return number // 2


@app.job()
def in_thread(number: int) -> str:
    """Return the trace that the thread sees."""
    return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id) if number else ""


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Record spans in memory; the global provider can be set once a process, so it is put in place by hand."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_TRACER", provider.get_tracer("jobledger"))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def _attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


async def test_a_run_is_a_span_linked_to_the_request_that_enqueued_it(
    database: str, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """Through the database: the context is stored with the job, the run links back, the handler's log is inside."""
    async with Client(database, app=app) as client, app.bound(client):
        await client.register()
        with trace.get_tracer("request").start_as_current_span("request") as request:
            handle = await halve.using(tenant="acme").enqueue(4)
        with caplog.at_level(logging.INFO, "jobledger.handler"):
            await Worker(app, database, until_empty=True).run()
        assert await handle.result(timeout=5) == 2
    run = next(span for span in spans.get_finished_spans() if span.name == "run halve")
    assert [link.context.span_id for link in run.links] == [request.get_span_context().span_id]
    assert _attribute(run, "messaging.message.id") == str(handle.id)
    assert _attribute(run, "jobledger.outcome") == "succeeded"
    (record,) = [record for record in caplog.records if record.getMessage() == "halving"]
    assert (vars(record)["tenant"], vars(record)["kind"], vars(record)["attempt"]) == ("acme", "halve", 1)


async def test_each_attempt_has_a_span_of_its_own(database: str, spans: InMemorySpanExporter) -> None:
    """Two failures are two spans with the status error, both linked to the one request."""
    async with Client(database, app=app) as client, app.bound(client):
        await client.register()
        with trace.get_tracer("request").start_as_current_span("request"):
            await halve.enqueue(3)
        await Worker(app, database, until_empty=True).run()
    runs = [span for span in spans.get_finished_spans() if span.name == "run halve"]
    assert [_attribute(span, "jobledger.attempt") for span in runs] == [1, 2]
    assert {_attribute(span, "error.type") for span in runs} == {"ValueError"}
    assert all(len(span.links) == 1 for span in runs)


async def test_a_sync_handler_sees_the_span_in_its_thread(database: str, spans: InMemorySpanExporter) -> None:
    """What a handler in a thread calls is part of the run's trace."""
    async with Client(database, app=app) as client, app.bound(client):
        await client.register()
        handle = await in_thread.enqueue(1)
        await Worker(app, database, until_empty=True).run()
        seen = await handle.result(timeout=5)
    run = next(span for span in spans.get_finished_spans() if span.name == "run in_thread")
    assert run.links == ()
    assert run.context is not None
    assert seen == trace.format_trace_id(run.context.trace_id)


async def test_the_metrics_of_a_worker_add_up(database: str) -> None:
    """Enqueued, claimed, started, finished and accepted say the same number."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    stop = observe_metrics(provider)
    async with Client(database, app=app) as client, app.bound(client):
        await client.register()
        await client.enqueue_many([halve.call(number * 2) for number in range(20)])
        await Worker(app, database, until_empty=True).run()
    stop()
    found: dict[str, float] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        points = list(metric.data.data_points)
        found[metric.name] = sum(getattr(point, "value", getattr(point, "count", 0)) for point in points)
    counted = ("jobs.enqueued", "jobs.claimed", "job.wait", "job.run", "jobs.finished", "reports.accepted")
    assert {name: found[f"jobledger.{name}"] for name in counted} == dict.fromkeys(counted, 20)
    assert found["jobledger.jobs.running"] == 0
    provider.shutdown()
