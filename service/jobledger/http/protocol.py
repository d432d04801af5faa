"""The documents of the worker protocol: what workers send, and what they are answered."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Any, Final, Literal, NotRequired
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

from pydantic import ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from jobledger.http.route import Document

CLAIM_MOST: Final = 1000
"""Jobs that one claim may ask for."""
REPORTS_MOST: Final = 2000
"""Outcomes that one request may report."""
HELD_MOST: Final = 100_000
"""Jobs that one heartbeat may name."""
WAIT_MOST_S: Final = 60
"""Seconds that a claim may wait for jobs."""
KINDS_MOST: Final = 1000
QUEUES_MOST: Final = 1000
TENANTS_MOST: Final = 10_000
LEASE_S: Final = 30
_MOST: Final = 2**31 - 1

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._:@/-]*$", max_length=128)]
Number = Annotated[int, Field(ge=1, le=_MOST)]
Count = Annotated[int, Field(ge=0, le=_MOST)]
Outcome = Literal["succeeded", "failed", "snoozed", "interrupted", "cancelled", "parked", "progressed"]


class NewWorker(Document):
    """What a worker takes: jobs of these kinds, of these queues and tenants only where they are given."""

    kinds: list[Name] = Field(min_length=1, max_length=KINDS_MOST, description="Names, with the earlier ones of each.")
    queues: dict[Name, Number | None] | None = Field(
        None,
        max_length=QUEUES_MOST,
        description="Queues with the concurrency that the worker has for each, or null. Left out: every queue.",
    )
    tenants: list[Name] | None = Field(
        None, max_length=TENANTS_MOST, description="Tenants; left out: every one of the key's."
    )
    lease_s: int = Field(LEASE_S, ge=2, le=3600, description="Seconds for which it may be silent. 2 to 3600.")
    about: dict[str, Any] = Field(default_factory=dict, description="Host, pid, version: what operators are shown.")


class Registered(Document):
    """The worker's id, under which it does everything, and its first lease."""

    worker: UUID
    lease_until: datetime
    lease_s: int


class Reported(TypedDict):
    """How one job ended; `claim` is the number that came with it."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # pydantic's own way

    id: UUID
    claim: Number
    outcome: Outcome
    data: NotRequired[dict[str, Any] | None]


class Reports(Document):
    """Outcomes, one a job."""

    reports: list[Reported] = Field(min_length=1, max_length=REPORTS_MOST)
    terse: bool = Field(False, description="Leave out the verdicts of what was accepted.")


class Judged(Document):
    """The answer to one report; `state` is the job's state now."""

    id: UUID
    verdict: Literal["accepted", "repeated", "rejected"]
    state: str | None
    reason: str | None = Field(description="Why it was rejected.")


class Verdicts(Document):
    """A verdict for each report."""

    verdicts: list[Judged]


class NewClaim(Document):
    """How many jobs are wanted, under which number, and how long to wait for the first of them."""

    call: Number = Field(
        description="The number of this claim: one more than the last. It is the request's identity: asked for again, "
        "it gives the same jobs."
    )
    n: int = Field(1, ge=1, le=CLAIM_MOST)
    wait_s: float = Field(0.0, ge=0, le=WAIT_MOST_S, description="Seconds to wait until there is a job. 0 to 60.")
    held: dict[Name, Count] = Field(
        default_factory=dict,
        max_length=TENANTS_MOST,
        description="Jobs that the worker runs, by tenant: whoever has many comes later.",
    )
    queues: dict[Name, Count] | None = Field(
        None, max_length=QUEUES_MOST, description="How many jobs each of its queues may give."
    )
    timeout_s: Count | None = Field(None, description="Leave jobs alone whose own time-out is longer.")
    reports: list[Reported] | None = Field(None, max_length=REPORTS_MOST, description="Outcomes, recorded first.")
    terse: bool = Field(False, description="Leave out the verdicts of what was accepted.")


class WorkJob(Document):
    """A job to be run. `data.args` are its arguments; `claim` goes back with its report."""

    id: UUID
    tenant: str
    queue: str
    kind: str
    priority: int
    attempt: int
    max_attempts: int
    claim: int
    run_at: datetime
    kill_at: datetime | None
    timeout: int = Field(description="Seconds that this attempt may take.")
    owner: str | None
    at: datetime = Field(description="The database's clock when it was claimed.")
    data: dict[str, Any] = Field(description="What it was enqueued with: args, tags, meta, trace.")


class Claimed(Document):
    """The jobs, none where none came in time; with reports in the request, the verdicts on them."""

    jobs: list[WorkJob]
    verdicts: list[Judged] | None = None


class OneClaim(Document):
    """The number of the claim, from the same count as those of any job."""

    call: Number


class Beat(Document):
    """What the worker holds. A simple one leaves out the numbers: then nothing is released by it."""

    held: list[UUID] = Field(default_factory=list, max_length=HELD_MOST)
    beat: Number | None = Field(None, description="The heartbeat's number, ascending; one that was overtaken is void.")
    settled: Count = Field(
        0, description="The last claim up to which all were answered or given up: what they took and is not held, goes."
    )
    stalled_s: float = Field(0.0, ge=0, le=1e9, description="Seconds for which the worker has stood still.")


class Renewed(Document):
    """The lease, and what became of jobs that the worker holds."""

    lease_until: datetime | None
    cancel: list[UUID] = Field(description="To be ended: somebody has asked for it. Report them as cancelled.")
    killed: list[UUID] = Field(description="To be ended: they were killed. Nothing is to be reported.")
    lost: list[UUID] = Field(description="To be ended: they are not this worker's any more.")
    released: list[UUID] = Field(description="Given back, as they were not held.")


class Stop(Document):
    """Why the worker ends."""

    reason: str | None = Field(None, max_length=2000)


class StatedKindDocument(Document):
    """A kind as its application states it."""

    version: int = Field(1, ge=1, le=_MOST, description="Of the arguments; raised when their meaning changes.")
    arguments: dict[str, Any] | None = Field(None, alias="schema", description="The JSON Schema of its arguments.")
    aliases: list[Name] = Field(default_factory=list, max_length=100, description="Its earlier names.")
    defaults: dict[str, Any] = Field(
        default_factory=dict,
        description="Its queue, max_attempts, timeout (s), kill_after (s), backoff, on_timeout (retry or fail).",
    )


class Changed(Document):
    """Whether it was new, or differed from what was registered."""

    changed: bool
