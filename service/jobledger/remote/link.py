"""A worker's calls to a service over HTTP: the same as those to a database, in the service's documents.

A claim carries its number, which is its identity: where the answer is lost the same request is sent again and gives the
same jobs. Reports are fenced, heartbeats numbered; all of them may be sent again.
"""

from __future__ import annotations

import asyncio
import math
import os
import platform
import random
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

import orjson

from jobledger import __version__
from jobledger.errors import Busy, Forbidden, RateLimited, Unavailable, Unreachable
from jobledger.remote.connection import ServiceConnection, path_of
from jobledger.store.claim import ClaimedJob
from jobledger.store.reports import Verdict
from jobledger.store.workers import Told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobledger.remote.connection import Reply
    from jobledger.store.claim import Ticking
    from jobledger.store.kinds import StatedKind
    from jobledger.store.reports import Report

    class Beat(Protocol):
        """What one heartbeat says."""

        @property
        def number(self) -> int:
            """Its own number."""

        @property
        def settled(self) -> int:
            """The last settled claim call."""

        @property
        def held(self) -> Mapping[UUID, ClaimedJob]:
            """What is held."""


WAIT_S: Final = 20.0
"""Seconds for which a claim waits at the service for jobs, where the worker has nothing else to wait for."""
_OPEN_AGAIN_S: Final = 0.5
_HEARTBEAT_S: Final = 10.0
_PAUSE_S: Final = (0.05, 1.0)
_TOLD: Final = (("cancel", "cancel"), ("killed", "killed"), ("lost", "lost"), ("released", "released"))
# Answers of jobs are read at once by whoever asked, most often on the same machine or network.
_PLAIN: Final = {"Accept-Encoding": "identity"}


class ServicePulse:
    """The heartbeat's own connection to the service, in its own loop."""

    def __init__(self, service: ServiceConnection) -> None:
        """Keep the connection."""
        self._service = service

    async def beat(self, worker: UUID, beat: Beat, stalled_s: float) -> Sequence[Told]:
        """Send one heartbeat and return what its answer tells of jobs."""
        said = {"beat": beat.number, "settled": beat.settled, "held": list(map(str, beat.held)), "stalled_s": stalled_s}
        reply = await self._service.ask(
            "POST", path_of("workers", worker, "heartbeat"), body=orjson.dumps(said), headers=_PLAIN, patience_s=0
        )
        answer = reply.json()
        return [Told(what, UUID(job), None) for name, what in _TOLD for job in answer[name]]

    async def close(self) -> None:
        """Close the connection."""
        await self._service.close()


