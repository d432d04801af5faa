"""Metrics, read back with the SDK's in-memory reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from jobledger import observations as seen
from jobledger.ids import new_id
from jobledger.telemetry import observe_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

Points = dict[str, list[tuple[dict[str, Any], Any]]]


def _points(reader: InMemoryMetricReader) -> Points:
    data = reader.get_metrics_data()
    found: Points = {}
    for resource in data.resource_metrics if data else []:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = [(dict(point.attributes or {}), point) for point in metric.data.data_points]
    return found


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    """Observe into memory for one test."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    stop = observe_metrics(provider)
    yield reader
    stop()
    provider.shutdown()


def _one_job(tenant: str = "acme", outcome: str = "succeeded") -> None:
    job = new_id()
    seen.emit(seen.JobStarted(job, tenant, "mail", "send", 1, 0.25))
    seen.emit(seen.JobFinished(job, tenant, "mail", "send", 1, outcome, 1.5))


def test_wait_and_run_time_are_histograms_by_queue_and_kind(reader: InMemoryMetricReader) -> None:
    """Sum and count are exact, the run also has its outcome."""
    _one_job()
    _one_job(outcome="failed")
    points = _points(reader)
    ((labels, wait),) = points["jobledger.job.wait"]
    assert labels == {"queue": "mail", "kind": "send"}
    assert (wait.count, wait.sum) == (2, 0.5)
    assert {labels["outcome"]: (run.count, run.sum) for labels, run in points["jobledger.job.run"]} == {
        "succeeded": (1, 1.5),
        "failed": (1, 1.5),
    }
    ((_, running),) = points["jobledger.jobs.running"]
    assert running.value == 0


def test_tenants_are_no_labels_by_default(reader: InMemoryMetricReader) -> None:
    """A thousand tenants make one series."""
    for number in range(1000):
        _one_job(tenant=f"tenant-{number}")
    assert all(len(points) <= 2 for points in _points(reader).values())


def test_tenants_are_labels_when_asked_for() -> None:
    """A service with few tenants may want them."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    stop = observe_metrics(provider, by_tenant=True)
    _one_job()
    seen.emit(seen.JobsEnqueued(3, "acme"))
    stop()
    points = _points(reader)
    assert points["jobledger.job.wait"][0][0]["tenant"] == "acme"
    assert points["jobledger.jobs.enqueued"][0][0] == {"tenant": "acme"}
    provider.shutdown()


def test_counts_follow_what_was_observed(reader: InMemoryMetricReader) -> None:
    """Enqueued, claimed, accepted and rejected each have a counter in jobs or reports."""
    worker = new_id()
    seen.emit(seen.JobsEnqueued(10, None))
    seen.emit(seen.JobsClaimed(8, worker, 1, 0.004))
    seen.emit(seen.ReportAccepted(7))
    seen.emit(seen.ReportRejected(new_id(), 2, worker, "lost"))
    points = _points(reader)
    counted = {name: series[0][1].value for name, series in points.items() if name.endswith(("ed",))}
    assert counted == {
        "jobledger.jobs.enqueued": 10,
        "jobledger.jobs.claimed": 8,
        "jobledger.reports.accepted": 7,
        "jobledger.reports.rejected": 1,
    }
    assert points["jobledger.reports.rejected"][0][0] == {"reason": "lost"}


def test_every_observation_is_counted_by_its_topic(reader: InMemoryMetricReader) -> None:
    """Also those without an instrument of their own, so that any of them can be alerted on."""
    seen.emit(seen.SlotLost(new_id(), "send"))
    seen.emit(seen.SlotLost(new_id(), "send"))
    seen.emit(seen.StoreOpened(rebuilt=True, elapsed_s=0.1))
    counted = {labels["topic"]: point.value for labels, point in _points(reader)["jobledger.observations"]}
    assert counted == {"slot_lost": 2, "store_opened": 1}
