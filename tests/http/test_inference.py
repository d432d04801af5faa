"""What can be inferred: counts, cursors, other tenants' workers, rates and memory, by who may see only its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiohttp.test_utils import make_mocked_request
from yarl import URL

from jobledger.errors import Unauthenticated, Unreachable
from jobledger.http import acts, key_book
from jobledger.http.access import Access
from jobledger.http.authentication import Authentication
from jobledger.http.key_book import KeyBook
from jobledger.http.token import Claims, written
from jobledger.jobs import masking
from jobledger.jobs.client import Client
from jobledger.settings import Settings
from jobledger.store import jobs_read, keys
from jobledger.store.kinds import StatedKind, register_kinds
from jobledger.store.roles import Role
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

    from jobledger.store.pool import Store

ALL = frozenset(Role)
BEARERS = {
    "bob": Access("key:bob", ALL, frozenset({"acme"}), owner="bob"),
    "ada": Access("key:ada", ALL, frozenset({"acme"}), owner="ada"),
    "acme": Access("key:acme", ALL, frozenset({"acme"})),
    "globex": Access("key:globex", ALL, frozenset({"globex"})),
    "root": Access("key:root", ALL),
}


async def _by_name(request: web.Request) -> Access:
    return BEARERS[request.headers["As"]]


async def ask(session: ClientSession, who: str, method: str, path: str, **given: Any) -> tuple[int, Any]:
    """Return the status and the document."""
    async with session.request(method, path, headers={"As": who}, **given) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_an_owner_learns_nothing_of_how_much_others_do(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither how many jobs were looked at, nor where a list or an act goes on, tells of other owners' jobs."""
    monkeypatch.setattr(jobs_read, "LOOKED_AT_MAX", 2)
    monkeypatch.setattr(acts, "WORKS_S", -1.0)
    client = Client(store, strict=False)
    ids = []
    for owner in ("bob", "ada", "ada", "ada"):
        job = await client.enqueue("noop", tenant="acme", owner=owner)
        await client.cancel(job.id, reason="to see")
        ids.append(str(job.id))
    async with serving(store, None) as (session, service):
        service.authenticate = _by_name
        found, query = [], {"state": "cancelled"}
        while True:
            _, page = await ask(session, "bob", "GET", "/v1/jobs", params=query)
            assert page["looked_at"] == len(page["jobs"])
            assert page["next"] not in ids
            found += [one["id"] for one in page["jobs"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert found == ids[:1]
        for who, cursor in (("ada", query["cursor"]), ("bob", ids[1]), ("bob", query["cursor"][:-2])):
            status, _ = await ask(session, who, "GET", "/v1/jobs", params={"cursor": cursor})
            assert status == 400
        # Who may see all of them is told what was read.
        _, page = await ask(session, "acme", "GET", "/v1/jobs", params={"state": "cancelled", "limit": "1"})
        assert (page["looked_at"], page["next"]) == (2, ids[3])
        meant: dict[str, Any] = {"act": "retry", "filter": {}, "reason": "again"}
        verdicts = []
        while True:
            _, done = await ask(session, "bob", "POST", "/v1/jobs/acts", json=meant)
            assert done["next"] not in ids
            verdicts.append(done["verdicts"])
            if done["next"] is None:
                break
            meant["cursor"] = done["next"]
        assert [one for one in verdicts if one] == [{"done": 1}]


async def test_a_tenant_learns_nothing_by_empty_lists_and_gains_nothing_by_making_keys(
    store: Store, serving: Any
) -> None:
    """A worker of no tenant is within every tenant's list; a key without a rate is bound by the service's."""
    async with serving(store, None) as (session, service):
        service.authenticate = _by_name
        _, made = await ask(session, "acme", "POST", "/v1/workers", json={"kinds": ["hush"], "tenants": []})
        assert (await ask(session, "globex", "GET", "/v1/workers"))[1] == {"workers": [], "next": None}
        assert (await ask(session, "globex", "GET", f"/v1/workers/{made['worker']}"))[0] == 404
        assert len((await ask(session, "root", "GET", "/v1/workers"))[1]["workers"]) == 1
        service.settings = Settings(http_rate=100)
        for who, rate, status in (("acme", 101, 422), ("acme", 100, 201), ("ada", 101, 422), ("root", 101, 201)):
            new = {"name": "n", "tenants": ["acme"], "rate": rate}
            assert (await ask(session, who, "POST", "/v1/keys", json=new))[0] == status, who


async def test_what_was_signed_without_a_key_is_worth_no_more_than_a_jwt(store: Store) -> None:
    """Roles of the database that read can have the service's own key: they cannot sign themselves a way in."""
    named = {"jwt_keys": "/nowhere", "jwt_issuer": "i", "jwt_audience": "a"}
    async with store.connection() as connection:
        service_key = await ServiceKey.load(connection)
    soon = datetime.now(UTC) + timedelta(hours=1)
    whole = Claims(None, "ada", frozenset({Role.ADMIN}), None, None, None, soon)
    of_ada = whole._replace(tenant="acme", owner="ada")
    for settings, claims, expected in (
        ({}, whole, 401),
        ({}, of_ada, 401),
        (named, whole, 401),
        (named, whole._replace(tenant="acme"), 401),
        (named, of_ada._replace(owner="bob"), 401),
        (named, of_ada, 200),
    ):
        reads = Authentication(KeyBook(store), Settings(**settings))
        request = make_mocked_request("GET", "/v1/me", {"Authorization": f"Bearer {written(service_key, claims)}"})
        try:
            await reads(request)
            found = 200
        except Unauthenticated as refused:
            found = refused.http_status
        assert found == expected, (settings, claims)


async def test_what_strangers_and_oddities_send_is_not_kept(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that no kind has, bodies of strangers, schemas that are none, uses that were not noted."""
    schemas: list[Any] = [{"properties": []}, {"properties": {"a": {"anyOf": 7}}}, {"$defs": 7, "prefixItems": 7}]
    async with store.connection() as connection:
        kinds = [StatedKind(f"odd{place}", 1, schema, (), {}) for place, schema in enumerate(schemas)]
        await register_kinds(connection, store.shard, kinds)
    async with serving(store, None) as (session, service):
        service.authenticate = _by_name
        status, problem = await ask(session, "acme", "POST", "/v1/jobs", json={"kind": "k" * 129})
        assert (status, problem["code"]) == (400, "invalid_argument")
        assert not service.catalogue._seen
        for kind in kinds:
            status, said = await ask(session, "acme", "POST", "/v1/jobs", json={"kind": kind.name, "args": {"a": [1]}})
            assert status == 201, (kind, said)
            status, said = await ask(session, "acme", "GET", f"/v1/jobs/{said['id']}")
            assert status == 200, (kind, said)
        # Who has no token is refused before the body is taken in.
        address = URL(str(session._base_url))
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"POST /v1/pushed/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: 1000\r\n\r\n")
        async with asyncio.timeout(30):
            assert b" 401 " in await reader.readline()
        writer.close()
        book = service.book

        async def failing(*_: Any) -> None:
            for id_ in (uuid4(), uuid4(), uuid4()):
                book.used(id_)
            raise Unreachable

        monkeypatch.setattr(key_book, "KNOWN_MOST", 3)
        monkeypatch.setattr(keys, "note_used", failing)
        for _ in range(3):
            book.used(uuid4())
            with pytest.raises(Unreachable):
                await book.note()
        assert len(book._used) == 3


async def test_what_may_be_got_may_be_asked_for_without_its_body(store: Store, serving: Any) -> None:
    """HEAD answers as GET does, but for the body; a stream has nothing to say by it."""
    async with serving(store) as (session, _):
        for path in ("/livez", "/v1/jobs", "/v1/jobs/x", "/openapi.json"):
            async with session.get(path) as got, session.head(path) as asked:
                assert (asked.status, asked.headers["Content-Type"]) == (got.status, got.headers["Content-Type"])
                assert await asked.read() == b""
                assert asked.headers.get("ETag") == got.headers.get("ETag")
        async with session.head("/v1/events") as asked:
            assert (asked.status, asked.headers["Allow"]) == (405, "GET")


def test_a_schema_that_refers_to_itself_twice_is_followed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each step would double the work, and one look at a job would hold up the process for ever."""
    monkeypatch.setattr(masking, "_DEPTH_LIMIT", 8)
    again = {"$ref": "#/$defs/a"}
    marked = {"properties": {"hush": {"x-masked": True}}}
    schema = {"$defs": {"a": {"allOf": [again, again, marked]}}, **again}
    assert masking.masked(schema, {"hush": 1, "site": 2}) == {"hush": masking.MASK, "site": 2}
