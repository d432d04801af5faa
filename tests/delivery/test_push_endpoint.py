"""One endpoint at work, without a database: what it sends at a time, and what it does with what it does not send."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from jobledger.delivery.push_endpoint import BODY_BYTES, Endpoint, Wire
from jobledger.delivery.sender import Sender, Sent
from jobledger.ids import new_id
from jobledger.lifecycle.retry import RetryPolicy
from jobledger.store.claim import ClaimedJob
from jobledger.store.pushes import Push
from jobledger.store.service_key import ServiceKey
from jobledger.worker.incarnation import Incarnation
from jobledger.worker.slots import Slot

NOW = datetime.now(UTC)
PUSH = Push("calls", None, "https://a.example/", 2, 3, 5, "attempt", 1, NOW, NOW, None, None)


class Holding(Sender):
    """Sends nothing: keeps each request until it is let go, and then has it answered as told."""

    def __init__(self) -> None:
        """Begin with nothing kept."""
        super().__init__()
        self.kept: list[tuple[int, asyncio.Future[Sent]]] = []

    async def post(self, url: str, body: bytes, headers: Any, **_: Any) -> Sent:  # noqa: ARG002 - as it is called
        """Keep a request by the number of its jobs."""
        answer: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self.kept.append((len(orjson.loads(body)["jobs"]), answer))
        return await answer


def delivering(endpoint: Endpoint, count: int, data: str = "{}") -> list[asyncio.Task[Any]]:
    """Deliver so many jobs."""
    tasks = []
    for _ in range(count):
        job = ClaimedJob(new_id(), "acme", "calls", "call", 0, 1, 5, 2, NOW, None, 60, data, None, NOW)
        slot = Slot()
        slot.started = asyncio.get_running_loop().time()
        slot.home = Incarnation(uuid4())
        tasks.append(asyncio.ensure_future(endpoint.deliver(job, slot, RetryPolicy())))
    return tasks


async def turns(endpoint: Endpoint, sender: Holding, kept: int) -> None:
    """Wait until so many requests were kept; no more come, for none gathers and each that was begun is kept."""

    def settled() -> bool:
        under_way = sum(not answer.done() for _, answer in sender.kept)
        return len(sender.kept) >= kept and endpoint._gathering is None and len(endpoint._sending) == under_way

    async with asyncio.timeout(5):
        while not settled():  # noqa: ASYNC110 - the endpoint gathers for a moment
            await asyncio.sleep(0.001)
    assert len(sender.kept) == kept


async def test_no_more_are_under_way_than_the_push_says_whoever_claims_them() -> None:
    """Five jobs, three at a time, two a request: the rest goes as others end; in the end all have their outcomes."""
    sender = Holding()
    endpoint = Endpoint(PUSH, Wire(sender, ServiceKey(b"k" * 32), "http://a"), lambda _: None)
    tasks = delivering(endpoint, 5)
    await turns(endpoint, sender, 2)
    assert [size for size, _ in sender.kept] == [2, 1]
    sender.kept[0][1].set_result(Sent(200, None, b"", None, 0.1))
    await turns(endpoint, sender, 3)
    assert sender.kept[2][0] == 2
    for _, answer in sender.kept[1:]:
        answer.set_result(Sent(200, None, b"", None, 0.1))
    assert {(await task)[0] for task in tasks} == {"succeeded"}
    assert not endpoint.busy
    assert endpoint.under_way == 0


async def test_a_request_ends_at_its_bytes() -> None:
    """A batch of large jobs goes out in several requests."""
    sender = Holding()
    endpoint = Endpoint(
        PUSH._replace(batch=10, concurrency=10), Wire(sender, ServiceKey(b"k" * 32), ""), lambda _: None
    )
    large = orjson.dumps({"args": {"text": "x" * (BODY_BYTES // 2)}}).decode()
    tasks = delivering(endpoint, 4, large)
    await turns(endpoint, sender, 2)
    assert [size for size, _ in sender.kept] == [2, 2]
    for _, answer in sender.kept:
        answer.set_result(Sent(503, "status", b"", None, 0.1))
    outcomes = [await task for task in tasks]
    assert {outcome[1]["error"]["type"] for outcome in outcomes} == {"DeliveryNotStarted"}
    assert endpoint.room == 10


async def test_a_job_that_cannot_be_written_fails_alone() -> None:
    """It nests deeper than is written here; the other job of its request goes out, and is told of by itself."""
    sender = Holding()
    endpoint = Endpoint(PUSH, Wire(sender, ServiceKey(b"k" * 32), ""), lambda _: None)
    tasks = delivering(endpoint, 1, '{"args": {"x": ' + "[" * 300 + "]" * 300 + "}}") + delivering(endpoint, 1)
    await turns(endpoint, sender, 1)
    assert sender.kept[0][0] == 1
    sender.kept[0][1].set_result(Sent(200, None, b'{"outcome": "succeeded"}', None, 0.1))
    outcomes = [await task for task in tasks]
    assert [outcome[0] for outcome in outcomes] == ["failed", "succeeded"]
    assert outcomes[0][1]["error"]["type"] == "DeliveryNotStarted"
    assert endpoint.under_way == 0
