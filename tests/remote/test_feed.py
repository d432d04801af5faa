"""A feed over a service goes on by its cursor, whatever is cut: without gap, repeat, or another order."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.http.conftest import kept_port
from tests.order.stress import seal_all

from jobledger.errors import FeedReset, InvalidArgument, Unavailable, Unreachable
from jobledger.http.access import Access
from jobledger.http.server import listening
from jobledger.http.service import Service
from jobledger.jobs import App, Client
from jobledger.order.cursor import Cursors, Place
from jobledger.order.kinds import Kinds
from jobledger.remote import feed as feeds
from jobledger.settings import Settings
from jobledger.store.roles import Role
from jobledger.testing import drain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from uuid import UUID

    from aiohttp import web

    from jobledger.events import Event
    from jobledger.store.pool import Store


class Relay:
    """A line to the service that is cut after so many bytes each time; None: never."""

    def __init__(self, port: int) -> None:
        """Lead to this port."""
        self.port = port
        self.cut_after: int | None = None
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen for a block; give the address."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut every connection."""
        for task in self._tasks:
            task.cancel()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(self._pass(reader, writer)))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        left = self.cut_after
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        there = asyncio.create_task(self._copy(reader, ours))
        try:
            while (left is None or left > 0) and (data := await theirs.read(500)):
                writer.write(data[:left])
                await writer.drain()
                left = None if left is None else left - len(data)
        except OSError:
            pass
        finally:
            there.cancel()
            ours.transport.abort()
            writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)


@pytest.fixture
def port() -> Iterator[int]:
    """Give a port of the test's own."""
    with kept_port() as kept:
        yield kept


@asynccontextmanager
async def serving(store: Store, port: int = 0) -> AsyncIterator[tuple[Service, int]]:
    """Serve for whoever asks; give the service and its port."""

    async def fixed(_: web.Request) -> Access:
        return Access("key:ada", frozenset({Role.ADMIN}))

    service = Service(store, settings=Settings(http_port=port, http_drain_s=0.2), authenticate=fixed)
    async with listening(service) as url:
        yield service, int(url.rpartition(":")[2])


def _of(events: list[Event]) -> list[tuple[UUID, int]]:
    return [(event.stream_id, event.version) for event in events]


async def _seal(store: Store) -> None:
    async with store.connection() as connection:
        await seal_all(connection)


