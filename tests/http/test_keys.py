"""Keys, tokens and who may: as a bearer, an administrator, and somebody who tries things out meet them."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from aiohttp import ClientError, ClientPayloadError
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.faults.conftest import until

from jobledger.errors import Unauthenticated, Unreachable
from jobledger.http import key_book
from jobledger.http.authentication import Authentication
from jobledger.http.token import Claims, written
from jobledger.settings import Settings
from jobledger.store import keys
from jobledger.store.roles import Role
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp

    from jobledger.http.service import Service
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

Make = "Callable[..., Awaitable[str]]"


def bearer(key: str, scheme: str = "Bearer") -> dict[str, str]:
    """Return the headers with a key."""
    return {"Authorization": f"{scheme} {key}"}


@pytest.fixture
async def service_key(store: Store) -> ServiceKey:
    """Give the database's own key."""
    async with store.connection() as connection:
        return await ServiceKey.load(connection)


@pytest.fixture
def make(store: Store, service_key: ServiceKey) -> Callable[..., Awaitable[str]]:
    """Give what makes a key: `await make(roles, tenants, owner=…)`."""

    async def made(roles: str = "", tenants: str | None = None, **options: Any) -> str:
        text = keys.new_key(service_key)
        given = None if tenants is None else tenants.split()
        async with store.connection() as connection:
            await keys.create_key(connection, 0, text, "k", roles=roles.split(), tenants=given, **options)
        return text

    return made


@pytest.fixture
async def asked(store: Store, serving: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, Service]]:
    """Give a session with a service that asks for keys."""
    async with serving(store, None) as (session, service):
        yield session, service


