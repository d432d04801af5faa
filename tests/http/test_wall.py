"""The wall of the service: every route, asked from another tenant and by another owner, as if nothing were there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel
from tests.faults.conftest import until
from tests.order.stress import seal_all

from jobledger import App
from jobledger.delivery.webhooks import Webhooks
from jobledger.http.access import Access
from jobledger.http.resources import routes_of
from jobledger.http.service import PARTS
from jobledger.jobs.client import Client
from jobledger.store import keys
from jobledger.store.roles import Role
from jobledger.store.service_key import ServiceKey

from .wall_cases import CASES, Ask

if TYPE_CHECKING:
    import aiohttp

    from jobledger.http.route import Route
    from jobledger.store.pool import Store

ALL: Final = frozenset(Role)
STRANGER: Final = Access("key:stranger", ALL, frozenset({"strange"}), id=uuid4())
NEIGHBOUR: Final = Access("key:neighbour", ALL, frozenset({"acme"}), owner="bob", id=uuid4())
BROAD: Final = Access("key:broad", ALL, frozenset({"strange", "stranger"}), id=uuid4())
MARK: Final = "mark"
"""Stands in all that is somebody else's, and in no question: no answer may hold it."""


class Seen(BaseModel):
    """A launch as its tenant sees it."""

    id: UUID
    state: str


def application() -> App:
    """Return an application with a resource, for its routes."""
    app = App()

    @app.resource("launches", public=Seen)
    @app.job(name="noop")
    async def noop(site: str = "") -> None:
        """Do nothing."""

    return app


def every_route() -> list[Route]:
    """Return the routes of the service, and those of a resource."""
    own = [route for part in PARTS for route in part.all]
    return own + routes_of(application(), own)


@dataclass
class World:
    """What belongs to ada of acme, and what stands in its place where nothing does."""

    theirs: dict[str, str]
    nobodys: dict[str, str]


@pytest.mark.parametrize("name", [route.name for route in every_route()])
def test_every_route_has_a_case(name: str) -> None:
    """A new route comes with how it is called from outside: see wall_cases.py."""
    assert name in CASES


def test_every_case_is_of_a_route_with_its_parts() -> None:
    """Names are of one route each; a call fills in the whole path, and stands for something of somebody else's."""
    routes = every_route()
    assert len({route.name for route in routes}) == len(routes)
    by_name = {route.name: route for route in routes}
    for name, asks in CASES.items():
        assert asks or name not in by_name or by_name[name].public, name
        for ask in asks if name in by_name else ():
            assert set(re.findall(r"{(\w+)}", by_name[name].path)) == ask.path.keys(), name
            assert (ask.body is not None) <= (by_name[name].body is not None), name


async def _world(store: Store, app: App) -> World:
    """Fill the database: ada's jobs in several states, a worker that has one, keys, a webhook, a push, a pause."""
    client = Client(store, app=app, actor="mark-actor")
    await client.register()
    args, tags = {"site": "mark-site"}, ["mark-tag"]
    whose: dict[str, Any] = {"tenant": "acme", "owner": "mark-ada", "tags": tags, "queue": "mark-queue"}
    job = await client.enqueue("noop", args, key="mark-again", unique_key="mark-unique", **whose)
    parked = await client.enqueue("noop", args, key="mark-again2", unique_key="mark-unique2", **whose)
    running = await client.enqueue("noop", args, **{**whose, "queue": "mark-running"})
    async with store.connection() as connection:
        worker = await connection.fetchval(
            "select worker from jobledger.worker_start(0::smallint, null, '{\"mark-running\": null}', array['noop'],"
            " array['acme'], 30, '{\"host\": \"mark-host\"}')"
        )
        await connection.fetch("select jobledger.claim_job(0::smallint, $1, 1, $2, array['noop'])", worker, running.id)
        await connection.execute("select jobledger.pause(0::smallint, 'tenant', 'acme', 'mark-actor', 'mark-reason')")
        service = await ServiceKey.load(connection)
        text = keys.new_key(service)
        key, _ = await keys.create_key(
            connection, 0, text, "mark-key", roles=["read"], tenants=["acme"], owner="mark-ada"
        )
        await connection.execute(
            "select jobledger.subscription_create(0::smallint, 'acme', 'mark-subscription', p_reason => 'mark')"
        )
        await connection.execute(
            "select jobledger.push_set(0::smallint, 'mark-queue', 'acme', 'https://mark.example/', 1, 10, 3600)"
        )
        await seal_all(connection)
    made = await Webhooks(store, tenant="acme", owner="mark-ada").create(
        "mark-hook", "https://mark.example/", queue="mark"
    )
    theirs = {
        "tenant": "acme",
        "owner": "mark-ada",
        "job": str(job.id),
        "parked": str(parked.id),
        "running": str(running.id),
        "worker": str(worker),
        "key": str(key),
        "webhook": str(made.id),
        "hook": "mark-hook",
        "again": "mark-again",
        "unique": "mark-unique",
        "queue": "mark-queue",
        "subscription": "mark-subscription",
        "pushed": service.sign("browser", b"{}"),
    }
    nobodys = {
        name: str(_absent(value)) if re.fullmatch(r"[0-9a-f-]{36}", value) else f"nobodys-{name}"
        for name, value in theirs.items()
    }
    return World(theirs, nobodys)


