"""The ledger of what a worker holds: which answers count, under which claim, and what a heartbeat may say of them."""

from __future__ import annotations

from datetime import UTC, datetime

from jobledger.ids import new_id
from jobledger.store.claim import ClaimedJob
from jobledger.worker.held import HeldJobs

NOW = datetime.now(UTC)


def claimed(tenant: str = "acme") -> ClaimedJob:
    """Return a job as its claim gives it."""
    return ClaimedJob(new_id(), tenant, "default", "noop", 0, 1, 5, 2, NOW, None, 60, "{}", None, NOW)


def again(job: ClaimedJob) -> ClaimedJob:
    """Return the job as the next claim of it gives it."""
    return job._replace(claim=job.claim + 2, attempt=job.attempt + 1)


def holding(*jobs: ClaimedJob) -> HeldJobs:
    """Return a ledger that has taken in one claim of these jobs."""
    held = HeldJobs()
    assert held.take_in(held.begin_call(), jobs)
    return held


def test_an_answer_to_the_report_of_an_older_claim_lets_nothing_go() -> None:
    """Snoozed, claimed again and taken in before its report's answer came: it is still to be heartbeaten."""
    job = claimed()
    held = holding(job)
    slot = held.waiting.popleft()
    held.take_in(held.begin_call(), [again(job)])
    held.answered([(slot.id, slot.claim)])
    assert held.beat()[0].held == {job.id: again(job)}
    held.answered([(job.id, again(job).claim)])
    assert not held.beat()[0].held


def test_what_was_lost_under_an_older_claim_stays() -> None:
    """A heartbeat's answer comes late: the job was claimed again since, and waits to be run."""
    lost, kept, other = claimed(), claimed(), claimed("globex")
    held = holding(lost, again(kept), other)
    assert held.lose({lost.id: lost, kept.id: kept}) == [lost]
    assert list(held.waiting) == [again(kept), other]
    assert held.beat()[0].held == {kept.id: again(kept), other.id: other}
    assert held.shares() == {"acme": 1, "globex": 1}


def test_what_a_slot_has_begun_is_not_lost_before_its_report() -> None:
    """A slot still runs it: its report, not the heartbeat's answer, lets it go."""
    job = claimed()
    held = holding(job)
    held.waiting.popleft()
    assert held.lose({job.id: job}) == []
    assert job.id in held


def test_a_call_is_settled_when_it_and_all_before_it_are() -> None:
    """The database releases what came with settled calls and is not named: a call still under way may bring jobs."""
    held = HeldJobs()
    first, second, third = (held.begin_call() for _ in range(3))
    held.take_in(second, [claimed()])
    assert held.beat()[0].settled == first - 1
    held.give_up(first)
    assert held.beat()[0].settled == second
    held.take_in(third, [])
    assert held.beat()[0].settled == third


def test_an_answer_to_a_call_that_was_given_up_is_thrown_away() -> None:
    """A heartbeat may have said already that nothing of it is held; it is counted, and given up twice is once."""
    held = HeldJobs()
    call = held.begin_call()
    held.give_up(call)
    held.give_up(call)
    assert not held.take_in(call, [claimed()])
    assert (len(held), held.late, list(held.waiting), held.shares()) == (0, 1, [], {})


def test_withdrawing_gives_up_the_calls_under_way_with_what_no_slot_has_begun() -> None:
    """The loop stands still: what it has not begun, and what it has not read, runs elsewhere."""
    running, waiting = claimed(), claimed()
    held = holding(running, waiting)
    held.waiting.popleft()
    call = held.begin_call()
    beat, withdrawn = held.beat(withdraw=True)
    assert withdrawn == [waiting]
    assert (beat.held, beat.settled) == ({running.id: running}, call)
    assert not held.take_in(call, [claimed()])
    assert held.shares() == {"acme": 1}


def test_beats_are_numbered_and_what_they_say_does_not_change() -> None:
    """A heartbeat that arrives after a later one is told by its number; its words are those of its moment."""
    job = claimed()
    held = holding(job)
    first, _ = held.beat()
    held.answered([(job.id, job.claim)])
    second, _ = held.beat()
    assert (first.number, second.number) == (1, 2)
    assert (first.held, second.held) == ({job.id: job}, {})


def test_a_job_counts_for_its_tenant_until_it_has_ended() -> None:
    """What a claim subtracts from the tenant's share: not what is only in a report any more."""
    jobs = [claimed(), claimed(), claimed("globex")]
    held = holding(*jobs)
    held.ended({"acme": 1, "globex": 1})
    assert held.shares() == {"acme": 1}
    assert len(held) == 3
    held.keep(claimed())
    assert held.shares() == {"acme": 2}
