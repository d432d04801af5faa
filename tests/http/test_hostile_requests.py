"""The service under requests that mean it ill."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from tests.http.conftest import ADMIN
from tests.http.hostile import attacks, request

from jobledger import App
from jobledger.http import intake

if TYPE_CHECKING:
    from aiohttp import web
    from tests.http.hostile import Attack

    from jobledger.http.access import Access
    from jobledger.http.service import Service
    from jobledger.store.pool import Store

AT_ONCE = 32
PATIENCE_S = 30.0
GROWTH_MOST = 96 * 1024 * 1024
BODY_BYTES = 1024 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


class Parcel(BaseModel):
    """A parcel as its tenant sees it."""

    state: str


def _app() -> App:
    app = App()

    @app.resource("parcels", public=Parcel)
    @app.job()
    async def parcel(to: str) -> None:
        """Send it."""

    return app


async def _sent(port: int, attack: Attack) -> list[int]:
    """Send one on a line of its own, and return the statuses that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in attack.pieces:
            writer.write(piece)
            await writer.drain()
            if len(attack.pieces) > 1:
                await asyncio.sleep(0)
        if attack.then == "drop":
            return []
        if attack.then == "half":
            writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            return [int(status) for status in _STATUS.findall(await reader.read(64 * 1024))]
    except ConnectionError:
        return []
    except TimeoutError:
        pytest.fail(f"no answer to {attack.name}: {attack.pieces[0][:300]!r}")
    finally:
        writer.transport.abort()


async def _assaulted(store: Store, serving: Any, count: int) -> tuple[Counter[int], int]:
    """Send so many, a few at a time; return how often each status came, and by how much memory grew at most."""
    statuses: Counter[int] = Counter()
    async with serving(store, None, app=_app(), http_body_bytes=BODY_BYTES) as (session, service):
        _believe(service)
        await service.client.register()
        port = session._base_url.port
        before, memory = await _written(store), _peak(reset=True)
        wave = attacks(count, seed=6)

        async def assault() -> None:
            for attack in wave:
                found = await _sent(port, attack)
                assert all(status < 500 for status in found), (found, attack)
                statuses.update(found)

        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count // 50)]
        for place, (_, writer) in enumerate(idle):
            # These never say the rest.
            writer.write(
                request(b"POST", b"/v1/jobs", b'{"kind": "parcel"', length=b"Content-Length: 99\r\n")[: 20 + place]
            )
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(assault())
        grown = _peak() - memory
        assert await _written(store) == before
        async with session.get("/livez") as response:
            assert response.status == 200
        given = {"kind": "parcel", "args": {"to": "ada"}}
        async with session.post("/v1/jobs", json=given, headers={"Authorization": "Bearer good"}) as response:
            assert response.status == 201
        for _, writer in idle:
            writer.transport.abort()
    return statuses, grown


def _believe(service: Service) -> None:
    """Let `Bearer good` do everything, and everybody else what the service says."""
    strict = service.authenticate

    async def authenticate(request: web.Request) -> Access:
        good = request.headers.getall("Authorization", []) == ["Bearer good"]
        return ADMIN if good else await strict(request)

    service.authenticate = authenticate


async def _written(store: Store) -> tuple[int, ...]:
    async with store.connection() as connection:
        return tuple((await connection.fetch("select count(*), max(position) from jobledger.events"))[0])


def _peak(*, reset: bool = False) -> int:
    """Return the most memory that this process had, since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def test_a_hundred_hostile_requests_are_refused_and_write_nothing(store: Store, serving: Any) -> None:
    """One to eight of each kind: none is a fault of the service, and a good request is served after them."""
    statuses, _ = await _assaulted(store, serving, 104)
    assert {400, 401, 404, 405, 413, 422} <= set(statuses) <= {100, 200, 400, 401, 404, 405, 413, 415, 422}


async def test_a_body_that_does_not_come_is_waited_for_only_so_long(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The problem says so."""
    monkeypatch.setattr(intake, "BODY_S", 0.05)
    async with serving(store) as (session, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", session._base_url.port)
        writer.write(request(b"POST", b"/v1/jobs", b'{"kind":', length=b"Content-Length: 100\r\n"))
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read(64 * 1024)
        writer.transport.abort()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"has not come" in answer


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_ten_thousand_hostile_requests_leave_the_service_as_it_was(store: Store, serving: Any) -> None:
    """It serves on, has written nothing, and its memory grew by no more than what it may hold at once."""
    statuses, grown = await _assaulted(store, serving, 10_000)
    assert sum(statuses.values()) > 5000
    assert set(statuses) <= {100, 200, 400, 401, 404, 405, 413, 415, 422}
    assert grown < GROWTH_MOST, statuses
