"""The keys of the service in the database: made with an event, found by their hash while they count, never told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from jobledger.errors import InvalidArgument, NotFound
from jobledger.events import Event, parse_as
from jobledger.events.face import KeyCreated, KeyRevoked
from jobledger.store import keys
from jobledger.store.service_key import ServiceKey

if TYPE_CHECKING:
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

SERVICE = ServiceKey(bytes(range(64)))
LOG = "select *, type::text as type from jobledger.events where type::text like 'key.%' order by position"


def test_what_is_no_key_of_this_service_is_told_without_asking() -> None:
    """A random, changed or foreign text is no key; only one in 2^48 guesses would be looked up at all."""
    key = keys.new_key(SERVICE)
    assert len({keys.new_key(SERVICE) for _ in range(100)}) == 100
    assert keys.is_key(SERVICE, key)
    assert not keys.is_key(ServiceKey(bytes(64)), key)
    for place in range(len(key)):
        put = "A" if key[place] != "A" else "B"
        assert not keys.is_key(SERVICE, key[:place] + put + key[place + 1 :])
    for wrong in ("", "jl_", key[:-1], key + "A", key + "\n", key.upper(), "é" * 54, " " + key):
        assert not keys.is_key(SERVICE, wrong)


async def test_a_key_is_kept_by_its_hash_until_it_is_revoked_or_over(store: Store, clock: Clock) -> None:
    """It is found while it counts; both events say who and why; nothing in the database holds the key itself."""
    one, two = keys.new_key(SERVICE), keys.new_key(SERVICE)
    async with store.connection() as connection:
        end = await clock.now() + timedelta(hours=1)
        id_, _ = await keys.create_key(
            connection,
            0,
            one,
            "shop",
            roles={"read", "enqueue"},
            tenants=["b", "a", "b"],
            rate=5,
            actor="ada",
            reason="a shop",
        )
        late, _ = await keys.create_key(
            connection, 0, two, "ada", roles=(), tenants=["a"], owner="ada", expires_at=end, actor="ada"
        )
        found = (await keys.find_key(connection, 0, hash_=keys.hashed(one))).key
        assert found == keys.FoundKey(id_, "shop", frozenset({"read", "enqueue"}), frozenset({"a", "b"}), None, 5, None)
        assert (await keys.find_key(connection, 0, id_=late)).key is not None
        assert (await keys.find_key(connection, 0, hash_=keys.hashed(two + "x"))).key is None
        await clock.advance(hours=1)
        assert (await keys.find_key(connection, 0, hash_=keys.hashed(two))).key is None
        assert [key.id for key in await keys.list_keys(connection, 0)] == [id_]
        assert await keys.revoke_key(connection, 0, id_, actor="bob", reason="lost")
        assert not await keys.revoke_key(connection, 0, id_, actor="bob", reason="lost")
        assert (await keys.find_key(connection, 0, id_=id_)).key is None
        ended = await keys.list_keys(connection, 0, ended=True)
        assert [key.name for key in ended] == ["shop", "ada"]
        assert ended[0].revoked_at is not None
        assert ended[0].prefix == one[:11]
        log = [Event.from_row(dict(row)) for row in await connection.fetch(LOG)]
        text = str(await connection.fetch("select k::text from jobledger.keys as k")) + str(log)
    assert [(event.type, event.tenant, event.actor) for event in log] == [
        ("key.created", "_global", "ada"),
        ("key.created", "a", "ada"),
        ("key.revoked", "_global", "bob"),
    ]
    assert parse_as(log[0], KeyCreated).tenants == ("a", "b")
    assert parse_as(log[1], KeyCreated).expires_at == end
    assert parse_as(log[2], KeyRevoked).reason == "lost"
    assert log[0].stream_id == log[2].stream_id
    for key in (one, two):
        assert key not in text
        assert key[11:30] not in text


async def test_others_keys_are_not_listed_and_not_revoked(store: Store) -> None:
    """With tenants, and an owner, only what is theirs alone is there; a key of more tenants is not."""
    async with store.connection() as connection:
        made = {}
        for name, tenants, owner in (
            ("all", None, None),
            ("ab", ["a", "b"], None),
            ("a", ["a"], None),
            ("ada", ["a"], "ada"),
            ("bob", ["a"], "bob"),
        ):
            key = keys.new_key(SERVICE)
            made[name], _ = await keys.create_key(connection, 0, key, name, roles=(), tenants=tenants, owner=owner)

        async def seen(tenants: list[str] | None, owner: str | None) -> list[str]:
            return [key.name for key in await keys.list_keys(connection, 0, tenants=tenants, owner=owner)]

        assert await seen(None, None) == list(made)
        assert await seen(["a", "b"], None) == ["ab", "a", "ada", "bob"]
        assert await seen(["a"], None) == ["a", "ada", "bob"]
        assert await seen(["a"], "ada") == ["ada"]
        assert [key.name for key in await keys.list_keys(connection, 0, after=made["a"], limit=1)] == ["ada"]
        refused = []
        for name, tenants, owner in (
            ("all", ["a"], None),
            ("ab", ["a"], None),
            ("a", ["b"], None),
            ("a", ["a"], "ada"),
            ("bob", ["a"], "ada"),
        ):
            with pytest.raises(NotFound) as told:
                await keys.revoke_key(connection, 0, made[name], tenants=tenants, owner=owner)
            refused.append(str(told.value))
        with pytest.raises(NotFound) as told:
            await keys.revoke_key(connection, 0, uuid4())
        assert set(refused) == {str(told.value)}
        wrongs: list[dict[str, Any]] = [{"owner": "ada"}, {"owner": "ada", "tenants": ["a", "b"]}]
        for wrong in [*wrongs, {"tenants": []}, {"rate": 0}]:
            with pytest.raises(InvalidArgument):
                await keys.create_key(connection, 0, keys.new_key(SERVICE), "k", roles=(), **wrong)


async def test_that_keys_were_used_is_noted_without_waiting_for_anybody(store: Store) -> None:
    """The latest time stays; a row that another transaction has locked is passed over."""
    async with store.connection() as connection:
        ids = [(await keys.create_key(connection, 0, keys.new_key(SERVICE), name, roles=()))[0] for name in ("a", "b")]

        async def used() -> list[bool]:
            return [key.last_used is not None for key in await keys.list_keys(connection, 0)]

        async with store.connection() as other, other.transaction():
            await other.execute("select from jobledger.keys where id = $1 for update", ids[1])
            await asyncio.wait_for(keys.note_used(connection, 0, dict.fromkeys(ids, 1.0)), 10)
            assert await used() == [True, False]
        before = (await keys.list_keys(connection, 0))[0].last_used
        await keys.note_used(connection, 0, {ids[0]: 60.0, uuid4(): 0.0})
        assert (await keys.list_keys(connection, 0))[0].last_used == before
