"""All commands in any order against a pure model: every answer, every stream and every row is as predicted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobledger.events import Event
from jobledger.ids import new_id
from jobledger.lifecycle import fold
from jobledger.store import enqueue as door
from jobledger.store import operate, recovery, reports, tick, workers
from jobledger.store.claim import Claimer
from jobledger.store.enqueue import NewJob

from .machine_base import Base
from .machine_cases import (
    CRASH,
    GAPS,
    JUMPS,
    KEPT,
    KINDS,
    LIMITS,
    NEW_JOBS,
    NUMBER,
    OUTCOMES,
    QUEUES,
    ROWS,
    SCOPED,
    SOON,
    SPOIL,
    STREAMS,
    TENANTS,
    UNIQUES,
    WORKERS,
)
from .queue_facts import BACKOFF, Incarnation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

T = TypeVar("T")


class Machine(Base):
    """The commands, as rules; what always holds, as invariants."""

    # Commands

    @initialize()
    def begin(self) -> None:
        """Begin with a worker that knows everything."""
        self._start(KINDS, None, None, 30)

    def _new(self, said: dict[str, Any]) -> NewJob:
        stated = dict(said) | {name: self.at(said[name]) for name in ("run_at", "kill_at") if name in said}
        return NewJob(**stated, id=new_id(self.model.now))

    @rule(said=NEW_JOBS, strict=st.integers(0, 9))
    def enqueue(self, said: dict[str, Any], strict: int) -> None:
        """Enqueue one job."""
        new = self._new(said)
        both = self.refused_alike(
            lambda: self.model.enqueue([new], [_id(new)], strict=strict == 0, many=False),
            door.enqueue(self.sql, new, strict=strict == 0),
        )
        assert both is None or both[0][0][0] == both[1]

    @rule(saids=st.lists(NEW_JOBS, min_size=1, max_size=5), strict=st.integers(0, 9))
    def enqueue_many(self, saids: list[dict[str, Any]], strict: int) -> None:
        """Enqueue several jobs, all or nothing."""
        batch = [self._new(said) for said in saids]
        self.same(
            lambda: self.model.enqueue(batch, [_id(new) for new in batch], strict=strict == 0, many=True),
            door.enqueue_many(self.sql, batch, strict=strict == 0),
        )

    @rule(
        kinds=st.sampled_from([KINDS, KINDS, ("k",)]),
        tenants=st.sampled_from([None, None, ("ada", "bob")]),
        queues=st.sampled_from([None, None, QUEUES, ("other",)]),
        lease=st.sampled_from([5, 30, 3000]),
    )
    def start_worker(
        self, kinds: tuple[str, ...], tenants: tuple[str, ...] | None, queues: tuple[str, ...] | None, lease: int
    ) -> None:
        """Start a worker, bound to kinds, tenants and queues or to none."""
        if len(self.model.workers) < 5:
            self._start(kinds, tenants, queues, lease)

    def _start(
        self, kinds: tuple[str, ...], tenants: tuple[str, ...] | None, queues: tuple[str, ...] | None, lease: int
    ) -> None:
        bound = None if queues is None else dict.fromkeys(queues)
        started = self.run(workers.start_worker(self.sql, 0, kinds=kinds, queues=bound, tenants=tenants, lease_s=lease))
        now, span = self.model.now, timedelta(seconds=lease)
        made = Incarnation(started.worker, kinds, tenants, queues, span, now + span, now)
        assert started.lease_until == made.lease_until
        self.model.workers[made.id] = made
        self.claimers[made.id] = self._claimer(made)

    def _claimer(self, worker: Incarnation) -> Claimer:
        bound = None if worker.queues is None else dict.fromkeys(worker.queues)
        return Claimer(self.store, worker.id, bound, worker.kinds)

    @rule(number=NUMBER, n=st.integers(1, 12), fresh=st.booleans())
    def claim(self, number: int, n: int, fresh: bool) -> None:
        """Claim some: nobody gets what is not theirs; a claimer without memory gets all it may, the urgent first."""
        worker_id = self.a_worker(number)
        worker = self.model.workers.get(worker_id)
        claimer = self.claimers.get(worker_id) or Claimer(self.store, worker_id, None, KINDS)
        if fresh and worker is not None:
            claimer = self._claimer(worker)
        call = 1 if worker is None else worker.calls + 1
        both = self.refused_alike(lambda: self.model.may_claim(worker_id), claimer.claim(n, {}, call))
        if both is None:
            return
        found, got = both
        may = self.model.claimable(found)
        assert len({job.id for job in got}) == len(got) <= n
        assert {job.id for job in got} <= set(may)
        if fresh and found.kinds == KINDS:
            assert len(got) == min(n, len(may))
            self._fair(may, {job.id for job in got}, n)
        found.calls = call
        self._taken(found, got, call)

    @staticmethod
    def _fair(may: dict[UUID, Any], got: set[UUID], n: int) -> None:
        lanes: dict[tuple[str, str], list[Any]] = {}
        for job in may.values():
            lanes.setdefault((job.queue, job.tenant), []).append(job)
        for jobs in lanes.values():
            taken = [job for job in jobs if job.id in got]
            assert len(taken) >= min(len(jobs), n // len(lanes))
            left = [(job.priority, job.run_at, job.id) for job in jobs if job.id not in got]
            assert all((job.priority, job.run_at, job.id) < min(left) for job in taken if left)

    def _taken(self, worker: Incarnation, got: Sequence[Any], call: int) -> None:
        for job in got:
            told = self.model.claimed(worker, job.id, call)
            expected = (told.tenant, told.queue, told.kind, told.priority, told.attempt, told.max_attempts, told.claim)
            assert (job.tenant, job.queue, job.kind, job.priority, job.attempt, job.max_attempts, job.claim) == expected
            assert (job.run_at, job.kill_at, job.timeout, job.owner, job.at) == (
                *(told.run_at, told.kill_at, told.timeout, told.owner),
                self.model.now,
            )

    @rule(number=NUMBER)
    def claim_all(self, number: int) -> None:
        """A claimer that remembers where it read finds everything in the end: nothing is left lying behind it."""
        worker = self.model.workers.get(self.a_worker(number))
        if worker is None or self.model.opened_at is None or worker.stopped or worker.lease_until <= self.model.now:
            return
        for _ in range(6):
            worker.calls += 1
            may = self.model.claimable(worker)
            got = self.run(self.claimers[worker.id].claim(50, {}, worker.calls))
            assert {job.id for job in got} <= set(may)
            self._taken(worker, got, worker.calls)
        assert self.model.claimable(worker) == {}

    @rule(job=NUMBER, number=NUMBER)
    def claim_job(self, job: int, number: int) -> None:
        """Claim one job by its id."""
        id_, worker_id = self.a_job(job), self.a_worker(number)
        worker = self.model.workers.get(worker_id)
        claimer = Claimer(self.store, worker_id, None, worker.kinds if worker is not None else KINDS)
        call = 1 if worker is None else worker.calls + 1
        both = self.refused_alike(lambda: self.model.claim_job(worker_id, id_, call), claimer.claim_job(id_, call))
        if both is not None and worker is not None:
            worker.calls = call
            assert (both[1].id, both[1].claim, both[1].attempt) == (both[0].id, both[0].claim, both[0].attempt)

    @rule(
        picks=st.lists(st.tuples(NUMBER, st.sampled_from(OUTCOMES), st.integers(0, 9)), min_size=1, max_size=5),
        by=NUMBER,
    )
    def report(self, picks: list[tuple[int, tuple[str, dict[str, Any] | None], int]], by: int) -> None:
        """Report, as a rule what one runs; also old claims, others' jobs, and twice."""
        running = [told.job for told in self.model.jobs.values() if told.job.worker is not None]
        worker = running[by % len(running)].worker if running and by % 4 else self.a_worker(by)
        assert worker is not None
        mine = self.model.running_of(worker)
        batch: dict[UUID, tuple[UUID, int, str, dict[str, Any] | None]] = {}
        for number, (outcome, data), way in picks:
            id_ = mine[number % len(mine)] if mine and way > 1 else self.a_job(number)
            told = self.model.jobs.get(id_)
            claims = [event.version for event in told.log if event.type == "job.claimed"] if told is not None else []
            claim = 2 if not claims or way == 2 else claims[number % len(claims)] if way == 3 else claims[-1]
            if outcome == "snoozed":
                data = {"run_at": self.at(50 * (way - 2)).isoformat(), "reason": "r"}  # noqa: PLW2901
            batch[id_] = (id_, claim, outcome, data)
        sent = [reports.Report(*one[:3], None if one[3] is None else orjson.dumps(one[3])) for one in batch.values()]
        both = self.refused_alike(
            lambda: self.model.report(worker, list(batch.values())), reports.report(self.sql, 0, worker, sent)
        )
        if both is not None:
            assert {one.id: one[1:] for one in both[1]} == both[0]

    @rule(
        number=NUMBER,
        held=st.lists(NUMBER, max_size=4),
        whole=st.booleans(),
        back=st.integers(0, 3),
        late=st.integers(0, 9),
    )
    def heartbeat(self, number: int, held: list[int], whole: bool, back: int, late: int) -> None:
        """Beat: with all that one runs, or with some of it and others' jobs; in its order, or overtaken."""
        worker_id = self.a_worker(number)
        worker = self.model.workers.get(worker_id)
        ids = set(self.model.running_of(worker_id)) if whole else {self.a_job(pick) for pick in held}
        calls, beat = (worker.calls, worker.beat) if worker is not None else (0, 0)
        number_now = beat if late == 0 else beat + 1
        both = self.refused_alike(
            lambda: self.model.heartbeat(worker_id, number_now, max(0, calls - back), ids),
            workers.heartbeat(self.sql, 0, worker_id, beat=number_now, settled=max(0, calls - back), held=sorted(ids)),
        )
        if both is not None and worker is not None:
            assert {("lease", None), *((told.what, told.job) for told in both[1].told)} == both[0]
            assert both[1].lease_until == worker.lease_until

    @rule(number=NUMBER)
    def stop_worker(self, number: int) -> None:
        """End a worker."""
        worker = self.a_worker(number)
        self.same(lambda: self.model.stop(worker), workers.stop_worker(self.sql, 0, worker, "done"))

    @rule(seconds=st.sampled_from(JUMPS))
    def advance(self, seconds: int) -> None:
        """Let time pass; the whole of it within the partitions that are there."""
        if self.jumped + seconds <= 60 * 86_400:
            self.jumped += seconds
            self.run(self.clock.advance(seconds=seconds))
            self.model.now += timedelta(seconds=seconds)

    @rule()
    def tick(self) -> None:
        """Run the clockwork; which rows pauses have moved by now is read, and judged."""
        both = self.refused_alike(lambda: self.model.tick(self.up_since, datetime.now(UTC)), tick.tick(self.sql, 0))
        if both is None:
            return
        assert {name: both[1].facts[name] for name in both[0]} == both[0]
        for row in self.run(self.sql.fetch(ROWS)):
            told = self.model.jobs[row["id"]]
            if {told.place, row["place"]} <= {"ready", "held"}:
                assert self.model.may_lie(told, row["place"])
                told.place = row["place"]

    @rule(
        act=st.sampled_from(["cancel", "kill", "retry", "unpark", "reschedule", "reprioritise", "move"]),
        picks=st.lists(NUMBER, min_size=1, max_size=3),
        tenant=st.sampled_from([None, None, *TENANTS]),
        run_at=SOON,
        dated=st.booleans(),
    )
    def act(self, act: operate.Act, picks: list[int], tenant: str | None, run_at: int, dated: bool) -> None:
        """Act on jobs as an operator, on those in a fit state or on any."""
        dates = {"run_at": self.at(run_at).isoformat()} | ({"kill_at": self.at(300_000).isoformat()} if dated else {})
        stated: dict[str, dict[str, Any]] = {
            "retry": dates | {"attempts": 2} if dated else {},
            "reschedule": dates,
            "reprioritise": {"priority": run_at % 10},
            "move": {"queue": QUEUES[run_at % 2]},
        }
        data = stated.get(act, {})
        ids = [self.a_job(pick) for pick in picks]
        both = self.refused_alike(
            lambda: self.model.act(act, tenant, ids, "because", data),
            operate.act(self.sql, 0, act, ids, actor="ada", reason="because", tenant=tenant, data=data),
        )
        if both is not None:
            assert {one.id: (one.verdict, one.state) for one in both[1]} == both[0]

    @rule(what=SCOPED)
    def pause(self, what: tuple[operate.Scope, str]) -> None:
        """Pause a tenant, queue or kind."""
        self.same(lambda: self.model.pause(*what), operate.pause(self.sql, 0, *what, actor="ada", reason="r"))

    @rule(what=SCOPED, number=NUMBER)
    def resume(self, what: tuple[operate.Scope, str], number: int) -> None:
        """End a pause, or none."""
        paused: list[Any] = sorted(self.model.paused)
        scope, name = paused[number % len(paused)] if paused and number % 4 else what
        self.same(
            lambda: self.model.resume(scope, name), operate.resume(self.sql, 0, scope, name, actor="ada", reason=None)
        )

    @rule(
        what=st.one_of(SCOPED, st.just(("service", ""))),
        values=LIMITS,
    )
    def set_limit(self, what: tuple[operate.Scope, str], values: dict[str, Any]) -> None:
        """Set defaults; they hold for later jobs."""
        self.same(
            lambda: self.model.limit(*what, values),
            operate.set_limit(self.sql, 0, *what, values, actor="ada", reason=None),
        )

    @rule(
        kind=st.sampled_from(KINDS),
        version=st.integers(1, 2),
        declared=st.sampled_from([{"backoff": BACKOFF}, {"backoff": BACKOFF, "queue": "other", "max_attempts": 2}]),
    )
    def register_kind(self, kind: str, version: int, declared: dict[str, Any]) -> None:
        """Register a kind with what it declares."""
        self.same(
            lambda: self.model.register(kind, version, declared),
            self.sql.fetchval(
                "select jobledger.register_kind(0::smallint, $1, $2, null, '{}', $3)",
                *(kind, version, orjson.dumps(declared).decode()),
            ),
        )

    # Recovery

    @rule()
    def close(self) -> None:
        """Close the database: all but enqueuing is refused until it is open again."""
        self.run(self.sql.execute("select jobledger.close()"))
        self.model.opened_at = None
        self.model.copied = None

    @precondition(lambda self: self.model.opened_at is not None)
    @rule()
    def copy(self) -> None:
        """Copy the live tables for the next recovery."""
        assert self.run(self.sql.fetchval("select jobledger.copy_queue(0::smallint)"))
        self.model.copy()

    @rule()
    def crash(self) -> None:
        """Lose what a crash of the server takes from unlogged tables, and open."""
        self.run(self.sql.execute(CRASH))
        self._open()

    @precondition(lambda self: self.model.opened_at is None)
    @rule()
    def open(self) -> None:
        """Open it: the live tables are made from the log."""
        self._open()

    def _open(self) -> None:
        opened = self.run(recovery.open_store(self.store))
        assert (opened.rebuilt, opened.rows) == (True, sum(told.job.open for told in self.model.jobs.values()))
        assert opened.copied == self.model.rebuilt()

    @rule(projection=st.sampled_from(["queue", "status"]))
    def rebuild(self, projection: recovery.Projection) -> None:
        """Drop a projection and make it from the log."""
        rows = self.run(recovery.rebuild(self.store, projection))
        assert rows == sum(told.job.open == (projection == "queue") for told in self.model.jobs.values())
        # Either way the database was closed, and its opening makes the live tables anew, without the copy.
        self.model.copied = None
        self.model.rebuilt()

    @precondition(lambda self: self.model.opened_at is not None)
    @rule(number=NUMBER, how=st.sampled_from(sorted(SPOIL)), more=st.lists(NUMBER, max_size=2))
    def spoil_and_repair(self, number: int, how: str, more: list[int]) -> None:
        """Spoil the row of a job, find exactly that, and repair it from the log."""
        told = self.model.jobs.get(self.a_job(number))
        asked = [self.a_job(pick) for pick in more]
        if told is None:
            assert self.run(recovery.repair(self.store, asked)) == []
            return
        table = {"scheduled": "waiting", "held": "waiting", "parked": "waiting"}.get(told.place, told.place)
        if table == "finished" and how == "elsewhere":
            how = "lost"
        self.run(self.sql.execute(SPOIL[how].format(table=table), told.job.id))
        assert {wrong.job for wrong in self.run(recovery.compare(self.sql, 0))} == {told.job.id}
        repaired = self.run(recovery.repair(self.store, [told.job.id, *asked]))
        assert {wrong.job for wrong in repaired} == {told.job.id}
        told.place = self.model.place_of(told)
        # A repair is no event of the job: the copy is not to be believed about it, though the head is the same.
        (self.model.copied or {}).pop(told.job.id, None)

    # What always holds

    @invariant()
    def the_log_says_what_was_predicted(self) -> None:
        """Versions are dense; the fold of each stream read from the log is the model's own."""
        assert self.run(self.sql.fetch(GAPS)) == []
        streams: dict[UUID, list[Event]] = {}
        for row in self.run(self.sql.fetch(STREAMS)):
            streams.setdefault(row["stream_id"], []).append(Event.from_row(dict(row)))
        assert set(streams) == set(self.model.jobs)
        for id_, events in streams.items():
            told = self.model.jobs[id_]
            assert [event.type for event in events] == [event.type for event in told.log]
            assert [event.at for event in events] == [event.at for event in told.log]
            assert fold(events) == told.job
            ends = [event.type for event in events].count("job.retried") + told.job.finished
            final = {"job.succeeded", "job.cancelled", "job.killed"}
            assert ends == sum(_is_final(event, final) for event in events)

    @invariant()
    def each_job_lies_in_its_one_place(self) -> None:
        """Each row has the fold's state, attempt, head, dates and claim, and no job has two."""
        rows = self.run(self.sql.fetch(ROWS))
        assert len(rows) == len(self.model.jobs)
        for row in rows:
            told = self.model.jobs[row["id"]]
            job = told.job
            assert row["place"] == told.place
            assert (row["head"], row["attempt"], row["max_attempts"]) == (job.head, job.attempt, job.max_attempts)
            assert (row["priority"], row["queue"], row["worker"], row["claim"]) == (
                *(job.priority, job.queue, job.worker, job.claim),
            )
            if job.open:
                assert (row["run_at"], row["kill_at"]) == (job.run_at, job.kill_at)
            assert row["ended"] == job.finished_at

    @invariant()
    def the_tables_are_the_fold_in_sql(self) -> None:
        """SQL's own comparison finds nothing."""
        assert self.run(self.sql.fetch("select * from jobledger.compare()")) == []

    @invariant()
    def workers_and_keys_are_as_predicted(self) -> None:
        """Leases, heartbeats and heads of workers; idempotency keys; one open job a unique key."""
        for row in self.run(self.sql.fetch(WORKERS)):
            worker = self.model.workers[row["id"]]
            expected = (worker.head, worker.beat, worker.lease_until, worker.seen_at, worker.stopped)
            assert (row["head"], row["beat"], row["lease_until"], row["seen_at"], row["stopped"]) == expected
        kept = {(row["tenant"], row["key"]): (row["id"], row["expires"]) for row in self.run(self.sql.fetch(KEPT))}
        assert kept == {name: (id_, expires) for name, (id_, _, expires) in self.model.keys.items()}
        uniques = {(row["tenant"], row["key"]): row["id"] for row in self.run(self.sql.fetch(UNIQUES))}
        assert uniques == self.model.uniques


def _id(new: NewJob) -> UUID:
    assert new.id is not None
    return new.id


def _is_final(event: Event, final: set[str]) -> bool:
    ends = event.type in {"job.failed", "job.lease_expired"} and "retry_at" not in (event.data or {})
    return event.type in final or ends


def run_machine(databases: Any, template: str, **bounds: Any) -> None:
    """Run the machine so many times, so many steps each. A failure is not shrunk: each try would be a new database."""
    run_state_machine_as_test(
        lambda: Machine(databases, template),  # type: ignore[arg-type]  # any maker of machines will do
        settings=settings(
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            **bounds,
        ),
    )


def test_any_commands_in_any_order_do_what_the_model_says(databases: Any, template: str) -> None:
    """Quick: some tens of random lives of a whole database."""
    run_machine(databases, template, max_examples=10, stateful_step_count=40)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_any_commands_in_any_order_do_what_the_model_says_at_length(databases: Any, template: str) -> None:
    """Deep: the same for seventy longer lives."""
    run_machine(databases, template, max_examples=70, stateful_step_count=80)
