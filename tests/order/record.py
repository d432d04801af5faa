"""A record of live answers with their tokens, to be asked for again; and acts that bring jobs into every state."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobledger.store.jobs_read import JobDetail, JobPage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from tests.contract.conftest import Desk

    from jobledger import Client
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.jobs_read import JobRow
    from jobledger.testing.clock import Clock

Answer = JobDetail | JobPage


def told(job: JobRow) -> JobRow:
    """Return what a moment of the past can tell of it: why a ready job was held back is no event."""
    return job._replace(reason=None) if job.state in ("ready", "scheduled") else job


def said(answer: Answer) -> object:
    """Return what is compared of an answer."""
    if isinstance(answer, JobPage):
        return [told(job) for job in answer.jobs], answer.next
    return answer._replace(job=told(answer.job), as_of=None)


class Record:
    """Live answers of one client, each with the question."""

    def __init__(self, client: Client) -> None:
        """Begin with none."""
        self.client = client
        self.answers: list[tuple[Mapping[str, Any], Answer]] = []

    async def page(self, **question: Any) -> JobPage:
        """Ask for a list, and keep the answer where it has a token: a database that is not open gives none."""
        answer = await self.client.jobs(token=True, **question)
        if answer.as_of is not None:
            self.answers.append((question, answer))
        return answer

    async def job(self, job: UUID, **question: Any) -> JobDetail:
        """Ask for one job, and keep the answer."""
        answer = await self.client.job(job, token=True, **question)
        if answer.as_of is not None:
            self.answers.append(({"job": job, **question}, answer))
        return answer

    async def differing(self) -> list[str]:
        """Ask everything again by the tokens; return what is answered otherwise."""
        return [f"{question}: {said(then)} is now {said(now)}" for question, then, now in await self.again() if now]

    async def again(self) -> list[tuple[Mapping[str, Any], Answer, Answer | None]]:
        """Return each question with what was answered then, and what is answered now where that differs."""
        found: list[tuple[Mapping[str, Any], Answer, Answer | None]] = []
        for question, then in self.answers:
            assert then.as_of is not None
            asked = {**question, "as_of": then.as_of.moment}
            ask = self.client.job if isinstance(then, JobDetail) else self.client.jobs
            now: Answer = await ask(**asked)
            found.append((question, then, now if said(now) != said(then) else None))
        return found


class Acts:
    """Acts on the jobs of one tenant by a worker, an operator and the clock, each by its name."""

    def __init__(self, desk: Desk, clock: Clock, tenant: str) -> None:
        """Begin with no jobs."""
        self._desk = desk
        self._clock = clock
        self.tenant = tenant
        self.jobs: list[UUID] = []
        self.taken: list[ClaimedJob] = []

    async def enqueue(self) -> None:
        """One job for now, of an owner and with a tag."""
        await self._enqueue(owner="ada", tags=["red"])

    async def later(self) -> None:
        """One job for in half a minute."""
        await self._enqueue(run_at=await self._in(30))

    async def claim(self) -> None:
        """Take up to two."""
        self.taken += await self._desk.claim(2)

    async def succeed(self) -> None:
        """Report the first that is held."""
        await self._report("succeeded", {"result": 1})

    async def fail(self) -> None:
        """Fail the first that is held; it is tried again later."""
        await self._report("failed", {"error": {"type": "OSError", "message": "no", "class": "transient"}})

    async def park(self) -> None:
        """Park the first that is held."""
        await self._report("parked", {"reason": "rights"})

    async def progress(self) -> None:
        """Tell how far the first that is held has come."""
        if self.taken:
            await self._desk.report(self.taken[:1], "progressed", {"progress": 1})

    async def cancel(self) -> None:
        """Cancel the last, or ask for it."""
        await self._act("cancel")

    async def kill(self) -> None:
        """Kill the last."""
        await self._act("kill")

    async def retry(self) -> None:
        """Let the last run again."""
        await self._act("retry")

    async def unpark(self) -> None:
        """Let whatever is parked go on."""
        await self._desk.act("unpark", self.jobs)

    async def move(self) -> None:
        """Move the last to another queue, with another priority, for later."""
        await self._act("move", queue="other")
        await self._act("reprioritise", priority=-3)
        await self._act("reschedule", run_at=(await self._in(20)).isoformat())

    async def pause(self) -> None:
        """Pause the tenant, and let a tick hold its jobs back."""
        await self._desk.sql.fetchval("select jobledger.pause(0::smallint, 'tenant', $1, 'ada', 'why')", self.tenant)
        await self._desk.tick()

    async def resume(self) -> None:
        """End the pause."""
        await self._desk.sql.fetchval("select jobledger.resume(0::smallint, 'tenant', $1, 'ada', 'why')", self.tenant)
        await self._desk.tick()

    async def wait(self) -> None:
        """Let 15 seconds go by: what has come due is not promoted yet."""
        await self._clock.advance(seconds=15)

    async def tick(self) -> None:
        """Promote what is due."""
        await self._desk.tick()

    async def _in(self, seconds: int) -> datetime:
        return await self._clock.now() + timedelta(seconds=seconds)

    async def _enqueue(self, **options: Any) -> None:
        self.jobs.append(await self._desk.enqueue(tenant=self.tenant, **options))

    async def _report(self, outcome: str, data: dict[str, Any]) -> None:
        if self.taken:
            await self._desk.report([self.taken.pop(0)], outcome, data)

    async def _act(self, act: str, **data: Any) -> None:
        if self.jobs:
            await self._desk.act(act, self.jobs[-1:], **data)
            if act == "kill":
                self.taken = [one for one in self.taken if one.id != self.jobs[-1]]


ACTS = (
    *("enqueue", "later", "claim", "succeed", "fail", "park", "progress", "cancel", "kill", "retry", "unpark", "move"),
    *("pause", "resume", "wait", "tick"),
)


async def look(record: Record, tenant: str, jobs: list[UUID]) -> None:
    """Ask for lists by every filter, page by page, and for the newest jobs."""
    page = await record.page(tenant=tenant, limit=2)
    while page.next is not None:
        page = await record.page(tenant=tenant, limit=2, cursor=page.next)
    for more in (
        {"states": ["ready"]},
        {"states": ["scheduled", "parked"]},
        {"states": ["running", "cancelled", "killed", "succeeded"], "limit": 2},
        {"queue": "other"},
        {"owner": "ada"},
        {"owner": "ada", "states": ["ready", "succeeded", "cancelled"], "limit": 1},
        {"kind": "noop", "tag": "red"},
    ):
        await record.page(tenant=tenant, **more)
    await record.page(states=["ready", "running"], limit=3)
    for job in jobs[-3:]:
        await record.job(job)
        await record.job(job, tenant=tenant)