def _absent(id_: str) -> UUID:
    """Return an id of the same moment that nothing has."""
    return UUID(int=UUID(id_).int ^ 0xFF)


def _filled(part: Any, words: dict[str, str]) -> Any:
    if isinstance(part, str):
        return re.sub(r"{(\w+)}", lambda found: words[found[1]], part)
    if isinstance(part, Mapping):
        return {name: _filled(value, words) for name, value in part.items()}
    return [_filled(value, words) for value in part] if isinstance(part, list) else part


async def _answer(session: aiohttp.ClientSession, route: Route, ask: Ask, words: dict[str, str]) -> tuple[Any, ...]:
    """Return status, headers and body, what was asked for put back into its placeholder."""
    path = _filled(re.sub(r"{(\w+)}", lambda found: ask.path[found[1]], route.path), words)
    options: dict[str, Any] = {} if ask.body is None else {"json": _filled(ask.body, words)}
    async with session.request(route.method, path, params=_filled(ask.query, words), **options) as answer:
        body = await answer.text()
        headers = {name: value for name, value in answer.headers.items() if name not in _PASSING}
    for name, value in words.items():
        if name not in ("mine", "me"):
            body = body.replace(value, f"<{name}>")
    body = re.sub(r"retry: \d+", "retry: <some>", body)
    body = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "<moment>", body)
    new = r'"id":"[0-9a-f-]{36}"|jlt?_[\w-]+|whsec_[\w/+=]+|"(id|prefix)": *"[^"]*"'
    return answer.status, headers, re.sub(new, "<new>", body)


_PASSING: Final = ("Date", "Content-Length", "ETag", "Location")

STREAMS: Final = "select stream_id, max(version) from jobledger.events group by stream_id"
BEGUN: Final = """
select e.type::text, e.tenant, coalesce(e.data ->> 'owner', e.data #>> '{filter,owner}') from jobledger.events as e
where e.version = 1 and not e.stream_id = any ($1)
"""
MADE: Final = ("job.enqueued", "key.created", "webhook.created", "subscription.created", "worker.started")
"""What a bearer may make of its own."""


