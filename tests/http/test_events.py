"""The stream of events: from any place and then live, once each, of what is the reader's own."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, cast

import aiohttp
import asyncpg
import orjson
import pytest
from tests.faults.conftest import until
from tests.order.stress import seal_all

from jobledger import App, Client, Masked, observations
from jobledger.events.cloudevent import read_event
from jobledger.http import frames
from jobledger.http import stream as streams
from jobledger.http.access import Access
from jobledger.observations import StreamDropped
from jobledger.order.cursor import Place
from jobledger.store.roles import Role
from jobledger.store.workers import heartbeat, start_worker

from .eventsource import EventSource, facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from jobledger.http.service import Service
    from jobledger.store.pool import Store

READER = frozenset({Role.READ})
PATH = "/v1/events"
END_ALL = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""
LINES = {"Accept": "application/x-ndjson"}
NAMES = ("ada", "bob", "emails", "other")
CLAIM = "select * from jobledger.claim_job(0::smallint, $1, $2, $3, array['noop'])"


async def _enqueued(service: Service, count: int = 1, **options: Any) -> list[UUID]:
    service.client.strict = False
    made = [(await service.client.enqueue("noop", {"n": n}, **options)).id for n in range(count)]
    async with service.store.connection() as connection:
        await seal_all(connection)
    return made


async def _lines(session: aiohttp.ClientSession, **params: str) -> list[dict[str, Any]]:
    """Return what there is, as lines."""
    async with session.get(PATH, params={"live": "false", **params}, headers=LINES) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        return [orjson.loads(line) async for line in response.content if line.strip()]


def _jobs(found: list[dict[str, Any]]) -> list[str]:
    return [one["id"].partition("/")[0] for one in found]


async def _read_on(response: aiohttp.ClientResponse, source: EventSource) -> None:
    async for piece in response.content.iter_any():
        source.messages += source.parser.feed(piece.decode())


def _short(job: str) -> str:
    return job.rsplit("-", maxsplit=1)[-1]


@pytest.fixture
def seen() -> Iterator[list[observations.Observation]]:
    """Everything that is observed meanwhile."""
    found: list[observations.Observation] = []
    observations.listeners.append(found.append)
    yield found
    observations.listeners.remove(found.append)


async def test_a_page_loses_nothing_over_cut_connections(store: Store, serving: Any) -> None:
    """From now on, cut off before its first event, between events and while some come: each once, in order."""
    acme = Access("key:acme", READER, frozenset({"acme"}))
    async with serving(store, acme) as (session, service):
        await _enqueued(service, tenant="acme")
        async with EventSource(session, PATH, {"from_end": "true"}) as source:
            await until(lambda: source.parser.last_id)
            jobs: list[UUID] = []
            for turn in range(4):
                await source.cut_off()
                jobs += await _enqueued(service, 2, tenant="acme")
                await _enqueued(service, tenant="other")
                await until(partial(source.has, len(jobs) - turn % 2))
            await until(partial(source.has, len(jobs)))
        assert facts(source.messages) == [(f"{job}/1", "dev.jobledger.job.enqueued") for job in jobs]
        assert source.opened >= 5
        assert all(one.document.keys().isdisjoint({"position", "block", "xid"}) for one in source.messages)
        whole = await _lines(session)
        assert [one["cursor"] for one in whole[1:]] == [one.last_id for one in source.messages]
        assert _jobs(await _lines(session, after=whole[4]["cursor"])) == _jobs(whole[5:])
        # Where the log ends tells by no text that others were busy: it is another one each time.
        ends = [(await _lines(session, from_end="true"))[0]["cursor"] for _ in range(2)]
        assert ends[0] != ends[1]
        assert [await _lines(session, after=end) for end in ends] == [[], []]


async def test_each_reader_gets_its_own(store: Store, serving: Any) -> None:
    """Filters by owner, job, queue and type; a key of a tenant or an owner has no more than that, whatever it asks."""
    access = Access("admin", frozenset({Role.ADMIN}))
    async with serving(store) as (session, service):

        async def as_(given: Access, **params: str) -> list[str]:
            nonlocal access
            access = given
            return [_short(one) for one in _jobs(await _lines(session, **params))]

        async def who(_: object) -> Access:
            return access

        service.authenticate = who
        ada, bob, emails, other = [
            (await _enqueued(service, 1, **options))[0]
            for options in (
                {"tenant": "acme", "owner": "ada"},
                {"tenant": "acme", "owner": "bob"},
                {"tenant": "acme", "queue": "emails"},
                {"tenant": "other", "owner": "ada"},
            )
        ]
        names = dict(zip([_short(str(job)) for job in (ada, bob, emails, other)], NAMES, strict=True))

        async def got(given: Access, **params: str) -> str:
            return " ".join(names[one] for one in await as_(given, **params))

        every = access
        acme = Access("key:acme", READER, frozenset({"acme"}))
        his = Access("token:ada", READER, frozenset({"acme"}), "ada")
        assert await got(every) == "ada bob emails other"
        assert await got(every, owner="ada") == "ada other"
        assert await got(every, queue="emails") == "emails"
        assert await got(every, tenant="other", type="job.enqueued") == "other"
        assert await got(every, type="dev.jobledger.job.failed") == ""
        assert await got(acme) == await got(acme, tenant="acme") == "ada bob emails"
        assert await got(acme, job=str(bob)) == "bob"
        assert await got(acme, job=str(other)) == ""
        assert await got(his) == await got(his, owner="ada") == "ada"
        assert await got(his, job=str(bob)) == await got(his, queue="emails") == ""
        for given, params, status in (
            (acme, {"tenant": "other"}, 404),
            (acme, {"tenant": "nobody"}, 404),
            (his, {"owner": "bob"}, 404),
            (every, {"type": "job.exploded"}, 400),
            (every, {"after": "nonsense"}, 400),
            (every, {"hush": "1"}, 422),
            (Access("key:x", frozenset({Role.ENQUEUE}), frozenset({"acme"})), {}, 403),
        ):
            access = given
            async with session.get(PATH, params=params) as response:
                assert response.status == status, (given, params)
                assert response.content_type == "application/problem+json"
                told = await response.text()
                assert not any(value in told for value in params.values() if len(value) > 5)


async def test_workers_events_tell_each_reader_of_its_own_jobs_only(store: Store, serving: Any) -> None:
    """A heartbeat names jobs of many, and how often the worker has called: each gets its entries and no number."""
    access = Access("key:acme", READER, frozenset({"acme"}))
    async with serving(store) as (session, service):

        async def who(_: object) -> Access:
            return access

        service.authenticate = who
        whose = ({"tenant": "acme", "owner": "ada"}, {"tenant": "acme", "owner": "bob"}, {"tenant": "other"})
        ada, bob, other = [(await _enqueued(service, 1, **options))[0] for options in whose]
        async with store.connection() as connection:
            worker = (await start_worker(connection, 0, kinds=["noop"])).worker
            for call, job in enumerate((ada, bob, other), 1):
                await connection.fetch(CLAIM, worker, call, job)
            for beat in (1, 2):
                await heartbeat(connection, 0, worker, beat=beat, settled=3, held=[ada, bob, other])
            await seal_all(connection)
        # The one who sees more comes first: nobody may get the frame that was made for it.
        for own, given in (
            ({ada, bob}, access),
            ({ada}, Access("token:ada", READER, frozenset({"acme"}), "ada")),
            ({other}, Access("key:other", READER, frozenset({"other"}))),
        ):
            access = given
            found = await _lines(session)
            beats = [set(one["data"]["held"]) for one in found if one["type"].endswith("worker.heartbeat")]
            assert beats == [{str(job) for job in own}] * len(beats) != []
            assert not any(str(job) in str(found) for job in {ada, bob, other} - own)
            told = [(one.get("data") or {}) for one in found]
            assert {data[name] for data in told for name in ("call", "beat") if name in data} == {0}
            assert {read_event(one).event().stream_id for one in found if "job." in one["type"]} == own


async def test_marked_arguments_are_masked(store: Store, serving: Any) -> None:
    """As their kind was registered, without the application, in every form."""
    app = App()

    @app.job()
    async def mail(to: Annotated[str, Masked], subject: str) -> None:
        """Send a mail."""

    async with serving(store) as (session, service):
        await app.register(store)
        await service.client.enqueue("mail", {"to": "ada@example.com", "subject": "hello"})
        async with store.connection() as connection:
            await seal_all(connection)
        for path in (PATH, "/v1/replay"):
            params = {"type": "job.enqueued"} | ({"live": "false"} if path == PATH else {})
            for headers in (LINES, {}):
                async with session.get(path, params=params, headers=headers) as response:
                    text = await response.text()
                assert "hello" in text
                assert "ada@example.com" not in text


async def test_a_stream_says_that_it_lives(store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment where nothing else was sent for a while, or an empty line; neither is an event."""
    monkeypatch.setattr(streams, "KEEP_ALIVE_S", 0.0)
    async with (
        serving(store) as (session, service),
        EventSource(session, PATH) as source,
        session.get(PATH, headers=LINES) as response,
    ):
        await until(lambda: source.parser.retry_ms)
        await until(lambda: source.parser.comments or service.streams.wake())
        assert source.parser.retry_ms is not None
        assert 500 <= source.parser.retry_ms <= 3000
        assert await response.content.readline() == b"\n"
        assert (source.opened, source.messages) == (1, [])


