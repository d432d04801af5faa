"""One endpoint at work: jobs come in one by one, go out in requests of up to a batch, and wait for their outcomes.

A job is under way from when it comes in until it has an outcome: by the answer to its request, by a report with its
token, or because its time is over. Whichever is first counts here; the fence in the database decides for good.

An endpoint that does not begin several times in a row is left alone for a while (`held`): its jobs wait at no cost, and
after that one request shows whether it is back.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from jobledger.delivery import signature
from jobledger.delivery.push_answer import (
    AnswerNotUnderstood,
    DeliveryNotStarted,
    NeverReported,
    Told,
    failure_of,
    not_started,
    report_of,
    told_of,
)
from jobledger.delivery.push_token import KEPT_S, PushToken
from jobledger.observations import PushDelivered, PushHeld, emit, listeners
from jobledger.worker.conclude import elapsed_s, failed_with, policy_for, timed_out
from jobledger.worker.slots import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from jobledger.delivery.sender import Sender, Sent
    from jobledger.jobs.outcomes import Failure
    from jobledger.lifecycle.retry import RetryPolicy
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pushes import Push
    from jobledger.store.service_key import ServiceKey
    from jobledger.worker.slots import Outcome, Slot

_log = logging.getLogger("jobledger.delivery")

BODY_BYTES: Final = 4 * 1024 * 1024
"""Bytes of jobs after which a request takes no more, however large its batch may be."""
ANSWER_JOB_BYTES: Final = 300_000
ANSWER_MOST_BYTES: Final = 16 * 1024 * 1024
SECRET_KEPT_S: Final = 86_400
"""For so long after a new secret requests are signed with the one before as well."""

_GATHER_S: Final = 0.004
_HOLD_AFTER: Final = 5
_BACKOFF_S: Final = (0.5, 60.0)
_TRY_AFTER_MOST_S: Final = 3600.0


class Wire(NamedTuple):
    """What all endpoints of a process share: who sends, the service's key, and where reports are sent."""

    sender: Sender
    key: ServiceKey
    url: str


class Errand:
    """One job on its way: until `outcome` has a result."""

    __slots__ = ("accepted", "job", "limit_s", "outcome", "policy", "retry_in", "slot", "timer")

    def __init__(self, job: ClaimedJob, slot: Slot, policy: RetryPolicy) -> None:
        """Begin; it waits to be sent."""
        self.job = job
        self.slot = slot
        self.policy = policy
        self.limit_s = 0.0
        self.retry_in: float | None = None
        self.accepted = False
        self.timer: asyncio.TimerHandle | None = None
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def depart(self, max_run: float) -> None:
        """Say that it is sent now: its time runs, and what follows a failure that the endpoint tells of is drawn."""
        left_s = self.job.timeout - (time.monotonic() - self.slot.started)
        self.limit_s = max(0.0, min(left_s, max_run))
        self.timer = asyncio.get_running_loop().call_later(self.limit_s, self.over)
        policy = policy_for(self.job, self.policy)
        decision = policy.decide(self.job.attempt, self.job.max_attempts, _UNTOLD, elapsed_s(self.job))
        self.retry_in = decision.retry_in

    def end(self, outcome: Outcome) -> None:
        """Give it its outcome, if it has none yet."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def failed(self, error: Failure) -> None:
        """End it as failed, by the kind's policy."""
        self.end(failed_with(self.job, self.policy, error))

    def over(self) -> None:
        """Its time is over."""
        self.end(self.overdue())

    def overdue(self) -> Outcome:
        """Return the outcome of a job whose time is over; one that was not even sent costs no attempt."""
        if self.timer is None:
            return ("interrupted", {"reason": "its endpoint had no room"})
        if self.accepted:
            return failed_with(self.job, self.policy, NeverReported("Accepted, and never reported."))
        return timed_out(self.job, self.policy)


