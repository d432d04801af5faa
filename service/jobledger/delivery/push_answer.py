"""From what an endpoint says to the outcome of its jobs: the answer to a delivery, and reports by token."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobledger.events import ErrorClass
from jobledger.jobs.outcomes import MESSAGE_LIMIT, REASON_LIMIT, Failure

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.delivery.sender import Sent
    from jobledger.worker.slots import Outcome

REFUSED: Final = frozenset({429, 503})
"""Statuses by which an endpoint says that it has not begun: it has no room, or is not there."""

_CLASSES: Final = {
    **dict.fromkeys((400, 413, 415, 422, 501), ErrorClass.PERMANENT),
    **dict.fromkeys((401, 402, 403, 407), ErrorClass.PERMISSION),
    507: ErrorClass.QUOTA,
}
_DELAY_MOST_S: Final = 366 * 86_400


class ToldError(BaseModel):
    """What went wrong, as the endpoint tells it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str = Field("EndpointFailed", max_length=200, description="The kind of error, one word.")
    message: str = Field("", max_length=MESSAGE_LIMIT)
    error_class: ErrorClass = Field(
        ErrorClass.TRANSIENT, alias="class", description="`permanent` errors are not tried again."
    )


class Told(BaseModel):
    """How a job ended, as the endpoint tells it: in the answer to a delivery, or by the job's token.

    `accepted` (in an answer only): it works on the job, and reports by the token. `progressed` does not end the job.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    outcome: Literal["succeeded", "failed", "snoozed", "cancelled", "parked", "progressed", "accepted"]
    result: Any = Field(None, description="Of a job that succeeded: any JSON.")
    error: ToldError | None = Field(None, description="Of a job that failed.")
    retry_in: float | None = Field(
        None, ge=0, le=_DELAY_MOST_S, description="Seconds until the next attempt; left out: as the kind has it."
    )
    final: bool = Field(False, description="It failed for good.")
    delay: float | None = Field(None, ge=0, le=_DELAY_MOST_S, description="Seconds that a snoozed job waits.")
    reason: str | None = Field(None, max_length=REASON_LIMIT)
    needs: str | None = Field(None, max_length=REASON_LIMIT, description="What a parked job waits for.")
    progress: float | None = Field(None, ge=0, le=1)


class EndpointFailed(Failure):
    """The endpoint answered with an error, or told of one."""

    def __init__(self, message: str, error_class: ErrorClass = ErrorClass.TRANSIENT) -> None:
        """Keep the class, by which the kind's policy goes."""
        super().__init__(message)
        self.error_class = error_class  # type: ignore[misc]


class DeliveryNotStarted(Failure):
    """The delivery could not start: no connection, or the endpoint took nothing."""


class NeverReported(Failure):
    """The endpoint accepted the job and did not report in time."""


class AnswerNotUnderstood(Failure):
    """The endpoint answered with what is no outcome."""


class EndpointLost(Failure):
    """The connection broke off before the endpoint had answered; whether it ran the job is not known."""


def not_started(sent: Sent) -> bool:
    """Say whether a delivery came to nothing before the endpoint began."""
    return not sent.reached or sent.status in REFUSED or sent.fault == "redirect"


def failure_of(sent: Sent) -> Failure:
    """Return the error that an answer other than 2xx is."""
    if sent.fault == "answer":
        return AnswerNotUnderstood("The endpoint's answer is too long, or is no HTTP.")
    if sent.status is None:
        return EndpointLost(f"The endpoint did not answer: {sent.told}.")
    return EndpointFailed(f"The endpoint answered with {sent.told}.", class_of(sent.status))


def class_of(status: int) -> ErrorClass:
    """Return the class of an error status; all that is not named is transient."""
    return _CLASSES.get(status, ErrorClass.TRANSIENT)


def told_of(sent: Sent, jobs: list[UUID]) -> dict[UUID, Told | Failure]:
    """Return what a 2xx answer tells of each job; those it does not name are not in it.

    202 accepts all; no body: all succeeded. Else `{"jobs": [{"id", "outcome", …}, …]}`, or for one job its outcome.
    """
    if sent.status == 202:
        return dict.fromkeys(jobs, Told(outcome="accepted"))
    if not sent.body.strip():
        return dict.fromkeys(jobs, Told(outcome="succeeded"))
    try:
        document = orjson.loads(sent.body)
        if not isinstance(document, dict):
            raise ValueError
    except ValueError:
        return dict.fromkeys(jobs, AnswerNotUnderstood("The endpoint's answer is no JSON object."))
    if "jobs" not in document:
        if len(jobs) == 1:
            return {jobs[0]: _told(document)}
        return dict.fromkeys(jobs, AnswerNotUnderstood("The endpoint's answer has no `jobs`."))
    wanted = {str(job): job for job in jobs}
    found: dict[UUID, Told | Failure] = {}
    for one in document["jobs"] if isinstance(document["jobs"], list) else ():
        job = wanted.get(str(one.get("id"))) if isinstance(one, dict) else None
        if job is not None:
            found[job] = _told({key: value for key, value in one.items() if key != "id"})
    return found


def report_of(told: Told, retry_in: float | None, now: datetime | None = None) -> Outcome:
    """Return outcome and data of the report; `retry_in` is what the kind's policy has for a failure (None: final)."""
    if told.outcome == "succeeded":
        return ("succeeded", {"result": told.result} if told.result is not None else None)
    said: dict[str, Any] = {"reason": told.reason} if told.reason else {}
    if told.outcome == "failed":
        error = told.error or ToldError()
        data = {**said, "error": {"type": error.type, "message": error.message, "class": str(error.error_class)}}
        wait_s = told.retry_in if told.retry_in is not None else retry_in
        if told.final or wait_s is None or error.error_class is ErrorClass.PERMANENT:
            return ("failed", {**data, "final": True})
        return ("failed", {**data, "retry_in": wait_s})
    if told.outcome == "snoozed":
        until = (now or datetime.now(UTC)) + timedelta(seconds=told.delay or 0.0)
        return ("snoozed", {**said, "run_at": until.isoformat()})
    if told.outcome == "parked":
        needs = {"needs": told.needs} if told.needs else {}
        return ("parked", {"reason": told.reason or "parked", **needs})
    if told.outcome == "progressed":
        return ("progressed", said | ({"progress": told.progress} if told.progress is not None else {}))
    return (told.outcome, said or None)


def _told(document: dict[str, Any]) -> Told | Failure:
    try:
        told = Told.model_validate(document)
    except ValidationError as error:
        known = {"class", *Told.model_fields}
        named = {str(fault["loc"][0]) for fault in error.errors(include_input=False) if fault["loc"]}
        # Names that it made up itself are not passed on: see `sender`.
        fields = sorted(named & known) + (["a field that there is not"] if named - known else [])
        return AnswerNotUnderstood(f"The endpoint's answer does not fit in {', '.join(fields)}.")
    if told.outcome == "progressed":
        return AnswerNotUnderstood("Progress is reported by the job's token, not in an answer.")
    return told