async def test_what_the_log_no_longer_has_is_told_and_the_stream_goes_on(store: Store, serving: Any) -> None:
    """`reset`, with the cursor from which it then goes on by itself, and no id: the last event is still the last."""
    async with serving(store) as (session, service):
        jobs = await _enqueued(service, 3, tenant="acme")
        feed = service.feed(tenant="acme")
        await feed.begin()
        params = {"tenant": "acme", "after": feed.cursor_of(Place(block=900, position=900))}
        async with EventSource(session, PATH, params) as source:
            await until(lambda: source.messages)
            reset = source.messages[0]
            assert (reset.type, reset.document["reason"], reset.last_id) == ("reset", "beyond_end", "")
            jobs += await _enqueued(service, tenant="acme")
            on = await _lines(session, tenant="acme", after=reset.document["cursor"])
            await until(partial(source.has, 1 + len(on)))
            assert facts(source.messages) == [(one["id"], one["type"]) for one in on]
            assert _jobs(on)[-1] == str(jobs[-1])
        first = (await _lines(session, **params))[0]
        assert (first["control"], first["reason"]) == ("reset", "beyond_end")


async def test_a_service_that_ends_tells_its_streams(store: Store, serving: Any) -> None:
    """`bye`, with when to come again; what came until then is complete, and the next service goes on behind it."""
    async with serving(store) as (session, service):
        (first,) = await _enqueued(service, tenant="acme")
        async with EventSource(session, PATH) as source:
            await until(lambda: source.messages)
            service.draining.set()
            service.streams.wake()
            await until(lambda: source.fatal == 503)
        told = source.messages.pop()
        assert (told.type, told.document) == ("bye", {"retry_ms": source.parser.retry_ms})
    assert facts(source.messages) == [(f"{first}/1", "dev.jobledger.job.enqueued")]
    async with serving(store) as (session, service):
        (second,) = await _enqueued(service, tenant="acme")
        found = await _lines(session, after=source.parser.last_id)
        assert _jobs(found) == [str(second)]


