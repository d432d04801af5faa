"""Set-up of logs, metrics and traces for the commands, by `Settings` and the standard `OTEL_` variables.

Metrics and traces are off until the environment names an exporter (`OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER`:
otlp, console, none; metrics also prometheus) or an OTLP endpoint. The SDK itself reads the other variables: resource,
sampler, batching, intervals, headers. Signals are exported by threads of the SDK, never by the worker's loop.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from jobledger import __version__
from jobledger.errors import InvalidArgument
from jobledger.telemetry.logs import JsonFormatter, TextFormatter, observe_logs
from jobledger.telemetry.metrics import observe_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobledger.settings import Settings


def configure(settings: Settings, *, observe: bool = True) -> Callable[[], None]:
    """Configure this process's logs, metrics and traces; return what flushes and ends them.

    Logs go to stderr, never to stdout. `observe=False` leaves the observations off (a measurement wants no listener).

    Raises:
        InvalidArgument: an `OTEL_` variable names an exporter that is not known or not installed.
    """
    with ExitStack() as done:
        done.callback(_logs(settings))
        if os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true":
            done.callback(_traces())
            done.callback(_metrics(settings, observe))
        if observe:
            done.callback(observe_logs())
        return done.pop_all().close


def _nothing() -> None:
    return None


def _logs(settings: Settings) -> Callable[[], None]:
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    # An application that has its own handlers on the root logger keeps them, and gets no second line of each record.
    place = logging.getLogger("jobledger") if root.handlers else root
    level, propagate = place.level, place.propagate
    place.addHandler(handler)
    place.setLevel(settings.log_level.upper())
    place.propagate = False

    def end() -> None:
        place.removeHandler(handler)
        place.setLevel(level)
        place.propagate = propagate

    return end


def _traces() -> Callable[[], None]:
    exporter: SpanExporter
    match _exporter("TRACES"):
        case "none":
            return _nothing
        case "console":
            exporter = ConsoleSpanExporter(out=sys.stderr)
        case "otlp":
            exporter = _extra("otlp", "opentelemetry.exporter.otlp.proto.http.trace_exporter").OTLPSpanExporter()
        case _:
            raise _unknown("OTEL_TRACES_EXPORTER", "otlp, console, none")
    provider = TracerProvider(resource=_resource())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _metrics(settings: Settings, observe: bool) -> Callable[[], None]:
    reader: MetricReader
    match _exporter("METRICS"):
        case "none":
            return _nothing
        case "console":
            reader = PeriodicExportingMetricReader(ConsoleMetricExporter(out=sys.stderr))
        case "otlp":
            module = _extra("otlp", "opentelemetry.exporter.otlp.proto.http.metric_exporter")
            reader = PeriodicExportingMetricReader(module.OTLPMetricExporter())
        case "prometheus":
            reader = _prometheus()
        case _:
            raise _unknown("OTEL_METRICS_EXPORTER", "otlp, console, prometheus, none")
    provider = MeterProvider([reader], resource=_resource())
    metrics.set_meter_provider(provider)
    stop = observe_metrics(provider, by_tenant=settings.metrics_by_tenant) if observe else _nothing

    def end() -> None:
        stop()
        provider.shutdown()

    return end


def _prometheus() -> MetricReader:
    module = _extra("prometheus", "opentelemetry.exporter.prometheus")
    port = os.environ.get("OTEL_EXPORTER_PROMETHEUS_PORT", "9464")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise InvalidArgument("OTEL_EXPORTER_PROMETHEUS_PORT: it is to be a port, 1 to 65535.")
    _extra("prometheus", "prometheus_client").start_http_server(
        int(port), os.environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "localhost")
    )
    reader: MetricReader = module.PrometheusMetricReader()
    return reader


def _exporter(signal: str) -> str:
    """Return the exporter of a signal. None of the variables set means none: the standard's default would go out."""
    named = os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return named or ("otlp" if any(os.environ.get(name) for name in endpoints) else "none")


def _resource() -> Resource:
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "jobledger"}
    return Resource.create({**named, "service.version": __version__})


def _extra(name: str, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InvalidArgument(
            f"The exporter of the environment's OTEL_ variables needs the extra {name!r}.",
            hint=f"Install it with: pip install 'jobledger[{name}]'.",
        ) from error


def _unknown(variable: str, known: str) -> InvalidArgument:
    return InvalidArgument(f"{variable}: it is to be one of {known}.", detail={"settings": [variable]})
