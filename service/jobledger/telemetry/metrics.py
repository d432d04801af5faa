"""Metrics: observations counted and timed with OpenTelemetry instruments.

Labels are the queue, the kind and the outcome, whose numbers an application decides. Tenants are no labels by default:
10,000 tenants would make 10,000 series of every figure. Every observation is counted by its topic; the figures that
dashboards and alerts are made of have instruments of their own. Units follow UCUM; times are seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import metrics

from jobledger import observations as seen
from jobledger.observations import Observation, subscribe

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)


def observe_metrics(provider: MeterProvider | None = None, *, by_tenant: bool = False) -> Callable[[], None]:
    """Feed OpenTelemetry instruments from now on; return the way to stop.

    `provider` defaults to the global one. `by_tenant` adds the tenant as a label; for services with few tenants.
    """
    return subscribe(_Instruments(provider or metrics.get_meter_provider(), by_tenant))


class _Instruments:
    """The instruments, and which observation moves which."""

    def __init__(self, provider: MeterProvider, by_tenant: bool) -> None:
        """Make every instrument at once: a figure that stays 0 is a figure too."""
        meter = provider.get_meter("jobledger")
        self._by_tenant = by_tenant
        self._observed = meter.create_counter("jobledger.observations", "{observation}", "Observations, by topic")
        self._enqueued = meter.create_counter("jobledger.jobs.enqueued", "{job}", "Jobs handed in")
        self._claimed = meter.create_counter("jobledger.jobs.claimed", "{job}", "Jobs given to workers")
        self._finished = meter.create_counter("jobledger.jobs.finished", "{job}", "Attempts ended, by outcome")
        self._accepted = meter.create_counter("jobledger.reports.accepted", "{report}", "Outcomes made durable")
        self._rejected = meter.create_counter("jobledger.reports.rejected", "{report}", "Outcomes that came too late")
        self._running = meter.create_up_down_counter("jobledger.jobs.running", "{job}", "Handlers running now")
        self._claim = meter.create_histogram(
            "jobledger.claim.duration", "s", "Time of a claim call", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._wait = meter.create_histogram(
            "jobledger.job.wait", "s", "From due to started", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._run = meter.create_histogram(
            "jobledger.job.run", "s", "From started to ended", explicit_bucket_boundaries_advisory=_SECONDS
        )

        self._request = meter.create_histogram(
            "jobledger.http.request.duration", "s", "Time of a request", explicit_bucket_boundaries_advisory=_SECONDS
        )

    def __call__(self, observation: Observation) -> None:
        """Move the instruments of one observation."""
        match observation:
            case seen.JobStarted():
                labels = self._labels(observation)
                self._running.add(1, labels)
                self._wait.record(max(observation.wait_s, 0.0), labels)
            case seen.JobFinished():
                labels = self._labels(observation)
                self._running.add(-1, labels)
                ended = {**labels, "outcome": observation.outcome}
                self._finished.add(1, ended)
                self._run.record(observation.run_s, ended)
            case seen.JobsClaimed():
                self._claimed.add(observation.count)
                self._claim.record(observation.elapsed_s)
            case seen.JobsEnqueued():
                self._enqueued.add(observation.count, self._tenant(observation.tenant))
            case seen.ReportAccepted():
                self._accepted.add(observation.count)
            case seen.ReportRejected():
                self._rejected.add(1, {"reason": observation.reason})
            case seen.RequestServed():
                answered = str(observation.status)
                labels = {"method": observation.method, "route": observation.route or "", "status": answered}
                self._request.record(observation.elapsed_s, labels)
        self._observed.add(1, {"topic": observation.topic})

    def _labels(self, job: seen.JobStarted | seen.JobFinished) -> dict[str, str]:
        return {"queue": job.queue, "kind": job.kind, **self._tenant(job.tenant)}

    def _tenant(self, tenant: str | None) -> dict[str, str]:
        return {"tenant": tenant} if self._by_tenant and tenant is not None else {}