async def test_who_takes_in_nothing_is_cut_off_and_goes_on(
    store: Store, serving: Any, seen: list[observations.Observation]
) -> None:
    """What waits for it is bounded; after a while without reading it is cut off; by its last id it gets the rest."""
    async with serving(store, http_write_s=0.3) as (session, service):
        service.client.strict = False
        for _ in range(20):
            args = {"text": "x" * 100_000}
            await service.client.enqueue_many([await service.client.call("noop", args) for _ in range(5)])
        async with store.connection() as connection:
            await seal_all(connection)
        async with session.get(PATH) as response:
            await until(lambda: any(isinstance(one, StreamDropped) for one in seen))
            source = EventSource(session, PATH)
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await _read_on(response, source)
        source.parser.cut()
        assert 0 < len(source.messages) < 100
        async with source:
            await until(lambda: len(source.messages) >= 100)
        assert len(set(facts(source.messages))) == len(source.messages) == 100


@pytest.mark.slow
async def test_streams_outlive_the_connections_to_the_database(store: Store, serving: Any, database: str) -> None:
    """The server ends every connection of the service: no client is cut off, and what comes then comes to all."""
    connection = await asyncpg.connect(database)
    client = Client(connection, strict=False)
    jobs: list[UUID] = []
    async with (
        serving(store) as (session, _),
        EventSource(session, PATH) as source,
        EventSource(session, PATH, {"tenant": "acme"}) as own,
    ):
        for turn in range(3):
            if turn:
                assert await connection.fetchval(END_ALL) > 0
            jobs.append((await client.enqueue("noop", tenant="acme")).id)
            await seal_all(connection)
            await until(partial(source.has, len(jobs)))
            await until(partial(own.has, len(jobs)))
    await connection.close()
    expected = [(f"{job}/1", "dev.jobledger.job.enqueued") for job in jobs]
    assert facts(source.messages) == facts(own.messages) == expected
    assert (source.opened, own.opened) == (1, 1)


async def test_what_is_not_shown_takes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of events that a view leaves out only the last are kept; after a restore the same number is another event."""
    monkeypatch.setattr(frames, "FRAMES_BYTES", 50_000)
    made: list[Any] = []

    class Nothing:
        def key(self, *_: Any) -> None:
            return None

        async def text(self, _: Any, one: Any, __: str | None) -> None:
            made.append(one)

    kept, feed, view = frames.Streams(), cast("Any", None), cast("Any", Nothing())
    events: list[Any] = [
        SimpleNamespace(place=Place(1, n, 1), event=SimpleNamespace(stream_id=n, version=1)) for n in range(1_000)
    ]
    for one in [*events, events[-1], events[0]]:
        assert await kept.frame(frames.SERVER_SENT, view, feed, one) == b""
    restored: Any = SimpleNamespace(place=Place(1, 0, 2), event=events[0].event)
    await kept.frame(frames.SERVER_SENT, view, feed, restored)
    assert made == [*events, events[0], restored]
