"""Observations told to the outside: as logs, as OpenTelemetry metrics; and the set-up of both for the commands.

An application that embeds jobledger calls `observe_metrics()` and `observe_logs()` where it configures its own
telemetry; neither touches the root logger or a global provider. Only `configure` does, and only the commands call it.
"""

from jobledger.telemetry.logs import JsonFormatter, TextFormatter, observe_logs
from jobledger.telemetry.metrics import observe_metrics
from jobledger.telemetry.setup import configure

__all__ = ["JsonFormatter", "TextFormatter", "configure", "observe_logs", "observe_metrics"]
