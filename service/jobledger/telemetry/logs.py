"""Logs: what each observation is as a log record, and the two forms of a record: a line for people, JSON for programs.

A record's fields are whatever `extra` put on it (a job's own logger puts tenant, kind, job and attempt on each), plus
the trace it belongs to. Values are shown as they are: what may be secret is never put on a record in the first place.
"""

from __future__ import annotations

import dataclasses
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry import trace

from jobledger import observations as seen
from jobledger.observations import Observation, subscribe

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("jobledger.observed")

# One line a job would drown everything else; a person asks for it with the level debug.
_DEBUG: frozenset[type[Observation]] = frozenset(
    {
        seen.JobsEnqueued,
        seen.JobsClaimed,
        seen.JobStarted,
        seen.JobFinished,
        seen.ReportAccepted,
        seen.RequestServed,
        seen.WebhookDelivered,
        seen.PushDelivered,
    }
)
_WARNING: frozenset[type[Observation]] = frozenset(
    {
        seen.BlockedByPrepared,
        seen.ClaimRetried,
        seen.ConnectionLost,
        seen.HeartbeatFailed,
        seen.JobKilled,
        seen.JobTimedOut,
        seen.LeaseExpired,
        seen.LeaseLost,
        seen.LimitMet,
        seen.MismatchRepaired,
        seen.ProjectionReset,
        seen.ReportRejected,
        seen.SlotLost,
        seen.WorkerStalled,
        seen.SealingStalled,
        seen.SubscriptionReset,
        seen.SubscriptionSetAside,
        seen.SubscriptionSlicesLost,
        seen.WebhookFailed,
        seen.PushHeld,
    }
)
_ERROR: frozenset[type[Observation]] = frozenset({seen.PartitionsShort, seen.ProjectionStopped, seen.WebhookDisabled})
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def level_of(kind: type[Observation]) -> int:
    """Return the log level of a kind of observation: what a person has to act on is a warning or an error."""
    if kind in _DEBUG:
        return logging.DEBUG
    if kind in _WARNING:
        return logging.WARNING
    return logging.ERROR if kind in _ERROR else logging.INFO


def observe_logs() -> Callable[[], None]:
    """Write each observation to the logger `jobledger.observed` from now on; return the way to stop."""
    return subscribe(_write)


def _write(observation: Observation) -> None:
    level = level_of(type(observation))
    if _log.isEnabledFor(level):
        _log.log(level, observation.topic, extra=_fields_of_observation(observation))


def _fields_of_observation(observation: Observation) -> dict[str, Any]:
    fields = {f.name: getattr(observation, f.name) for f in dataclasses.fields(observation)}
    # A LogRecord has a `name` and an `args` of its own.
    return {f"{key}_" if key in _STANDARD else key: value for key, value in fields.items() if value is not None}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that were put on a record, and the ids of the span in which it was written."""
    fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        fields["trace_id"] = trace.format_trace_id(context.trace_id)
        fields["span_id"] = trace.format_span_id(context.span_id)
    return fields


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at (UTC), level, logger, message, the record's fields, and error with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. What JSON does not know is written as text; a record is never lost to its content."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except (TypeError, ValueError):
            # Text that is not valid UTF-8, integers beyond 64 bits.
            return orjson.dumps({key: ascii(value) for key, value in line.items()}).decode()


class TextFormatter(logging.Formatter):
    """One line for people: local time, level, message, then the fields as key=value. Line breaks are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        words = [at, f"{record.levelname.lower():7}", record.getMessage()]
        words += [f"{key}={_word(value)}" for key, value in fields_of(record).items()]
        line = " ".join(words).replace("\n", "\\n").replace("\r", "\\r")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
    return repr(text) if not text or " " in text else text
