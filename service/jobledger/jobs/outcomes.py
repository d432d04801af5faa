"""How a handler ends an attempt other than by a result: returned or raised, it is the same.

Outcome
├── Snooze     run again later; costs no attempt
├── Retry      this attempt failed; run again after a delay of the handler's choice
├── Cancel     stop for good; nobody's fault
└── Park       wait for a person; costs no attempt
Failure        an error with a class; any other exception is `transient`
├── TransientFailure    may pass by itself
├── QuotaFailure        a limit of somebody else's was met
├── PermissionFailure   something was not allowed
└── PermanentFailure    no retry can help
"""

from __future__ import annotations

import traceback
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from jobledger.errors import InvalidArgument
from jobledger.events import ErrorClass
from jobledger.jobs.secret import Concealer, concealer_here
from jobledger.lifecycle.retry import classify

MESSAGE_LIMIT: Final = 2_000
TRACEBACK_LIMIT: Final = 8_000
REASON_LIMIT: Final = 1_000
_DELAY_LIMIT_S: Final = 366 * 86_400


class Outcome(Exception):  # noqa: N818 - not an error: returned as often as raised
    """The common base; use one of the four below."""

    def __init__(self, reason: str | None = None) -> None:
        """Keep why, at most 1,000 characters."""
        self.reason = reason[:REASON_LIMIT] if reason else None
        super().__init__(self.reason or type(self).__name__)


class Snooze(Outcome):
    """Run this job again later, as the same attempt: it costs none."""

    def __init__(self, delay: float | timedelta | datetime, reason: str | None = None) -> None:
        """Wait for seconds, a timedelta, or until a moment (with a time zone); at most 366 days."""
        super().__init__(reason)
        self.delay_s, self.until = _delay(delay)


class Retry(Outcome):
    """This attempt failed; the next comes after a delay of the handler's choice, within the attempts allowed."""

    def __init__(
        self,
        *,
        after: float | timedelta | datetime,
        reason: str | None = None,
        error_class: ErrorClass = ErrorClass.TRANSIENT,
    ) -> None:
        """Wait for seconds, a timedelta, or until a moment (with a time zone); at most 366 days."""
        super().__init__(reason)
        self.delay_s, self.until = _delay(after)
        self.error_class = error_class


class Cancel(Outcome):
    """Stop this job for good, as cancelled: it is no longer wanted."""


class Park(Outcome):
    """Set this job aside until a person unparks it; costs no attempt, and the kill date runs on."""

    def __init__(self, reason: str, *, needs: str | None = None) -> None:
        """Say why, and what is needed to go on (a permission, a decision)."""
        super().__init__(reason)
        self.needs = needs[:REASON_LIMIT] if needs else None


class Failure(Exception):  # noqa: N818 - a noun of the domain, subclassed by applications
    """An error that states its class; the kind's policy and the operators go by it."""

    error_class: ClassVar[ErrorClass] = ErrorClass.TRANSIENT


class TransientFailure(Failure):
    """It may pass by itself: a time-out, a lost connection."""


class QuotaFailure(Failure):
    """A limit of somebody else's was met."""

    error_class = ErrorClass.QUOTA


class PermissionFailure(Failure):
    """Something was not allowed."""

    error_class = ErrorClass.PERMISSION


class PermanentFailure(Failure):
    """No retry can help: the job fails for good at once."""

    error_class = ErrorClass.PERMANENT


def error_record(
    error: BaseException, conceal: Concealer | None = None, error_class: ErrorClass | None = None
) -> dict[str, Any]:
    """Return what the log keeps of a failure: type, message, traceback and class, limited and without secrets.

    `error_class` is what the kind's policy decided; without it the error is classified here.
    The end of a long traceback is kept: it says where the error was raised. The message keeps its beginning.
    """
    conceal = conceal or concealer_here()
    trace = "".join(traceback.format_exception(error, limit=-50, chain=True))
    record = {
        "type": type(error).__name__[:200],
        "message": _storable(conceal.text(_message(error)))[:MESSAGE_LIMIT],
        "class": str(error_class or classify(error)),
    }
    if error.__traceback__ is not None:
        record["traceback"] = _storable(conceal.text(trace))[-TRACEBACK_LIMIT:]
    return record


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return f"(its text could not be made: {type(second).__name__})"


def _storable(text: str) -> str:
    """Replace what Postgres cannot store in jsonb: U+0000 and halves of surrogate pairs."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()


def _delay(delay: float | timedelta | datetime) -> tuple[float | None, datetime | None]:
    if isinstance(delay, datetime):
        if delay.tzinfo is None:
            raise InvalidArgument("A moment needs a time zone.")
        return None, delay
    if not isinstance(delay, timedelta | int | float) or isinstance(delay, bool):
        raise InvalidArgument("A delay is a number of seconds, a timedelta or a moment.")
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not 0 <= seconds <= _DELAY_LIMIT_S:
        raise InvalidArgument("A delay is 0 seconds to 366 days.")
    return float(seconds), None