class ServiceCalls:
    """What one worker is bound to, and its calls under whichever incarnation, through a service."""

    store = None
    ahead_s = 0.1

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        kinds: Sequence[str],
        queues: Mapping[str, int | None] | None,
        tenants: Sequence[str] | None,
        lease_s: float,
        patience_s: float,
        waits_s: float = WAIT_S,
    ) -> None:
        """Keep what every incarnation states. A call not answered within `patience_s` is given up.

        Raises:
            InvalidArgument: the address or the key is none.
        """
        self.kinds = list(kinds)
        self.queues = queues
        self.tenants = tenants
        self.lease_s = lease_s
        self.patience_s = patience_s
        self._waits_s = waits_s
        self.service = (url, key)
        self._service = ServiceConnection(url, key, timeout_s=patience_s, patience_s=patience_s)
        self._waiting: set[asyncio.Task[Reply]] = set()
        self._hurries = 0

    async def tell(self, kinds: Sequence[StatedKind]) -> list[str]:
        """Connect, tell the service the app's kinds, and return those that this key may not register.

        Raises:
            Unreachable, Unauthenticated: the service does not answer, or does not know the key.
        """
        await self._service.__aenter__()
        refused = []
        for kind in kinds:
            said = {
                "version": kind.version,
                "schema": kind.schema,
                "aliases": list(kind.aliases),
                "defaults": kind.defaults,
            }
            try:
                await self._service.ask("PUT", path_of("kinds", kind.name), body=orjson.dumps(said), patience_s=0)
            except Forbidden as error:
                if type(error) is not Forbidden:
                    raise
                refused.append(kind.name)
        return refused

    async def open(self) -> None:
        """Wait a moment: the service opens the store."""
        await asyncio.sleep(_OPEN_AGAIN_S)

    async def start(self) -> UUID:
        """Register a new incarnation, and return its id."""
        said: dict[str, Any] = {
            "kinds": self.kinds,
            "lease_s": math.ceil(self.lease_s),
            "about": {"host": platform.node(), "pid": os.getpid(), "version": __version__},
        }
        if self.queues is not None:
            said["queues"] = dict(self.queues)
        if self.tenants is not None:
            said["tenants"] = list(self.tenants)
        # A registration whose answer was lost leaves a worker that does nothing and is soon found dead.
        reply = await self._service.ask("POST", path_of("workers"), body=orjson.dumps(said), again=True, patience_s=0)
        return UUID(reply.json()["worker"])

    async def end(self, worker: UUID, reason: str) -> None:
        """Say that an incarnation has ended."""
        said = orjson.dumps({"reason": reason})
        await self._service.ask("POST", path_of("workers", worker, "stop"), body=said, again=True, patience_s=1.0)

    async def send(self, worker: UUID, reports: list[Report]) -> Sequence[Verdict]:
        """Send reports; return the verdicts on what was not accepted.

        Raises:
            Unavailable: also where the key is refused just now: an outcome is not to be lost for that.
        """
        said = {
            "terse": True,
            "reports": [
                {"id": str(one.id), "claim": one.claim, "outcome": one.outcome}
                if one.data is None
                else {
                    "id": str(one.id),
                    "claim": one.claim,
                    "outcome": one.outcome,
                    "data": orjson.Fragment(one.data),
                }
                for one in reports
            ],
        }
        path = path_of("workers", worker, "report")
        try:
            reply = await self._service.ask(
                "POST", path, body=orjson.dumps(said), headers=_PLAIN, again=True, patience_s=0
            )
        except Forbidden as error:
            raise Unavailable(f"The service refuses this worker's key: {error.message}") from None
        return [
            Verdict(UUID(one["id"]), one["verdict"], one["state"], one["reason"]) for one in reply.json()["verdicts"]
        ]

    async def claim(
        self,
        worker: UUID,
        n: int,
        call: int,
        *,
        held: Mapping[str, int],
        free: Mapping[str, int] | None,
        timeout_s: int | None,
        ticking: Ticking | None = None,  # noqa: ARG002 - the service ticks
        named: UUID | None = None,  # noqa: ARG002 - the service hears the hints
    ) -> Sequence[ClaimedJob]:
        """Claim up to n jobs of a time-out up to `timeout_s`, waiting for the first of them."""
        said: dict[str, Any] = {"n": n, "call": call}
        if held:
            said["held"] = dict(held)
        if free is not None:
            said["queues"] = dict(free)
        if timeout_s is not None:
            said["timeout_s"] = timeout_s
        waits_s = self._waits_s if timeout_s is None else min(self._waits_s, float(timeout_s))
        reply = await self._claimed(path_of("workers", worker, "claim"), said, waits_s)
        return [_job(one) for one in reply.json()["jobs"]]

    async def pulse(self) -> ServicePulse:
        """Open the heartbeat's connection, in whichever loop runs it."""
        service = ServiceConnection(
            *self.service, timeout_s=max(_HEARTBEAT_S, self.lease_s), patience_s=0, connections=1
        )
        return ServicePulse(await service.__aenter__())

    def hurry(self) -> None:
        """End the claims that wait: each is asked for once more, without waiting, and so loses nothing."""
        self._hurries += 1
        for task in self._waiting:
            task.cancel()

    async def close(self) -> None:
        """Let go of what is kept for claims and reports: nothing, for an end is still to be told."""

    async def disconnect(self) -> None:
        """Close every connection."""
        await self._service.close()

    async def _claimed(self, path: str, said: dict[str, Any], waits_s: float) -> Reply:
        """Ask for jobs, again under the same number while the answer is lost or the service is away."""
        until = time.monotonic() + self.patience_s
        pause_s = _PAUSE_S[0]
        hurries = self._hurries
        while True:
            try:
                return await self._waited(path, said, waits_s if hurries == self._hurries else 0.0)
            except Unavailable as error:
                if not _passes(error) or time.monotonic() + pause_s >= until:
                    raise
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            pause_s = min(pause_s * 2, _PAUSE_S[1])

    async def _waited(self, path: str, said: dict[str, Any], waits_s: float) -> Reply:
        if waits_s > 0:
            body = orjson.dumps({**said, "wait_s": waits_s})
            asking = self._service.ask("POST", path, body=body, headers=_PLAIN, wait_s=waits_s, patience_s=0)
            task = asyncio.get_running_loop().create_task(asking, name="jobledger-claim-waits")
            self._waiting.add(task)
            try:
                return await task
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if me is None or me.cancelling():
                    raise
            finally:
                self._waiting.discard(task)
        return await self._service.ask("POST", path, body=orjson.dumps(said), headers=_PLAIN, patience_s=0)


def _passes(error: Unavailable) -> bool:
    """Say whether it is about the way to the service, or its load, and not about the worker or the store."""
    if isinstance(error, Unreachable):
        return not error.detail.get("lasting")
    return type(error) in (Unavailable, Busy, RateLimited)


def _job(told: dict[str, Any]) -> ClaimedJob:
    kill_at = told["kill_at"]
    return ClaimedJob(
        UUID(told["id"]),
        told["tenant"],
        told["queue"],
        told["kind"],
        told["priority"],
        told["attempt"],
        told["max_attempts"],
        told["claim"],
        datetime.fromisoformat(told["run_at"]),
        None if kill_at is None else datetime.fromisoformat(kill_at),
        told["timeout"],
        orjson.dumps(told["data"]).decode(),
        told["owner"],
        datetime.fromisoformat(told["at"]),
    )