@pytest.mark.slow
async def test_a_feed_goes_on_over_cut_connections(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut anywhere, in the middle of a line too, while it catches up and live: every event once, in the log's order."""
    monkeypatch.setattr(feeds, "_BACKOFF_S", (0.01, 0.05))
    async with Client(store, strict=False) as direct, serving(store) as (_, port):
        for _ in range(10):
            await asyncio.gather(*(direct.enqueue("noop", {"text": "x" * 80}, tenant="acme") for _ in range(5)))
        await _seal(store)
        relay = Relay(port)
        relay.cut_after = 3_333
        async with relay.listening() as url, Client(url=url, key="jl_key") as client:
            whole = _of([event async for event in direct.events(live=False)])
            assert _of([event async for event in client.events(live=False)]) == whole
            assert relay.connections > 5
            feed = client.events(tenant="acme")
            found = [await anext(feed) for _ in range(20)]
            middle = feed.cursor
            found += [await anext(feed) for _ in range(30)]
            coming = asyncio.ensure_future(anext(feed))
            job = await direct.enqueue("noop", tenant="acme")
            await _seal(store)
            found.append(await asyncio.wait_for(coming, 10))
            await feed.aclose()
            assert found[-1].stream_id == job.id
            assert len(set(_of(found))) == len(found) == 51
            assert _of([one async for one in client.events(tenant="acme", after=middle, live=False)]) == _of(found[20:])
            with pytest.raises(StopAsyncIteration):
                await anext(feed)


async def test_a_feed_outlives_the_service(store: Store, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drained and started anew it goes on; a call that was cancelled loses nothing; away for long is an error."""
    monkeypatch.setattr(feeds, "_BACKOFF_S", (0.01, 0.05))
    async with Client(store, strict=False) as direct:
        async with serving(store, port):
            client = await Client(url=f"http://127.0.0.1:{port}", key="jl_key").__aenter__()
            feed = client.events()
            cancelled = asyncio.ensure_future(anext(feed))
            async with asyncio.timeout(10):
                while feed._lines._lines is None:  # type: ignore[attr-defined]  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.005)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            first = await direct.enqueue("noop")
            await _seal(store)
            assert (await anext(feed)).stream_id == first.id
            waiting = asyncio.ensure_future(anext(feed))
        second = await direct.enqueue("noop")
        await _seal(store)
        monkeypatch.setattr(feeds, "PATIENCE_S", 0.1)
        with pytest.raises(Unreachable):
            await waiting
        monkeypatch.setattr(feeds, "PATIENCE_S", 30.0)
        async with serving(store, port):
            assert (await asyncio.wait_for(anext(feed), 10)).stream_id == second.id
            await feed.aclose()
            await client.__aexit__(None, None, None)


async def test_what_is_gone_is_told_with_where_to_go_on(store: Store) -> None:
    """A cursor from beyond the end is a reset; its cursor is good, and the call may be made again."""
    async with Client(store, strict=False) as direct, serving(store) as (_, port):
        await direct.enqueue("noop")
        await _seal(store)
        (event,) = [one async for one in direct.events(live=False)]
        async with store.connection() as connection:
            beyond = await connection.fetchval("select max(block) + 1000 from jobledger.blocks")
        cursor = Cursors().write(Place(beyond))
        async with Client(url=f"http://127.0.0.1:{port}", key="jl_key") as client:
            told = []
            for asked in (client, direct):
                feed = asked.events(after=cursor, live=False)
                for _ in range(2):
                    with pytest.raises(FeedReset) as raised:
                        await anext(feed)
                    told.append(raised.value.detail)
            assert told[0] == told[1] == told[2] == told[3]
            assert [one async for one in client.events(after=told[0]["cursor"], live=False)] == [event]


async def test_only_a_minute_without_anything_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign of life ends what is counted; who says "in a day" is asked before; a closed client is told at once."""
    monkeypatch.setattr(feeds, "_BACKOFF_S", (0.001, 0.002))
    monkeypatch.setattr(feeds, "PATIENCE_S", 0.0)

    class Line:
        """A service that shows so many signs of life each time, and is lost."""

        def __init__(self, signs: int) -> None:
            self.signs = signs

        @asynccontextmanager
        async def stream(self, *_: object, **__: object) -> AsyncIterator[AsyncIterator[bytes]]:
            async def lines() -> AsyncIterator[bytes]:
                for _ in range(self.signs):
                    yield b""
                raise Unavailable("Away.", detail={"retry_after_s": 86_400})

            yield lines()

    async with asyncio.timeout(5):
        lines = feeds.Lines(cast("Any", Line(1)), "/v1/events")
        assert [await lines.next({}) for _ in range(4)] == [{"control": "lost"}] * 4
        lines = feeds.Lines(cast("Any", Line(0)), "/v1/events")
        await lines.next({})
        with pytest.raises(Unavailable):
            await lines.next({})
        with pytest.raises(Unreachable):
            await anext(Client(url="http://127.0.0.1:1", key="jl_key").events())
        async with Client(url="http://127.0.0.1:1", key="jl_key") as client:
            with pytest.raises(InvalidArgument):
                await anext(client.events(after="\ud800"))


async def test_a_replay_may_be_silent_for_longer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked for may lie far behind: who waits for its first event is not taken as lost."""
    fits = Kinds.fits

    async def slowly(self: Kinds, event: Event) -> bool:
        await asyncio.sleep(0.2)
        return await fits(self, event)

    monkeypatch.setattr(Kinds, "fits", slowly)
    monkeypatch.setattr(feeds, "SILENCE_S", 0.05)
    async with Client(store, strict=False) as direct, serving(store) as (_, port):
        await direct.enqueue("noop")
        await _seal(store)
        async with Client(url=f"http://127.0.0.1:{port}", key="jl_key") as client, asyncio.timeout(5):
            assert len([one async for one in client.replay(kind="noop")]) == 1


async def test_numbers_are_told_whole(store: Store) -> None:
    """A result of more than 64 bits is the same by either way: in a history, a feed and a replay."""
    app = App()

    @app.job()
    async def vast() -> int:
        return 10**30

    async with serving(store) as (_, port), Client(url=f"http://127.0.0.1:{port}", key="jl_key") as client:
        direct = Client(store, app=app)
        job = await vast.using(client=direct).enqueue()
        await drain(app, store)
        await _seal(store)
        for asked in (direct, client):
            told = [await asked.history(job.id), [one async for one in asked.events(live=False)]]
            told.append([one.event async for one in asked.replay()])
            found = [one.data for events in told for one in events if one.type == "job.succeeded"]
            assert [(data or {}).get("result") for data in found] == [10**30] * 3