async def me(
    session: aiohttp.ClientSession, key: str | None, path: str = "/v1/me", **more: Any
) -> tuple[int, dict[str, Any]]:
    """Ask who one is with a key."""
    headers = {} if key is None else bearer(key)
    async with session.get(path, headers=headers, **more) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_key_is_made_used_listed_and_revoked(asked: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown once, opens what it may within its tenants, and nothing once it was revoked."""
    session, service = asked
    root = await make("admin")
    new = {"name": "shop", "roles": ["read", "enqueue"], "tenants": ["acme"], "rate": 1000, "reason": "a shop"}
    async with session.post("/v1/keys", json=new, headers=bearer(root)) as answer:
        assert answer.status == 201
        made = await answer.json()
    assert await me(session, made["key"]) == (
        200,
        {
            "name": "key:shop",
            "roles": ["enqueue", "read"],
            "tenants": ["acme"],
            "owner": None,
            "rate": 1000,
            "expires_at": None,
            "key": made["id"],
        },
    )
    async with session.get("/v1/me", headers=bearer(made["key"])) as answer:
        assert answer.headers["RateLimit-Policy"] == '"key";q=1000;w=1'
        assert re.fullmatch(r'"key";r=\d+;t=1', answer.headers["RateLimit"])
    await service.book.note()
    async with session.get("/v1/keys", headers=bearer(root)) as answer:
        page = await answer.json()
    assert [key["name"] for key in page["keys"]] == ["k", "shop"]
    assert all(key["last_used"] for key in page["keys"])
    assert made["key"] not in str(page)
    assert page["keys"][1]["prefix"] == made["key"][:11] == made["prefix"]
    assert page["keys"][1]["created_by"] == "key:k"
    # Another process still knows it for a moment, and no longer.
    monkeypatch.setattr(key_book, "FRESH_S", 0.05)
    path = f"/v1/keys/{made['id']}"
    for _ in range(2):
        async with session.delete(path, json={"reason": "lost"}, headers=bearer(root)) as answer:
            assert answer.status == 204
    status, told = await me(session, made["key"])
    assert (status, told["code"]) == (401, "unauthenticated")
    async with session.get("/v1/keys?ended=true&limit=1", headers=bearer(root)) as answer:
        first = await answer.json()
    async with session.get(f"/v1/keys?ended=true&cursor={first['next']}", headers=bearer(root)) as answer:
        assert [key["revoked_at"] is not None for key in (await answer.json())["keys"]] == [True]


async def test_a_key_makes_none_that_may_more(asked: Any, make: Any, clock: Clock) -> None:
    """Other tenants and owners are as if they did not exist; rate and end are bounded; without admin there are none."""
    session, _ = asked
    end = (await clock.now()).replace(year=2999)
    one = await make("admin", "a", rate=500, expires_at=end)
    ada = await make("admin", "a", owner="ada")
    two = await make("admin", "a b")
    root = await make("admin")
    weak = await make("operate read work enqueue", "a")

    async def post(key: str, **new: Any) -> tuple[int, str]:
        async with session.post("/v1/keys", json={"name": "n", **new}, headers=bearer(key)) as answer:
            said = await answer.json()
            return answer.status, said.get("code", "")

    assert await post(one) == (201, "")
    assert await post(one, tenants=["a"], owner="bob", rate=500) == (201, "")
    assert await post(two, tenants=["b", "a"]) == (201, "")
    assert await post(ada, owner="ada") == (201, "")
    assert await post(root, every_tenant=True, roles=["admin"]) == (201, "")
    assert await post(one, tenants=["b"]) == await post(one, tenants=["nowhere"]) == (404, "not_found")
    assert await post(two, tenants=["a", "c"]) == (404, "not_found")
    assert await post(ada, owner="bob") == await post(ada, owner="nobody") == (404, "not_found")
    assert await post(one, every_tenant=True) == await post(ada, every_tenant=True) == (403, "forbidden")
    assert await post(weak) == (403, "forbidden")
    for key, wrong in (
        (root, {}),
        (root, {"tenants": []}),
        (root, {"tenants": [""]}),
        (root, {"tenants": ["_global"]}),
        (root, {"every_tenant": True, "tenants": ["a"]}),
        (root, {"every_tenant": True, "owner": "ada"}),
        (one, {"rate": 501}),
        (one, {"rate": 0}),
        (one, {"expires_at": "3001-01-01T00:00:00Z"}),
        (one, {"expires_at": "2990-01-01T00:00:00"}),
        (one, {"roles": ["root"]}),
        (one, {"name": "a b"}),
        (one, {"name": "a\n"}),
        (one, {"owner": ""}),
        (one, {"hash": "x"}),
    ):
        assert await post(key, **wrong) == (422, "invalid_fields"), wrong
    assert (await post(two, owner="ada"))[0] == 400
    assert (await post(root, tenants=["a"], expires_at="2001-01-01T00:00:00Z"))[0] == 400
    assert (await post(root, tenants=["a"], owner="a\0b"))[0] in (400, 422)
    async with session.get("/v1/keys", headers=bearer(one)) as answer:
        mine = (await answer.json())["keys"]
    assert all(key["tenants"] == ["a"] for key in mine)
    # What it made without saying more has its own bounds.
    assert next((key["rate"], key["expires_at"] is not None) for key in mine if key["created_by"]) == (500, True)


async def test_tokens_may_no_more_than_their_key_and_die_with_it(
    asked: Any, make: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token works in the header, and in the address of what reads; ends by itself; makes nothing; dies by its key."""
    session, service = asked
    monkeypatch.setattr(key_book, "FRESH_S", 0.0)
    monkeypatch.setattr(key_book, "_CLOCK_S", 0.0)
    key = await make("read", "a")
    root = await make("admin")
    await clock.stand()

    async def post(key: str, **new: Any) -> tuple[int, dict[str, Any]]:
        async with session.post("/v1/tokens", json=new, headers=bearer(key)) as answer:
            return answer.status, await answer.json()

    status, made = await post(key, owner="ada", roles=["read"], seconds=60)
    assert status == 201
    token = made["token"]
    said = await me(session, token)
    assert said == await me(session, None, params={"token": token})
    assert said[1] | {"key": None} == {
        "name": "token:k",
        "roles": ["read"],
        "tenants": ["a"],
        "owner": "ada",
        "rate": None,
        "expires_at": made["expires_at"],
        "key": None,
    }
    # A route's own field of that name is not mistaken for one, and the token is none of its fields.
    async with session.get("/v1/keys", params={"token": token}) as answer:
        assert (await answer.json())["code"] == "forbidden"
    for wrong in (
        {"roles": ["enqueue"]},
        {"roles": ["admin"]},
        {"tenant": "b"},
        {"every_tenant": True},
        {"seconds": 3601},
        {"seconds": 0},
        {"owner": "\ud800"},
    ):
        assert (await post(key, **wrong))[0] in (400, 403, 404, 422), wrong
    assert (await post(root))[0] == 422
    assert (await post(root, every_tenant=True))[0] == 201
    assert (await post(root, every_tenant=True, owner="ada"))[0] == 422
    assert (await post(token))[0] == 403
    async with session.post("/v1/tokens", json={}, params={"token": token}) as answer:
        assert answer.status == 401
    owned = await make("read", "a", owner="ada")
    assert (await post(owned, owner="bob"))[0] == 404
    assert (await me(session, (await post(owned))[1]["token"]))[1]["owner"] == "ada"
    await clock.advance(seconds=50)
    assert (await me(session, token))[0] == 200
    await clock.advance(seconds=11)
    assert (await me(session, token))[0] == 401
    # Whoever got hold of the service's key signs nothing that is worth more than the key that it names.
    service_key = await service.book.service_key()
    made_of = UUID((await me(session, key))[1]["key"])
    whole = Claims(made_of, "k", frozenset({Role.READ}), "a", None, None, await clock.now() + timedelta(hours=1))
    assert (await me(session, written(service_key, whole)))[0] == 200
    for more in (
        whole._replace(roles=frozenset({Role.ADMIN})),
        whole._replace(tenant="b"),
        whole._replace(tenant=None),
    ):
        assert (await me(session, written(service_key, more)))[0] == 401
    other = (await post(key))[1]["token"]
    id_ = (await me(session, key))[1]["key"]
    async with session.delete(f"/v1/keys/{id_}", headers=bearer(root)) as answer:
        assert answer.status == 204
    assert (await me(session, other))[0] == (await me(session, key))[0] == 401


async def test_whatever_is_wrong_with_a_key_is_one_answer(
    asked: Any, make: Any, service_key: ServiceKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed, cut, foreign, doubled, of another scheme or too long: 401, and none of them asks the database."""
    session, _ = asked
    key = await make("read", "a")
    assert (await me(session, key))[0] == 200
    for scheme in ("bearer", "BEARER", "bEaReR", "Bearer "):
        async with session.get("/v1/me", headers=bearer(key, scheme)) as answer:
            assert answer.status == 200

    async def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(keys, "find_key", never)
    foreign = keys.new_key(ServiceKey(bytes(64)))
    token = "jlt_" + service_key.sign("browser", b"{}")
    wrong = [
        key[:-1],
        key + "A",
        key + "=",
        key[:20] + ("A" if key[20] != "A" else "B") + key[21:],
        key.upper(),
        foreign,
        "jl_",
        "jlt_",
        "jlt_" + base64.urlsafe_b64encode(bytes(100)).decode(),
        token[:-2],
        token,
        "jlt_" + ServiceKey(bytes(64)).sign("browser", b"{}"),
        "jlt_" + service_key.sign("push", b"{}"),
        "a.b.c",
        "x",
        "é",
        "a b",
        f"{key}, {key}",
        "x" * 7000,
    ]
    told = set()
    for text in wrong:
        async with session.get("/v1/me", headers=bearer(text)) as answer:
            assert answer.status == 401, text[:20]
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="jobledger"'
            said = await answer.json(content_type=None)
            told.add(said["detail"])
            assert text not in str(said)
    assert len(told) <= 2
    for headers in (
        [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")],
        [("Authorization", f"Basic {key}")],
        [("Authorization", key)],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Bearer\t{key}")],
        [("Authorization", "")],
        [("Proxy-Authorization", f"Bearer {key}")],
        [("X-Api-Key", key)],
        [("Cookie", f"token={key}")],
        [],
    ):
        async with session.get("/v1/me", headers=headers) as answer:
            assert answer.status == 401, headers
    for params in ([("token", key)], [("key", key)], [("token", token), ("token", token)]):
        assert (await me(session, None, params=params))[0] == 401
    assert (await me(session, key, params={"token": token}))[0] == 401
    async with session.get("/v1/me", headers=bearer("x" * 9000)) as answer:
        assert answer.status in (400, 401, 431)


async def test_keys_are_looked_up_once_for_many_requests(
    asked: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty requests of one moment, and those of the next second, are one look; what was revoked is remembered too."""
    session, service = asked
    monkeypatch.setattr(key_book, "FRESH_S", 60.0)
    looked = []
    find = keys.find_key

    async def counted(*given: Any, **options: Any) -> Any:
        looked.append(options)
        return await find(*given, **options)

    monkeypatch.setattr(keys, "find_key", counted)
    key = await make("read", "a")
    assert {status for status, _ in await asyncio.gather(*(me(session, key) for _ in range(50)))} == {200}
    assert len(looked) == 1
    none = keys.new_key(await service.book.service_key())
    assert {status for status, _ in await asyncio.gather(*(me(session, none) for _ in range(50)))} == {401}
    assert len(looked) == 2
    monkeypatch.setattr(key_book, "KNOWN_MOST", 3)
    for _ in range(9):
        assert (await me(session, keys.new_key(await service.book.service_key())))[0] == 401
    assert len(service.book._known) <= 3


async def test_each_key_has_its_own_rate(asked: Any, make: Any) -> None:
    """A key that asks too often is told when to come again; another one, and each owner's token, is not held up."""
    session, service = asked
    slow, other = await make("read", "a", rate=2), await make("read", "a")
    clock = [0.0]
    service.rates._clock = lambda: clock[0]
    answers = []
    for _ in range(4):
        async with session.get("/v1/me", headers=bearer(slow)) as answer:
            answers.append((answer.status, answer.headers["RateLimit"], answer.headers.get("Retry-After")))
            said = await answer.json(content_type=None)
    assert answers == [
        (200, '"key";r=1;t=1', None),
        (200, '"key";r=0;t=1', None),
        (429, '"key";r=0;t=1', "1"),
        (429, '"key";r=0;t=1', "1"),
    ]
    assert said["facts"] == {"rate": 2, "retry_after_s": 1}
    assert (await me(session, other))[0] == 200
    async with session.get("/v1/me", headers=bearer(other)) as answer:
        assert "RateLimit" not in answer.headers
    clock[0] += 1
    made = []
    for owner in ("ada", "bob"):
        async with session.post("/v1/tokens", json={"owner": owner}, headers=bearer(slow)) as answer:
            made.append((await answer.json())["token"])
    assert [(await me(session, made[0]))[0] for _ in range(3)] == [200, 200, 429]
    assert (await me(session, made[1]))[0] == 200


async def test_pages_of_other_origins_are_let_in_only_where_they_are_named(store: Store, serving: Any) -> None:
    """Off, nothing tells of it; on, the named origin gets its headers, and every answer says that it depends on it."""
    shop = {"Origin": "https://shop.example"}
    asks = {**shop, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with serving(store, None) as (session, _):
        async with session.get("/livez", headers=shop) as answer:
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
        async with session.options("/v1/jobs", headers=asks) as answer:
            assert answer.status == 405
    async with serving(store, None, http_origins="https://shop.example, http://localhost:5173") as (session, _):
        async with session.options("/v1/jobs", headers=asks) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
        for path, status in (("/livez", 200), ("/v1/me", 401), ("/nowhere", 404), ("/v1/jobs/x/y/z", 404)):
            async with session.get(path, headers=shop) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
                assert "Origin" in answer.headers["Vary"]
        for origin in ("https://evil.example", "https://shop.example.evil", "null", "https://shop.example, x", ""):
            async with session.options("/v1/jobs", headers={**asks, "Origin": origin}) as answer:
                assert answer.status == 403
                assert "Access-Control-Allow-Origin" not in answer.headers
            async with session.get("/livez", headers={"Origin": origin}) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert answer.headers["Vary"] == "Origin"


async def test_streams_end_when_their_key_counts_no_more(asked: Any, make: Any, store: Store, clock: Clock) -> None:
    """A key that another process revoked, and a token that is over, lose what they have open; others keep theirs."""
    session, service = asked
    lost, kept = await make("read", "a"), await make("read", "a")
    async with session.post("/v1/tokens", json={"roles": ["read"], "seconds": 60}, headers=bearer(kept)) as answer:
        token = (await answer.json())["token"]
    service.client.strict = False
    job = await service.client.enqueue("noop", {}, tenant="a")

    async def opened(key: str) -> aiohttp.ClientResponse:
        answer: aiohttp.ClientResponse = await session.get("/v1/events?from_end=true", headers=bearer(key))
        assert answer.status == 200
        return answer

    async def end(answer: aiohttp.ClientResponse) -> None:
        with suppress(ClientPayloadError):
            await asyncio.wait_for(answer.read(), 10)
        answer.close()

    first, second, third = [await opened(key) for key in (lost, kept, token)]
    poll = asyncio.create_task(me(session, lost, path=f"/v1/jobs/{job.id}/result?wait_s=30"))
    await until(lambda: len(service.book._open) == 4)
    await service.book.look()
    assert len(service.book._open) == 4
    async with store.connection() as connection:
        for key in await keys.list_keys(connection, 0):
            if key.prefix == lost[:11]:
                await keys.revoke_key(connection, 0, key.id)
    await service.book.look()
    await end(first)
    with pytest.raises((ClientError, asyncio.CancelledError)):
        await asyncio.wait_for(poll, 10)
    await until(lambda: len(service.book._open) == 2)
    await clock.advance(seconds=61)
    await service.book.look()
    await end(third)
    await until(lambda: len(service.book._open) == 1)
    service.draining.set()
    service.streams.wake()
    await end(second)
    await until(lambda: not service.book._open)


async def test_a_database_that_is_away_refuses_nobody(asked: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot be looked up is told to come again, not that the key is none; then it is looked up again."""
    session, _ = asked
    key = await make("read", "a")
    find = keys.find_key

    async def away(*_: Any, **__: Any) -> Any:
        raise Unreachable

    monkeypatch.setattr(keys, "find_key", away)
    answers = await asyncio.gather(*(me(session, key) for _ in range(5)))
    assert {(status, said["code"]) for status, said in answers} == {(503, "unreachable")}
    async with session.get("/v1/me", headers=bearer(key)) as answer:
        assert int(answer.headers["Retry-After"]) >= 1
    monkeypatch.setattr(keys, "find_key", find)
    assert (await me(session, key))[0] == 200


TEXTS = st.one_of(
    st.text(max_size=200),
    st.text("jlt_kABz09-.=+/~ ,\t", max_size=200),
    st.binary(max_size=150).map(lambda raw: "jl_" + base64.urlsafe_b64encode(raw).decode()),
    st.binary(max_size=150).map(lambda raw: "jlt_" + base64.urlsafe_b64encode(raw).decode().rstrip("=")),
    st.text("abAB01-_=", max_size=60).map(lambda text: f"{text}.{text}.{text}"),
)


def test_no_text_opens_anything() -> None:
    """Whatever stands in the header and the address: refused as a stranger's, without a look at any database."""
    book = key_book.KeyBook(None)  # type: ignore[arg-type]
    book._service_key = ServiceKey(bytes(range(64)))
    book._clock = (datetime.now(UTC), time.monotonic() + 1000)
    schemes = st.sampled_from(["Bearer ", "bearer  ", "Basic ", "", "Bearer", "Token "])
    with asyncio.Runner() as runner:
        authentication = Authentication(book, Settings(jwt_keys="/nowhere", jwt_issuer="i", jwt_audience="a"))

        @settings(max_examples=40)
        @given(scheme=schemes, text=TEXTS, query=TEXTS)
        def refused(scheme: str, text: str, query: str) -> None:
            for path, headers in (("/", {"Authorization": scheme + text}), ("/?" + urlencode({"token": query}), {})):
                request = make_mocked_request("GET", path, headers=headers)
                with pytest.raises(Unauthenticated) as told:
                    runner.run(authentication(request))
                assert len(text) < 8 or text not in str(told.value)

        refused()


@pytest.mark.slow
async def test_a_revoked_key_is_refused_by_every_process_within_two_seconds(
    store: Store, serving: Any, make: Any
) -> None:
    """One service revokes; another, which has just looked the key up and has a stream open with it, lets go of both."""
    root, key = await make("admin"), await make("read", "a")
    stood_s = 0.0

    async def watch() -> None:
        nonlocal stood_s
        while True:
            at = time.monotonic()
            await asyncio.sleep(0.01)
            stood_s += time.monotonic() - at - 0.01

    async with serving(store, None) as (one, _), serving(store, None) as (other, _):
        watching = asyncio.create_task(watch())
        stream = await other.get("/v1/events?from_end=true", headers=bearer(key))
        _, said = await me(other, key)
        began = time.monotonic()
        async with one.delete(f"/v1/keys/{said['key']}", headers=bearer(root)) as answer:
            assert answer.status == 204
        assert (await me(one, key))[0] == 401
        with suppress(ClientPayloadError):
            await stream.read()
        cut = time.monotonic() - began
        while (await me(other, key))[0] == 200:  # noqa: ASYNC110 - in another process, so to speak
            await asyncio.sleep(0.01)
        # What the machine stood still is not the service's.
        assert max(cut, time.monotonic() - began) < 2.0 + stood_s
        watching.cancel()


async def test_a_tenant_leaves_something_of_what_all_share(
    store: Store, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bearers together have half of the places for streams, and its keys make no more keys than it may have."""
    monkeypatch.setattr(keys, "OF_TENANT_MOST", 3)
    async with serving(store, None, http_streams=4) as (session, service), store.connection() as connection:
        made = {}
        for name, tenants in (("one", ["a"]), ("two", ["a", "b"]), ("other", ["c"]), ("root", None)):
            made[name] = keys.new_key(await service.book.service_key())
            await keys.create_key(connection, 0, made[name], name, roles=["admin"], tenants=tenants)

        async def opened(name: str, **query: str) -> aiohttp.ClientResponse:
            answer: aiohttp.ClientResponse = await session.get("/v1/events", params=query, headers=bearer(made[name]))
            return answer

        streams = [await opened("one"), await opened("two", tenant="a")]
        for refused in (await opened("one"), await opened("two", tenant="b")):
            told = await refused.json()
            assert (refused.status, told["code"], told["facts"]) == (429, "rate_limited", {"limit": 2})
            assert refused.headers["Retry-After"]
        streams += [await opened("other"), await opened("root")]
        assert [one.status for one in streams] == [200] * 4
        assert (await opened("root")).status == 503
        for one in streams:
            one.close()
        await until(lambda: not service.places.taken)
        streams = [await opened("one")]
        assert streams[0].status == 200
        streams[0].close()

        async def create(name: str, **new: Any) -> tuple[int, Any]:
            async with session.post("/v1/keys", json={"name": "n", **new}, headers=bearer(made[name])) as answer:
                return answer.status, (await answer.json()).get("facts")

        assert (await create("one"))[0] == 201
        assert await create("one") == await create("two", tenants=["a", "b"]) == (400, {"limit": 3})
        assert (await create("two", tenants=["b"]))[0] == (await create("root", tenants=["a"]))[0] == 201