@pytest.mark.parametrize(
    "asking", [STRANGER, NEIGHBOUR, pytest.param(BROAD, marks=pytest.mark.slow)], ids=["stranger", "neighbour", "broad"]
)
async def test_the_wall_stands(store: Store, serving: Any, asking: Access) -> None:
    """Of what is not the bearer's own no answer tells anything, and nothing of it changes."""
    app = application()
    world = await _world(store, app)
    mine = {"mine": min(asking.tenants or ()), "me": asking.owner or "me"}
    theirs, nobodys = world.theirs | mine, world.nobodys | mine
    if asking.owner is not None:
        nobodys["tenant"] = theirs["tenant"]
    faults = []
    async with store.connection() as connection:
        before = {row[0]: row[1] for row in await connection.fetch(STREAMS)}
    async with serving(store, asking, app=app) as (session, _):
        for route in every_route():
            for ask in CASES[route.name]:
                if ask.owned and asking.owner is None:
                    continue
                found = await _answer(session, route, ask, theirs)
                lacking = await _answer(session, route, ask, nobodys)
                told = MARK in str(found) or (asking.owner is None and "acme" in str(found))
                if found != lacking or told or found[0] >= 500:
                    faults.append(f"{route.name} {ask}\n    {found}\n    {lacking}")
    async with store.connection() as connection:
        after = {row[0]: row[1] for row in await connection.fetch(STREAMS)}
        begun = {tuple(row) for row in await connection.fetch(BEGUN, list(before))}
    assert not faults, "\n".join(faults)
    assert {id_: after[id_] for id_ in before} == before
    for type_, tenant, owner in begun:
        assert type_ in MADE
        assert tenant in (asking.tenants or ())
        assert asking.owner is None or owner == asking.owner or type_ == "subscription.created"


REPORT: Final = """
select * from jobledger.report(0::smallint, $1, array[$2::uuid], array[$3::int], array['succeeded'], array[null::jsonb])
"""
_IDS: Final = ("job", "parked", "running", "worker", "key")


async def test_the_wall_stands_in_live_streams(store: Store, serving: Any) -> None:
    """While ada's jobs go on, streams that others have open tell them of their own only, whatever they asked for."""
    app = application()
    world = await _world(store, app)
    async with store.connection() as connection:
        service_key = await ServiceKey.load(connection)
        bearers = {}
        for name, tenant, owner in (("stranger", "strange", None), ("neighbour", "acme", "bob")):
            text = bearers[name] = keys.new_key(service_key)
            await keys.create_key(connection, 0, text, name, roles=["admin"], tenants=[tenant], owner=owner)
    async with serving(store, None, app=app) as (session, service):

        async def told(place: int) -> None:
            key, path, query = asked[place]
            headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
            async with session.get(path, params={"from_end": "true", **query}, headers=headers) as answer:
                assert answer.status == 200
                async for part in answer.content.iter_any():
                    texts[place] += part.decode()

        asked: list[tuple[str, str, dict[str, str]]] = [
            (key, path, query)
            for key in bearers.values()
            for path, query in (
                ("/v1/events", {}),
                ("/v1/launches/events", {}),
                ("/v1/events", {"job": world.theirs["running"]}),
                ("/v1/events", {"job": world.theirs["worker"]}),
                ("/v1/events", {"queue": "mark-queue"}),
                ("/v1/events", {"type": "worker.report_rejected"}),
            )
        ]
        asked.append((bearers["stranger"], "/v1/events", {"owner": "mark-ada"}))
        texts = [""] * len(asked)
        streams = [asyncio.create_task(told(place)) for place in range(len(asked))]
        await until(lambda: len(service.book._open) == len(asked))
        worker, running = UUID(world.theirs["worker"]), UUID(world.theirs["running"])
        await service.client.cancel(UUID(world.theirs["job"]), reason="mark-reason")
        async with store.connection() as connection:
            for claim in (2, 2):
                await connection.fetch(REPORT, worker, running, claim)
            await connection.execute("select jobledger.resume(0::smallint, 'tenant', 'acme', 'mark', 'mark')")
        own = {
            key: await service.client.enqueue("noop", {}, tenant=tenant, owner=owner)
            for key, tenant, owner in zip(bearers.values(), ("strange", "acme"), ("bob", "bob"), strict=True)
        }
        async with store.connection() as connection:
            await seal_all(connection)
        # What is said of the other's jobs was sealed before.
        whole = [(place, str(own[key].id)) for place, (key, _, query) in enumerate(asked) if not query]
        await until(lambda: all(id_ in texts[place] for place, id_ in whole))
        service.draining.set()
        service.streams.wake()
        await asyncio.gather(*streams)
    for (_, path, query), text in zip(asked, texts, strict=True):
        assert MARK not in text, (path, query)
        assert not [name for name in _IDS if world.theirs[name] in text], (path, query)
