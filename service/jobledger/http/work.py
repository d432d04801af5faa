"""The worker protocol: register, claim, heartbeat, report, stop, for workers in any language."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson

from jobledger.errors import (
    Busy,
    Conflict,
    InvalidArgument,
    LeaseOver,
    NotFound,
    NotOpen,
    NotWaiting,
    TooLarge,
    UnknownKind,
    UnknownWorker,
)
from jobledger.http.intake import json_text
from jobledger.http.protocol import (
    Beat,
    Changed,
    Claimed,
    NewClaim,
    NewWorker,
    OneClaim,
    Registered,
    Renewed,
    Reports,
    StatedKindDocument,
    Stop,
    Verdicts,
    WorkJob,
)
from jobledger.http.route import Answer, Routes
from jobledger.http.waiting import Numbered
from jobledger.store.kinds import StatedKind, register_kinds
from jobledger.store.reports import Report, report
from jobledger.store.roles import Role
from jobledger.store.workers import heartbeat, start_worker, stop_worker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jobledger.http.desks import Desk
    from jobledger.http.protocol import Reported
    from jobledger.http.route import Call
    from jobledger.http.service import Service
    from jobledger.store.claim import ClaimedJob

routes = Routes("Worker protocol")

_BEATS_SINCE: Final = 1_700_000_000
_KNOWN: Final = (UnknownWorker, NotOpen)


@routes.post("/v1/workers", needs=(Role.WORK,), body=NewWorker, answer=Registered, status=201, errors=(NotOpen,))
async def register_worker(call: Call[None, NewWorker]) -> Registered:
    """Register a worker: one life of one process.

    It takes jobs of the key's tenants only, and is this key's: for any other it does not exist. It keeps its lease by
    heartbeats, at most half the lease apart; without them what it holds is given to others.
    """
    access, asked = call.access, call.body
    access.must_see_tenant()
    tenants = asked.tenants
    if tenants is not None:
        tenants = [name for name in tenants if access.tenant(name)]
    elif access.tenants is not None:
        tenants = sorted(access.tenants)
    async with call.service.store.connection(ours=True) as connection:
        started = await start_worker(
            connection,
            call.service.store.shard,
            kinds=asked.kinds,
            queues=asked.queues,
            tenants=tenants,
            lease_s=asked.lease_s,
            about={**asked.about, "by": access.name},
        )
    return Registered(worker=started.worker, lease_until=started.lease_until, lease_s=asked.lease_s)


@routes.post(
    "/v1/workers/{worker}/claim",
    needs=(Role.WORK,),
    body=NewClaim,
    answer=Claimed,
    errors=(*_KNOWN, LeaseOver, Busy, TooLarge),
)
async def claim_jobs(call: Call[None, NewClaim]) -> Answer:
    """Claim up to `n` jobs, waiting up to `wait_s` seconds for the first; record outcomes in the same exchange.

    `call` is the claim's identity: an answer that was lost is asked for again under the same number, by the same
    request, and gives the same jobs; while the first still waits, too. A new number is for a new claim.
    """
    desk, asked = await _desk(call), call.body
    verdicts = None if asked.reports is None else await _report(call.service, desk, asked.reports, terse=asked.terse)
    loop = asyncio.get_running_loop()
    one = Numbered(
        desk,
        asked.call,
        n=asked.n,
        held=asked.held,
        room=asked.queues,
        timeout_s=asked.timeout_s,
        until=loop.time() + asked.wait_s,
    )
    if asked.wait_s:
        with call.service.hold(asked.wait_s):
            jobs = await call.service.work.lobby.claim(one)
    else:
        jobs = await call.service.work.lobby.claim(one)
    document: dict[str, Any] = {"jobs": [_wire(job) for job in jobs]}
    if verdicts is not None:
        document["verdicts"] = verdicts
    return Answer(orjson.dumps(document, default=str))


@routes.post(
    "/v1/workers/{worker}/jobs/{job}/claim",
    needs=(Role.WORK,),
    body=OneClaim,
    answer=WorkJob,
    errors=(*_KNOWN, LeaseOver, NotFound, NotWaiting, UnknownKind),
)
async def claim_job(call: Call[None, OneClaim]) -> Answer:
    """Claim one waiting job by its id. Asked for again under the same number, it is the same claim."""
    job, desk = call.id("job"), await _desk(call)
    one = await call.service.work.lobby.claim_job(desk, call.body.call, job)
    return Answer(orjson.dumps(_wire(one), default=str))


@routes.post(
    "/v1/workers/{worker}/heartbeat", needs=(Role.WORK,), body=Beat, answer=Renewed, errors=(*_KNOWN, LeaseOver)
)
async def heartbeat_worker(call: Call[None, Beat]) -> Renewed:
    """Renew the lease, and hear what became of the jobs that the worker holds."""
    desk, asked = await _desk(call), call.body
    # Without a number the database's clock gives one: it is above the last, whichever process was asked then, and no
    # heartbeat of the same second is needed.
    beat = asked.beat or max(1, int((await call.service.book.now()).timestamp()) - _BEATS_SINCE)
    async with call.service.store.connection(ours=True) as connection:
        renewed = await heartbeat(
            connection,
            call.service.store.shard,
            desk.id,
            beat=beat,
            settled=asked.settled if asked.beat is not None else 0,
            held=asked.held,
            stalled_s=asked.stalled_s,
        )
    told: dict[str, list[UUID]] = {"cancel": [], "killed": [], "lost": [], "released": []}
    for one in renewed.told:
        told[one.what].append(one.job)
    return Renewed(lease_until=renewed.lease_until, **told)


@routes.post(
    "/v1/workers/{worker}/report", needs=(Role.WORK,), body=Reports, answer=Verdicts, errors=(*_KNOWN, TooLarge)
)
async def report_outcomes(call: Call[None, Reports]) -> Answer:
    """Report how jobs ended, each fenced by the number of its claim.

    A verdict is `accepted`, `repeated` (it was accepted before, and the answer was lost) or `rejected`: the job is not
    the worker's any more. `data` of a failure may say `error` {type, message, class}, `retry_in` (seconds), `retry_at`
    or `final`; of a success `result`; `snoozed` says `run_at`; `progressed` leaves the job running.
    """
    desk = await _desk(call)
    verdicts = await _report(call.service, desk, call.body.reports, terse=call.body.terse)
    return Answer(orjson.dumps({"verdicts": verdicts}, default=str))


@routes.post("/v1/workers/{worker}/stop", needs=(Role.WORK,), body=Stop, status=204, errors=(UnknownWorker,))
async def stop_working(call: Call[None, Stop]) -> Answer:
    """Say that the worker has ended. What it still holds is given to others at once."""
    desk = await _desk(call)
    async with call.service.store.connection(ours=True) as connection:
        await stop_worker(connection, call.service.store.shard, desk.id, call.body.reason or "asked")
    call.service.work.desks.forget(desk.id)
    return Answer()


@routes.put(
    "/v1/kinds/{kind}", needs=(Role.WORK,), body=StatedKindDocument, answer=Changed, errors=(TooLarge, Conflict)
)
async def register_kind(call: Call[None, StatedKindDocument]) -> Changed:
    """Register a kind: the schema that its arguments are checked by, and its defaults.

    Kinds are shared by all tenants. A key that is bound to some may only say what is registered already. A kind that
    may run longer than the endpoint to which its queue is pushed is a conflict.
    """
    asked, service = call.body, call.service
    kind = StatedKind(call.name("kind"), asked.version, asked.arguments or {}, tuple(asked.aliases), asked.defaults)
    async with service.store.transaction() as connection:
        changed = bool(await register_kinds(connection, service.store.shard, [kind]))
        if changed:
            call.access.must_see_all()
    return Changed(changed=changed)


async def _desk(call: Call[None, Any]) -> Desk:
    return await call.service.work.desks.of(call.id("worker"), call.access)


async def _report(service: Service, desk: Desk, reported: Sequence[Reported], *, terse: bool) -> list[dict[str, Any]]:
    """Record outcomes, and return the verdicts in the order in which they were reported."""
    if not reported:
        return []
    reports = [_read(one) for one in reported]
    if len({one.id for one in reports}) < len(reports):
        raise InvalidArgument("A job is reported once in a request.")
    # By their numbers, which compare quicker: what is sorted already is not sorted again.
    ordered = sorted(reports, key=lambda one: one.id.int)
    async with service.work.sends.line() as connection:
        verdicts = await report(connection, service.store.shard, desk.id, ordered, terse=terse)
    if not terse:
        found = {verdict.id: verdict for verdict in verdicts}
        verdicts = [found[one.id] for one in reports if one.id in found]
    return [verdict._asdict() for verdict in verdicts]


def _read(one: Reported) -> Report:
    data = one.get("data")
    return Report(one["id"], one["claim"], one["outcome"], json_text(data, "data") if data else None)


def _wire(job: ClaimedJob) -> dict[str, Any]:
    document = job._asdict()
    # The text of the log as it is: nothing is read and written again.
    document["data"] = orjson.Fragment(job.data)
    return document
