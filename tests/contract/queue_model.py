"""What the queue should do, in plain Python: each job is the pure fold of the events that the model predicts for it.

The model knows no table and no SQL. It decides who may get a job, whether a report counts and what the clockwork brings
about; which state an event leads to is left to `jobledger.lifecycle`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobledger.errors import (
    IdempotencyMismatch,
    LeaseOver,
    NotFound,
    NotOpen,
    NotWaiting,
    UniqueTaken,
    UnknownKind,
    UnknownWorker,
)
from jobledger.events import Event
from jobledger.ids import first_id_at
from jobledger.lifecycle import Job, State, evolve, state_at

from .queue_facts import ACTS_ON, DEFAULTS, ENDINGS, WEEK, Incarnation, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from jobledger.store.enqueue import NewJob


class QueueModel:
    """Jobs, workers, keys, pauses and limits, by one clock that only the test moves."""

    def __init__(self, now: datetime, opened_at: datetime) -> None:
        """Begin with nothing, open since `opened_at`."""
        self.now = now
        self.opened_at: datetime | None = opened_at
        self.jobs: dict[UUID, Told] = {}
        self.workers: dict[UUID, Incarnation] = {}
        self.keys: dict[tuple[str, str], tuple[UUID, Any, datetime]] = {}
        self.uniques: dict[tuple[str, str], UUID] = {}
        self.kinds: dict[str, tuple[int, dict[str, Any]]] = {}
        self.paused: dict[tuple[str, str], datetime] = {}
        self.touched: dict[tuple[str, str], datetime] = {}
        self.limits: dict[tuple[str, str], dict[str, Any]] = {}
        self.copied: dict[UUID, tuple[int, str]] | None = None

    def append(
        self, id_: UUID, type_: str, data: dict[str, Any] | None = None, worker: UUID | None = None, **columns: Any
    ) -> Job:
        """Predict one event of a job: its fold, its place by the event's own clock, and its unique key."""
        told = self.jobs[id_]
        event = Event(
            position=1,
            stream_id=id_,
            version=told.job.head + 1,
            type=type_,
            at=self.now,
            tenant=told.job.tenant,
            worker=worker,
            data=data,
            **columns,
        )
        told.job = evolve(told.job, event)
        told.log.append(event)
        told.place = self.place_of(told)
        if told.job.finished and told.job.unique_key is not None:
            self.uniques.pop((told.job.tenant, told.job.unique_key), None)
        return told.job

    @staticmethod
    def place_of(told: Told) -> str:
        """Return where the fold puts a job: by the clock of its own last event."""
        if told.job.state is State.READY:
            return "ready" if told.job.run_at <= told.log[-1].at else "scheduled"
        return "finished" if told.job.finished else told.job.state.value

    def state(self, id_: UUID) -> str | None:
        """Return the state of a job by the clock of now."""
        told = self.jobs.get(id_)
        return None if told is None else state_at(told.job, self.now).value

    def must_be_open(self) -> None:
        """Refuse what needs the live tables."""
        if self.opened_at is None:
            raise NotOpen

    def running_of(self, worker: UUID) -> list[UUID]:
        """Return the jobs a worker runs, by id."""
        return sorted(id_ for id_, told in self.jobs.items() if told.job.worker == worker)

    # Enqueue

    def default_of(self, name: str, kind: str, tenant: str, queue: str) -> tuple[Any, str]:
        """Return a default and whose it is: the kind's limit, its declaration, the queue's, tenant's, service's."""
        declared = self.kinds.get(kind, (0, {}))[1]
        for scope, found in (
            ("kind", self.limits.get(("kind", kind), {}).get(name)),
            ("kind", declared.get(name)),
            ("queue", self.limits.get(("queue", queue), {}).get(name)),
            ("tenant", self.limits.get(("tenant", tenant), {}).get(name)),
            ("service", self.limits.get(("service", ""), {}).get(name)),
        ):
            if found is not None:
                return found, scope
        return DEFAULTS[name], "service"

    def queue_of(self, new: NewJob) -> str:
        """Return the queue that a new job goes to."""
        return new.queue or self.kinds.get(new.kind, (0, {}))[1].get("queue") or "default"

    def content_of(self, new: NewJob) -> tuple[Any, ...]:
        """Return what makes two requests of one idempotency key the same."""
        return (new.kind, self.queue_of(new), repr(new.args), new.owner)

    def enqueue(self, batch: Sequence[NewJob], ids: Sequence[UUID], *, strict: bool, many: bool) -> list[Any]:
        """Predict the answer (id, created) for each, or the error for all."""
        if strict and any(new.kind not in self.kinds for new in batch):
            raise UnknownKind
        taken: dict[tuple[str, str], tuple[UUID, Any, datetime]] = {}
        fresh: list[tuple[NewJob, UUID]] = []
        answers: list[tuple[UUID, bool]] = []
        mismatch = False
        for new, id_ in zip(batch, ids, strict=True):
            kept = None
            if new.key is not None:
                kept = taken.get((new.tenant, new.key)) or self.keys.get((new.tenant, new.key))
                if kept is None or kept[2] <= self.now:
                    kept = None
                    taken[new.tenant, new.key] = (id_, self.content_of(new), self.now + timedelta(hours=24))
            if kept is None:
                fresh.append((new, id_))
                answers.append((id_, True))
            else:
                mismatch = mismatch or kept[1] != self.content_of(new)
                answers.append((kept[0], False))
        if mismatch and not many:
            raise IdempotencyMismatch
        wanted = [(new.tenant, new.unique_key) for new, _ in fresh if new.unique_key is not None]
        if len(set(wanted)) < len(wanted) or any(name in self.uniques for name in wanted):
            raise UniqueTaken
        if mismatch:
            raise IdempotencyMismatch
        self.keys |= taken
        for new, id_ in fresh:
            self._born(new, id_)
        return answers

    def _born(self, new: NewJob, id_: UUID) -> None:
        queue = self.queue_of(new)
        kill_after, rule = self.default_of("kill_after", new.kind, new.tenant, queue)
        kill_at = new.kill_at
        if kill_at is not None:
            rule = "own"
        elif kill_after is not None or (new.run_at is not None and new.run_at > self.now):
            kill_at = (new.run_at or self.now) + timedelta(seconds=kill_after or WEEK.total_seconds())
        budget = new.max_attempts or self.default_of("max_attempts", new.kind, new.tenant, queue)[0]
        data: dict[str, Any] = {
            "kind": new.kind,
            "args": new.args or {},
            "queue": queue,
            "priority": new.priority or 0,
            "max_attempts": budget,
            "timeout": new.timeout or self.default_of("timeout", new.kind, new.tenant, queue)[0],
            "run_at": new.run_at,
            "kill_at": kill_at,
            "kill_rule": rule if kill_at is not None else None,
            "owner": new.owner,
            "tags": new.tags,
            "key": new.key,
            "unique": new.unique_key,
        }
        event = Event(
            position=1,
            stream_id=id_,
            version=1,
            type="job.enqueued",
            at=self.now,
            tenant=new.tenant,
            data={name: value for name, value in data.items() if value is not None},
        )
        told = Told(evolve(None, event), [event], "", budget)
        told.place = self.place_of(told)
        self.jobs[id_] = told
        if new.unique_key is not None:
            self.uniques[new.tenant, new.unique_key] = id_

    # Claims

    def may_claim(self, worker: UUID) -> Incarnation:
        """Return the worker, or refuse it."""
        self.must_be_open()
        found = self.workers.get(worker)
        if found is None:
            raise UnknownWorker
        if found.stopped or found.lease_until <= self.now:
            raise LeaseOver
        return found

    def past_kill_date(self, job: Job) -> bool:
        """Tell whether a job is past its kill date: its own, else a week after the time in its id."""
        if job.kill_at is not None:
            return job.kill_at <= self.now
        return job.id < first_id_at(self.now - WEEK)

    def is_held(self, job: Job) -> bool:
        """Tell whether a pause of its tenant, queue or kind holds a job."""
        names = {("tenant", job.tenant), ("queue", job.queue), ("kind", job.kind)}
        return not names.isdisjoint(self.paused)

    def claimable(self, worker: Incarnation) -> dict[UUID, Job]:
        """Return what this worker may get now."""
        return {
            id_: told.job
            for id_, told in self.jobs.items()
            if told.place == "ready"
            and told.job.kind in worker.kinds
            and (worker.tenants is None or told.job.tenant in worker.tenants)
            and (worker.queues is None or told.job.queue in worker.queues)
            and not self.is_held(told.job)
            and not self.past_kill_date(told.job)
        }

    def claimed(self, worker: Incarnation, id_: UUID, call: int) -> Job:
        """Predict the claim of one job."""
        data = {"call": call, "beat": worker.head}
        return self.append(id_, "job.claimed", data, worker.id, attempt=self.jobs[id_].job.attempt + 1)

    def claim_job(self, worker_id: UUID, id_: UUID, call: int) -> Job:
        """Predict the claim of a job by its id."""
        worker = self.may_claim(worker_id)
        told = self.jobs.get(id_)
        if told is None or (worker.tenants is not None and told.job.tenant not in worker.tenants):
            raise NotFound
        if told.job.kind not in worker.kinds:
            raise UnknownKind
        if told.job.state is not State.READY or self.past_kill_date(told.job):
            raise NotWaiting
        return self.claimed(worker, id_, call)

    # Reports

    def report(
        self, worker: UUID, reports: Sequence[tuple[UUID, int, str, dict[str, Any] | None]]
    ) -> dict[UUID, tuple[str, str | None, str | None]]:
        """Predict the verdicts: (verdict, state, reason) by job."""
        self.must_be_open()
        verdicts: dict[UUID, tuple[str, str | None, str | None]] = {}
        refused = []
        for id_, claim, outcome, data in sorted(reports):
            told = self.jobs.get(id_)
            if told is not None and told.job.worker == worker and told.job.claim == claim:
                verdicts[id_] = ("accepted", self._ended(told, outcome, data).state.value, None)
            else:
                refused.append((id_, claim, outcome))
        for id_, claim, outcome in refused:
            verdicts[id_] = self._rejected(worker, id_, claim, outcome)
        return verdicts

    def _ended(self, told: Told, outcome: str, data: dict[str, Any] | None) -> Job:
        job = told.job
        if job.cancel_requested and outcome not in {"succeeded", "progressed", "cancelled"}:
            outcome = "cancelled"
        elif outcome == "failed":
            said = dict(data or {})
            retry_in, retry_at = said.pop("retry_in", None), said.pop("retry_at", None)
            if not said.pop("final", False) and job.attempt < job.max_attempts:
                wait = retry_in if retry_in is not None else min(3600, 2 ** min(job.attempt, 12))
                said["retry_at"] = retry_at or (self.now + timedelta(seconds=wait)).isoformat()
            data = said
        return self.append(job.id, f"job.{outcome}", data, job.worker, attempt=job.attempt)

    def _rejected(self, worker: UUID, id_: UUID, claim: int, outcome: str) -> tuple[str, str | None, str | None]:
        told = self.jobs.get(id_)
        log = told.log if told is not None else []
        later = [event.version for event in log if event.type == "job.claimed" and event.version > claim]
        until = min(later, default=len(log) + 1)
        ended = [e.type for e in log[max(claim, 0) : until - 1] if e.worker == worker and e.type in ENDINGS]
        own = 0 < claim <= len(log) and (log[claim - 1].type, log[claim - 1].worker) == ("job.claimed", worker)
        if ended and own and ended[0] in {f"job.{outcome}", "job.cancelled"}:
            return "repeated", self.state(id_), None
        found = self.workers.get(worker)
        if found is not None and (id_, claim) not in found.rejected:
            found.rejected.add((id_, claim))
            found.head += 1
        if told is None:
            return "rejected", None, "unknown_job"
        if told.job.finished:
            return "rejected", self.state(id_), "finished"
        return "rejected", self.state(id_), "claimed_elsewhere" if told.job.state is State.RUNNING else "not_running"

    # Workers

    def heartbeat(self, worker_id: UUID, beat: int, settled: int, held: Iterable[UUID]) -> set[tuple[str, UUID | None]]:
        """Predict what a heartbeat releases and says."""
        self.must_be_open()
        worker = self.workers.get(worker_id)
        if worker is None:
            raise UnknownWorker
        if worker.stopped:
            raise LeaseOver
        said: set[tuple[str, UUID | None]] = {("lease", None)}
        held = set(held)
        if beat > worker.beat:
            mine = self.running_of(worker_id)
            long = [i for i in mine if i in held and (self.jobs[i].job.claimed_at or self.now) <= worker.seen_at]
            for id_ in mine:
                if id_ not in held and (self.jobs[id_].job.call or 0) <= settled:
                    self._released(worker, self.jobs[id_].job)
                    said.add(("released", id_))
            worker.lease_until, worker.seen_at, worker.beat = self.now + worker.lease, self.now, beat
            worker.head += bool(long)
        for id_ in held:
            told = self.jobs.get(id_)
            if told is None or told.job.worker != worker_id:
                said.add(("killed" if told is not None and told.job.state is State.KILLED else "lost", id_))
            elif told.job.cancel_requested:
                said.add(("cancel", id_))
        return said

    def _released(self, worker: Incarnation, job: Job) -> None:
        if job.cancel_requested:
            self.append(job.id, "job.cancelled", None, worker.id, attempt=job.attempt)
        elif job.releases < 2:
            self.append(job.id, "job.released", None, worker.id, attempt=job.attempt)
        else:
            error = {"type": "ReleasedTooOften", "message": "", "class": "transient"}
            again = {"retry_at": self.now.isoformat()} if job.attempt < job.max_attempts else {}
            self.append(job.id, "job.failed", {"error": error, **again}, worker.id, attempt=job.attempt)

    def stop(self, worker_id: UUID) -> None:
        """Predict the end of a worker."""
        worker = self.workers.get(worker_id)
        if worker is None:
            raise UnknownWorker
        worker.head += 1
        worker.stopped = True
        worker.lease_until = min(worker.lease_until, self.now)

    # The clockwork

    def tick(self, up_since: datetime, real_now: datetime) -> dict[str, int]:
        """Predict what time brings about; where rows lie that pauses move in slices is read afterwards."""
        self.must_be_open()
        counts = dict.fromkeys(("promoted", "rescued", "timed_out", "killed", "keys_expired"), 0)
        for told in self.jobs.values():
            if told.place == "scheduled" and told.job.run_at <= self.now:
                counts["promoted"] += 1
                told.place = "held" if self.is_held(told.job) else "ready"
        counts["rescued"] = self._rescue(up_since, real_now)
        counts["timed_out"] = self._time_out()
        for told in list(self.jobs.values()):
            if told.job.open and self.past_kill_date(told.job):
                counts["killed"] += 1
                rule = told.job.kill_rule or "service"
                self.append(told.job.id, "job.killed", {"rule": rule}, told.job.worker)
        holding = {told.job.worker for told in self.jobs.values() if told.job.worker is not None}
        for worker in list(self.workers.values()):
            if worker.lease_until < self.now - timedelta(days=7) and worker.id not in holding:
                del self.workers[worker.id]
        for name, kept in list(self.keys.items()):
            if kept[2] <= self.now:
                counts["keys_expired"] += 1
                del self.keys[name]
        return counts

    def _rescue(self, up_since: datetime, real_now: datetime) -> int:
        rescued = 0
        for worker in sorted(self.workers.values(), key=lambda one: one.id):
            grace = max(self.opened_at or self.now, up_since) + worker.lease <= max(self.now, real_now)
            if worker.lease_until <= self.now and (worker.stopped or grace):
                for id_ in self.running_of(worker.id):
                    rescued += 1
                    self._lost(self.jobs[id_].job, "job.lease_expired", {}, self.now)
        return rescued

    def _time_out(self) -> int:
        ended = 0
        for told in self.jobs.values():
            job = told.job
            if job.state is State.RUNNING and job.claimed_at is not None and job.worker is not None:
                lease = self.workers[job.worker].lease
                if job.claimed_at + timedelta(seconds=job.timeout) + lease <= self.now:
                    ended += 1
                    told_s = self.kinds[job.kind][1]["backoff"]["delay"] if job.kind in self.kinds else None
                    again = self.now + timedelta(seconds=told_s or min(3600, 2 ** min(job.attempt, 12)))
                    error = {"type": "TimedOut", "message": "", "class": "transient"}
                    self._lost(job, "job.failed", {"error": error}, again)
        return ended

    def _lost(self, job: Job, type_: str, data: dict[str, Any], again: datetime) -> None:
        if job.cancel_requested:
            self.append(job.id, "job.cancelled", None, job.worker, attempt=job.attempt)
        else:
            retry = {"retry_at": again.isoformat()} if job.attempt < job.max_attempts else {}
            self.append(job.id, type_, data | retry, job.worker, attempt=job.attempt)

    def may_lie(self, told: Told, place: str) -> bool:
        """Tell whether a ready job may lie there after a tick: fresh pauses hold at once, others by and by."""
        names = [("tenant", told.job.tenant), ("queue", told.job.queue), ("kind", told.job.kind)]
        since = [self.paused[name] for name in names if name in self.paused]
        if since:
            return place == "held" or (place == "ready" and max(since) <= self.now - timedelta(minutes=1))
        ended = [at for name, at in self.touched.items() if name not in self.paused]
        # What no worker can take is held whatever was paused: by one tick in eight, so by and by.
        let_go = all(at <= self.now - timedelta(minutes=5) for at in ended) or not self.may_be_taken(told.job)
        return place == "ready" or let_go

    def may_be_taken(self, job: Job) -> bool:
        """Tell whether some worker that lives could claim the job."""
        return any(
            job.kind in worker.kinds
            and (worker.tenants is None or job.tenant in worker.tenants)
            and (worker.queues is None or job.queue in worker.queues)
            for worker in self.workers.values()
            if not worker.stopped and worker.lease_until > self.now
        )

    # Operators

    def act(
        self, act: str, tenant: str | None, ids: Iterable[UUID], reason: str, data: dict[str, Any]
    ) -> dict[UUID, Any]:
        """Predict (verdict, state) by job."""
        self.must_be_open()
        return {id_: self._act_on(act, tenant, id_, reason, data) for id_ in sorted(set(ids))}

    def _act_on(
        self, act: str, tenant: str | None, id_: UUID, reason: str, data: dict[str, Any]
    ) -> tuple[str, str | None]:
        told = self.jobs.get(id_)
        if told is None or (tenant is not None and told.job.tenant != tenant):
            return "not_found", None
        job = told.job
        if self.state(id_) not in ACTS_ON[act]:
            return "wrong_state", self.state(id_)
        said: dict[str, Any] = {"reason": reason}
        if act == "retry":
            if job.unique_key is not None:
                if (job.tenant, job.unique_key) in self.uniques:
                    return "unique_taken", self.state(id_)
                self.uniques[job.tenant, job.unique_key] = id_
            budget = {"max_attempts": min(job.attempt + data.get("attempts", told.budget), 32000)}
            job = self.append(id_, "job.retried", said | self._new_dates(job, data) | budget)
        elif act == "cancel" and job.state is State.RUNNING:
            if not job.cancel_requested:
                self.append(id_, "job.cancel_requested", said)
            return "requested", "running"
        elif act == "reschedule":
            job = self.append(id_, "job.rescheduled", said | self._new_dates(job, data))
        else:
            type_ = {"cancel": "cancelled", "kill": "killed", "unpark": "unparked", "move": "moved"}.get(act, act + "d")
            more = {"rule": "operator"} if act == "kill" else data
            job = self.append(id_, f"job.{type_}", said | more)
        return "done", job.state.value

    def _new_dates(self, job: Job, data: dict[str, Any]) -> dict[str, Any]:
        run_at = datetime.fromisoformat(data["run_at"]) if "run_at" in data else self.now
        kill_after, rule = self.default_of("kill_after", job.kind, job.tenant, job.queue)
        kill_at = max(run_at, self.now) + timedelta(seconds=kill_after or WEEK.total_seconds())
        if "kill_at" in data:
            kill_at, rule = datetime.fromisoformat(data["kill_at"]), "own"
        return {"run_at": run_at.isoformat(), "kill_at": kill_at.isoformat(), "kill_rule": rule}

    def pause(self, scope: str, name: str) -> bool:
        """Predict a pause: false if it was so already."""
        if (scope, name) in self.paused:
            return False
        self.paused[scope, name] = self.touched[scope, name] = self.now
        return True

    def resume(self, scope: str, name: str) -> bool:
        """Predict the end of a pause: false if there was none."""
        if self.paused.pop((scope, name), None) is None:
            return False
        self.touched[scope, name] = self.now
        return True

    def limit(self, scope: str, name: str, values: dict[str, Any]) -> bool:
        """Predict a change of defaults."""
        self.limits[scope, name] = self.limits.get((scope, name), {}) | values
        self.touched[scope, name] = self.now
        if (scope, name) in self.paused:
            self.paused[scope, name] = self.now
        return True

    def register(self, name: str, version: int, defaults: dict[str, Any]) -> bool:
        """Predict the registration of a kind: false where nothing differs."""
        if self.kinds.get(name) == (version, defaults):
            return False
        self.kinds[name] = (version, defaults)
        return True

    def copy(self) -> None:
        """Remember the live rows as a queue snapshot does: the head and place of each open job."""
        self.copied = {told.job.id: (told.job.head, told.place) for told in self.jobs.values() if told.job.open}

    def rebuilt(self) -> int:
        """Predict a rebuild of the live tables, and return how many rows come from the queue snapshot.

        A row that was copied and has had no event since lies where it lay then; each other one goes where its own last
        event put it.
        """
        self.opened_at = self.now
        placed = 0
        for told in self.jobs.values():
            head, place = (self.copied or {}).get(told.job.id, (0, ""))
            told.place = place if head == told.job.head else self.place_of(told)
            placed += head == told.job.head
        return placed
