"""The events of a job. Each docstring says when the event happens and what it costs in attempts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from jobledger.events.data import Count, EventData, Measured, Moment, Text, WholeSeconds

KillRule = Literal["own", "kind", "tenant", "queue", "service"]
"""Whose rule set a kill date: the job's own, its kind's, tenant's or queue's default, or the service's."""


class ErrorClass(StrEnum):
    """What kind of trouble a failure was; only `permanent` forbids another attempt by itself."""

    TRANSIENT = "transient"
    QUOTA = "quota"
    PERMISSION = "permission"
    PERMANENT = "permanent"


class ErrorFacts(EventData):
    """What is kept of an error: the type's name, the message and the traceback (both limited), the class.

    What a worker left out is read as `Unknown`, an empty message, `transient`; an unknown class is `transient` too.
    """

    type: Text
    message: Text
    traceback: Text | None = None
    error_class: Annotated[ErrorClass, Field(alias="class")]

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: object) -> object:
        if isinstance(given, ErrorFacts):
            return given
        facts = dict(given) if isinstance(given, dict) else {} if given is None else {"message": given}
        known = facts.pop("error_class", facts.get("class"))
        facts["class"] = known if isinstance(known, str) and known in set(ErrorClass) else ErrorClass.TRANSIENT
        return {"type": "Unknown", "message": ""} | {key: value for key, value in facts.items() if value is not None}


class Enqueued(EventData):
    """The job was put into the queue; always its first event. No attempt has been made.

    A default that applies is not repeated: queue `default`, priority 0 (lower is sooner), 5 attempts, a time-out of
    1800 s, `run_at` = the event's own time. `kill_at` is absent only where the service's default rules.
    """

    TYPE: ClassVar[str] = "job.enqueued"

    kind: str
    args: Any
    queue: str = "default"
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    run_at: Moment | None = None
    max_attempts: Annotated[int, Field(ge=1)] = 5
    timeout: WholeSeconds = 1800
    owner: str | None = None
    # What follows is taken from the caller as it is, and must not make a stream unreadable: hence no narrower types.
    tags: tuple[str | None, ...] = ()
    meta: Any = None
    backoff: Any = None
    kill_at: Moment | None = None
    kill_rule: KillRule | None = None
    key: str | None = None
    unique: str | None = None
    trace: Any = None


class Claimed(EventData):
    """A worker took the job; its version is the claim, the fence of every report. Costs one attempt, which some
    endings give back.

    `call` is the number of the worker's claim call, `beat` the version of the worker's own stream at that moment.
    """

    TYPE: ClassVar[str] = "job.claimed"

    call: Count
    beat: Count


class Progressed(EventData):
    """The handler told how far it is: a number of its own choice (or none), a message, any detail. Costs nothing."""

    TYPE: ClassVar[str] = "job.progressed"

    progress: Any = None
    message: Text | None = None
    detail: Any = None


class Succeeded(EventData):
    """The handler returned. The attempt stays spent.

    `ran` is the handler's run time in seconds, absent below one millisecond; `result` is absent where it is null.
    """

    TYPE: ClassVar[str] = "job.succeeded"

    result: Any = None
    ran: Measured = None


class Failed(EventData):
    """This attempt failed, ran out of time, or was the third in a row that a worker released. The attempt stays spent.

    With `retry_at` the job waits until then; without, it has failed for good and is a dead letter.
    """

    TYPE: ClassVar[str] = "job.failed"

    error: ErrorFacts
    retry_at: Moment | None = None
    ran: Measured = None

    @model_validator(mode="before")
    @classmethod
    def _always_an_error(cls, given: object) -> object:
        return {"error": {}} | given if isinstance(given, dict) else given


class LeaseExpired(EventData):
    """The worker has been silent for longer than its lease, and the job was taken from it. The attempt stays spent.

    With `retry_at` the job waits until then; without, it has failed for good.
    """

    TYPE: ClassVar[str] = "job.lease_expired"

    retry_at: Moment | None = None


class Snoozed(EventData):
    """The handler asked to be run again later. The attempt is given back."""

    TYPE: ClassVar[str] = "job.snoozed"

    run_at: Moment
    reason: Text | None = None


class Interrupted(EventData):
    """The worker stopped and handed the job back. The attempt is given back."""

    TYPE: ClassVar[str] = "job.interrupted"

    reason: Text | None = None


class Released(EventData):
    """The worker said that it will never run the job: the claim's answer was lost, or its loop was stuck. The attempt
    is given back; two in a row are free, the third is a `job.failed` of type `ReleasedTooOften`.
    """

    TYPE: ClassVar[str] = "job.released"


class Parked(EventData):
    """The handler found that a person is needed: `needs` says what for. The attempt is given back; the kill date
    runs on.
    """

    TYPE: ClassVar[str] = "job.parked"

    reason: Text | None = None
    needs: Any = None


class Unparked(EventData):
    """A person let a parked job go on; it is due at once. Costs nothing."""

    TYPE: ClassVar[str] = "job.unparked"

    reason: str | None = None


class CancelRequested(EventData):
    """Someone asked a running job to stop; its handler is told, and may still end in any way. Costs nothing."""

    TYPE: ClassVar[str] = "job.cancel_requested"

    reason: str | None = None


class Cancelled(EventData):
    """The job was cancelled: at once while it waited, or by its handler while it ran (the attempt stays spent)."""

    TYPE: ClassVar[str] = "job.cancelled"

    reason: Text | None = None
    error: ErrorFacts | None = None


class Killed(EventData):
    """The job was ended from outside, by its kill date or by an operator. An attempt under way stays spent.

    `rule` says whose date it was, or that an operator acted.
    """

    TYPE: ClassVar[str] = "job.killed"

    rule: str
    reason: str | None = None


class Retried(EventData):
    """An operator gave a finished job that had not succeeded new attempts and a new kill date. Costs nothing.

    `max_attempts` is the new total, those already spent included.
    """

    TYPE: ClassVar[str] = "job.retried"

    max_attempts: Annotated[int, Field(ge=1)]
    kill_at: Moment
    kill_rule: KillRule
    run_at: Moment | None = None
    reason: str | None = None


class Rescheduled(EventData):
    """A waiting job got another time to run and another kill date. Costs nothing."""

    TYPE: ClassVar[str] = "job.rescheduled"

    run_at: Moment
    kill_at: Moment
    kill_rule: KillRule
    reason: str | None = None


class Reprioritised(EventData):
    """A waiting or parked job got another priority (lower is sooner). Costs nothing."""

    TYPE: ClassVar[str] = "job.reprioritised"

    priority: Annotated[int, Field(ge=-1000, le=1000)]
    reason: str | None = None


class Moved(EventData):
    """A waiting or parked job was moved to another queue. Costs nothing."""

    TYPE: ClassVar[str] = "job.moved"

    queue: str
    reason: str | None = None


class Redacted(EventData):
    """Named fields of a finished job's events were blanked, for the reason given. Costs nothing."""

    TYPE: ClassVar[str] = "job.redacted"

    fields: tuple[str, ...]
    reason: str
