"""Whether a failed attempt is tried again, and when: class of the error, back-off by type, what a time-out means."""

from __future__ import annotations

import errno
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from jobledger.errors import BadInput, Forbidden
from jobledger.events import ErrorClass
from jobledger.lifecycle.backoff import DELAY_MAX_S, Backoff, Exponential

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_QUOTA_ERRNO = frozenset({errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOSPC})
_QUOTA_STATUS = frozenset({429, 507})
_PERMISSION_STATUS = frozenset({401, 402, 403, 407})


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a failed attempt: seconds to wait before the next (null = final), and the error's class.

    `fault` names the type of the error that the application's own back-off or classification ended in, where it did;
    the default then stood in for it, and whoever asked should say so.
    """

    retry_in: float | None
    error_class: ErrorClass
    fault: str | None = None

    @property
    def final(self) -> bool:
        """Tell whether the job has failed for good."""
        return self.retry_in is None


def classify(error: BaseException) -> ErrorClass:
    """Return the class of an error; the first that fits:

    - an attribute `error_class` of the exception that names one, for those an application defines itself;
    - `permanent`: the job's input is not acceptable (`jobledger.errors.BadInput`), or the code is missing
      (`NotImplementedError`); another attempt would end the same;
    - `permission`: `PermissionError`, `jobledger.errors.Forbidden`, an HTTP status of 401, 402, 403 or 407;
    - `quota`: `MemoryError`, a disk, quota or file table that is full, an HTTP status of 429 or 507;
    - the class of an exception group's members, where they agree;
    - `transient`: all else. `ValueError`, `TypeError` and their like are of this class too: they may come from data
      that changes, or from a mistake that the next release mends, and the attempts bound them.

    The HTTP status is an attribute `status` or `status_code` of the exception or of its `response`.
    """
    declared = getattr(error, "error_class", None)
    if isinstance(declared, str) and declared in set(ErrorClass):
        return ErrorClass(declared)
    if isinstance(error, BaseExceptionGroup):
        members = {classify(member) for member in error.exceptions}
        return members.pop() if len(members) == 1 else ErrorClass.TRANSIENT
    if isinstance(error, BadInput | NotImplementedError):
        return ErrorClass.PERMANENT
    status = _http_status(error)
    if isinstance(error, PermissionError | Forbidden) or status in _PERMISSION_STATUS:
        return ErrorClass.PERMISSION
    full = isinstance(error, OSError) and error.errno in _QUOTA_ERRNO
    if full or isinstance(error, MemoryError) or status in _QUOTA_STATUS:
        return ErrorClass.QUOTA
    return ErrorClass.TRANSIENT


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a kind's failures are tried again, within `max_attempts`, which no policy can pass.

    `backoff` holds for every error that `by_type` does not name; of the types named the nearest in the exception's
    method resolution order holds, and null there means: never again. A job's own back-off replaces `backoff` alone.
    `on_timeout`: whether an attempt that ran out of time is tried again, or final.
    """

    backoff: Backoff = field(default_factory=Exponential)
    by_type: Mapping[type[BaseException], Backoff | None] = field(default_factory=dict)
    on_timeout: Literal["retry", "fail"] = "retry"
    classify: Callable[[BaseException], ErrorClass] = classify

    def with_backoff(self, backoff: Backoff | None) -> RetryPolicy:
        """Return the policy with a job's own back-off in place of the kind's, or unchanged where it has none."""
        return self if backoff is None else replace(self, backoff=backoff)

    def decide(self, attempt: int, max_attempts: int, error: BaseException, elapsed: float) -> Decision:
        """Decide about the attempt (counted from 1) that ended with `error`, `elapsed` seconds after the enqueue.

        A class of `permanent` is final, and so is the last attempt. An application's function that raises must not
        cost the record of the failure: the default stands in for it, and the decision says so (`fault`).
        """
        fault: str | None = None
        try:
            error_class = ErrorClass(self.classify(error))
        except Exception as own:  # noqa: BLE001 - see the docstring
            error_class, fault = classify(error), type(own).__name__
        if attempt >= max_attempts or error_class is ErrorClass.PERMANENT:
            return Decision(None, error_class, fault)
        backoff = self._backoff_for(error)
        if backoff is None:
            return Decision(None, error_class, fault)
        retry_in, own_fault = _ask(backoff, attempt, error, elapsed)
        return Decision(retry_in, error_class, fault or own_fault)

    def decide_timeout(self, attempt: int, max_attempts: int, elapsed: float) -> Decision:
        """Decide about an attempt that ran out of time; its class is `transient`, whatever the types say."""
        if attempt >= max_attempts or self.on_timeout == "fail":
            return Decision(None, ErrorClass.TRANSIENT)
        retry_in, fault = _ask(self.backoff, attempt, None, elapsed)
        return Decision(retry_in, ErrorClass.TRANSIENT, fault)

    def _backoff_for(self, error: BaseException) -> Backoff | None:
        for kind in type(error).__mro__:
            if kind in self.by_type:
                return self.by_type[kind]
        return self.backoff


def _ask(
    backoff: Backoff, attempt: int, error: BaseException | None, elapsed: float
) -> tuple[float | None, str | None]:
    """Return the seconds, within 0 and a year, and the type of the error that the function ended in."""
    try:
        delay = backoff(attempt, error, elapsed)
        if delay is None:
            return None, None
        if math.isnan(delay):
            raise ValueError("not a number")
        return min(max(float(delay), 0.0), float(DELAY_MAX_S)), None
    except Exception as own:  # noqa: BLE001 - an application's function; the failure must be recorded all the same
        return Exponential()(attempt), type(own).__name__


def _http_status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code"):
            status = getattr(holder, name, None)
            if isinstance(status, int):
                return status
    return None