class Endpoint:
    """Delivers the jobs of one push, which may be replaced meanwhile; `changed` is told when it opens or shuts."""

    def __init__(self, push: Push, wire: Wire, changed: Callable[[Endpoint], None]) -> None:
        """Begin with nothing under way."""
        self.push = push
        self.under_way = 0
        self.closed = False
        self._wire = wire
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Errand] = deque()
        self._errands: dict[UUID, Errand] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._gathering: asyncio.TimerHandle | None = None
        self._in_row = 0
        self._holds = 0
        self._held_until = 0.0
        self._unproven = False

    @property
    def room(self) -> int:
        """Count the jobs that may be under way now: none while it is held, one batch until it has begun again."""
        if self._held_until > time.monotonic():
            return 0
        return min(self.push.batch, self.push.concurrency) if self._unproven else self.push.concurrency

    async def deliver(self, job: ClaimedJob, slot: Slot, policy: RetryPolicy) -> Outcome:
        """Deliver a job and return its outcome; cancelled, it is given up here, whatever the endpoint does."""
        hold_s = self._held_until - time.monotonic()
        if hold_s > 0 and not self.closed:
            return self._put_off(slot, hold_s, "its endpoint is left alone for a while")
        errand = Errand(job, slot, policy)
        self._errands[job.id] = errand
        self._waiting.append(errand)
        self._offer()
        try:
            return await errand.outcome
        except asyncio.CancelledError:
            if slot.ending is Ending.TIMED_OUT:
                return errand.overdue()
            raise
        finally:
            if errand.timer is not None:
                errand.timer.cancel()
            errand.outcome.cancel()
            if self._errands.get(job.id) is errand:
                del self._errands[job.id]

    @property
    def busy(self) -> bool:
        """Whether any job is with it."""
        return bool(self._errands)

    def change(self, push: Push) -> None:
        """Go by another setting from now on; what was held is tried again."""
        self.push = push
        self._held_until = 0.0
        self._changed(self)

    def reported(self, job: UUID, claim: int, outcome: Outcome) -> bool:
        """End a job whose outcome was recorded by its token; false where it is not under way here."""
        errand = self._errands.get(job)
        if errand is None or errand.job.claim != claim or errand.outcome.done():
            return False
        errand.slot.recorded = True
        errand.end(outcome)
        return True

    async def close(self) -> None:
        """Give up the requests under way."""
        self.closed = True
        if self._gathering is not None:
            self._gathering.cancel()
        for task in tuple(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    # ---- sending

    def _offer(self) -> None:
        if min(len(self._waiting), self.push.concurrency - self.under_way) >= self.push.batch:
            self._send_all()
        elif self._gathering is None and not self.closed:
            # A claim's jobs come one after the other, within a turn of the loop or two, and so do places.
            self._gathering = self._loop.call_later(_GATHER_S, self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        self._send_all()

    def _send_all(self) -> None:
        while self._waiting and self.under_way < self.push.concurrency and not self.closed:
            errands = self._next_batch()
            if not errands:
                return
            self.under_way += len(errands)
            task = self._loop.create_task(self._send(errands), name="jobledger-push")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            ended = functools.partial(self._ended, task, errands)
            for errand in errands:
                errand.outcome.add_done_callback(ended)

    def _ended(self, task: asyncio.Task[None], errands: Sequence[Errand], _: asyncio.Future[Outcome]) -> None:
        self.under_way -= 1
        if all(errand.outcome.cancelled() for errand in errands):
            # Nobody wants its answer any more: an endpoint that looks at its connection can stop.
            task.cancel()
        if self._waiting:
            self._offer()

    def _next_batch(self) -> list[Errand]:
        most = min(self.push.batch, self.push.concurrency - self.under_way)
        errands: list[Errand] = []
        size = 0
        while self._waiting and len(errands) < most and size < BODY_BYTES:
            errand = self._waiting.popleft()
            if not errand.outcome.done():
                errands.append(errand)
                size += len(errand.job.data)
        return errands

    async def _send(self, errands: Sequence[Errand]) -> None:
        try:
            await self._request(errands)
        except Exception:  # noqa: BLE001 - whatever it is, the jobs must end
            _log.exception("a delivery to the endpoint of %s failed", self.push.queue)
            for errand in errands:
                errand.failed(DeliveryNotStarted("The delivery could not start: a fault of the service."))

    async def _request(self, errands: Sequence[Errand]) -> None:
        push = self.push
        documents: list[orjson.Fragment] = []
        for errand in errands:
            errand.depart(push.max_run)
            try:
                documents.append(orjson.Fragment(orjson.dumps(self._document(errand))))
            except (TypeError, ValueError, RecursionError):
                errand.failed(DeliveryNotStarted("The delivery could not start: the job has no JSON form."))
        errands = [errand for errand in errands if not errand.outcome.done()]
        if not errands:
            return
        first = errands[0].job
        limit_s = max(errand.limit_s for errand in errands)
        body = orjson.dumps({"queue": push.queue, "jobs": documents})
        label = push_label(push.queue, push.tenant)
        kept = int(0 <= (datetime.now(UTC) - push.rotated_at).total_seconds() < SECRET_KEPT_S)
        secrets = signature.secrets(self._wire.key, label, push.generation, kept=kept)
        # One claim of a job is delivered once: its first job and claim name a delivery.
        headers = {"Content-Type": "application/json", **signature.sign(secrets, f"{first.id}_{first.claim}", body)}
        most = min(ANSWER_MOST_BYTES, ANSWER_JOB_BYTES * len(errands))
        sent = await self._wire.sender.post(push.url, body, headers, timeout_s=limit_s, answer_bytes=most)
        if listeners:
            emit(PushDelivered(push.queue, push.tenant, len(errands), sent.status, sent.fault, sent.elapsed_s))
        if not_started(sent):
            self._not_started(errands, sent)
            return
        self._in_row = self._holds = 0
        if self._unproven:
            self._unproven = False
            self._held_until = 0.0
            self._changed(self)
        self._answered(errands, sent)

    def _document(self, errand: Errand) -> dict[str, Any]:
        """Return what the endpoint is told of a job. References to secrets stay references."""
        job, home = errand.job, errand.slot.home
        stated = orjson.loads(job.data)
        assert home is not None  # noqa: S101 - a slot that runs a job has a home
        expires = int(time.time() + errand.limit_s) + KEPT_S
        token = PushToken(home.id, job.id, job.claim, expires, errand.retry_in).sign(self._wire.key)
        return {
            "id": str(job.id),
            "kind": job.kind,
            "args": stated.get("args") or {},
            "attempt": job.attempt,
            "max_attempts": job.max_attempts,
            "deadline": (home.now() + timedelta(seconds=errand.limit_s)).isoformat(),
            "tenant": job.tenant,
            "owner": job.owner,
            "queue": job.queue,
            "tags": stated.get("tags") or [],
            "meta": stated.get("meta") or {},
            "token": token,
            "report_url": f"{self._wire.url}/v1/pushed/{token}",
        }

    # ---- what came of it

    def _answered(self, errands: Sequence[Errand], sent: Sent) -> None:
        if sent.fault == "timeout":
            for errand in errands:
                errand.over()
            return
        if not sent.ok:
            error = failure_of(sent)
            for errand in errands:
                errand.failed(error)
            return
        told = told_of(sent, [errand.job.id for errand in errands])
        for errand in errands:
            self._take(errand, told.get(errand.job.id))

    def _take(self, errand: Errand, told: Told | Failure | None) -> None:
        if told is None:
            errand.failed(AnswerNotUnderstood("The endpoint's answer has no outcome for this job."))
        elif not isinstance(told, Told):
            errand.failed(told)
        elif told.outcome == "accepted":
            errand.accepted = True
        else:
            now = None if errand.slot.home is None else errand.slot.home.now()
            errand.end(report_of(told, errand.retry_in, now))

    def _not_started(self, errands: Sequence[Errand], sent: Sent) -> None:
        self._in_row += 1
        wait_s = min(_BACKOFF_S[1], _BACKOFF_S[0] * 2 ** min(self._holds, 10))
        wait_s *= random.uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
        wait_s = max(wait_s, min(sent.retry_after_s or 0.0, _TRY_AFTER_MOST_S))
        # Many requests may fail at once: they are one hold.
        if (self._in_row >= _HOLD_AFTER or self._unproven or sent.retry_after_s) and self.room:
            self._hold(wait_s)
        why = f"The delivery could not start: {sent.told}."
        for errand in errands:
            if self.push.start_failure == "free":
                errand.end(self._put_off(errand.slot, wait_s, why))
            else:
                errand.failed(DeliveryNotStarted(why))

    def _hold(self, wait_s: float) -> None:
        self._held_until = time.monotonic() + wait_s
        self._unproven = True
        self._holds += 1
        emit(PushHeld(self.push.queue, self.push.tenant, self._in_row, wait_s))
        self._changed(self)
        self._loop.call_later(wait_s + 0.001, self._changed, self)

    def _put_off(self, slot: Slot, wait_s: float, why: str) -> Outcome:
        now = datetime.now(UTC) if slot.home is None else slot.home.now()
        return ("snoozed", {"run_at": (now + timedelta(seconds=wait_s)).isoformat(), "reason": why})


_UNTOLD: Final = RuntimeError("told by the endpoint")


def push_label(queue: str, tenant: str | None) -> str:
    """Return the label that the secret of a push is derived by; names hold no blanks."""
    return f"push:{queue} {tenant or ''}"
