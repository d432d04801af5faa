"""The keys of the service in the database: made, found by their hash, listed, revoked.

A key is `jl_`, 43 characters of 256 random bits, and 8 that only the service can compute from them: what is no key is
refused without asking the database. It is shown once; the database has its SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from jobledger.errors import InvalidArgument
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from jobledger.store.pool import Connection
    from jobledger.store.service_key import ServiceKey

MARK: Final = "jl_"
PREFIX: Final = 11
"""Characters of a key that are kept and shown."""
KEYS_MOST: Final = 100_000
OF_TENANT_MOST: Final = 1_000
"""Keys of a tenant beyond which its own keys make no more; who is of every tenant still does."""
PAGE_MAX: Final = 1_000
_LABEL: Final = "key"
_FORM: Final = re.compile(r"jl_[A-Za-z0-9_-]{43}[A-Za-z0-9_-]{8}", re.ASCII)


class Key(NamedTuple):
    """What is known of a key. `tenants` None: of every tenant; `last_used` is up to a minute behind."""

    id: UUID
    name: str
    prefix: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...] | None
    owner: str | None
    rate: int | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used: datetime | None


class Found(NamedTuple):
    """The answer to who a key is: `at` the database's clock, and the key, None where there is none that counts."""

    at: datetime
    key: FoundKey | None


class FoundKey(NamedTuple):
    """A key that counts."""

    id: UUID
    name: str
    roles: frozenset[str]
    tenants: frozenset[str] | None
    owner: str | None
    rate: int | None
    expires_at: datetime | None


def new_key(service: ServiceKey) -> str:
    """Return a new key, which nobody knows yet."""
    body = MARK + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return body + _proof(service, body)


def is_key(service: ServiceKey, text: str) -> bool:
    """Say whether this service once made this key, as far as the key alone tells: it may be revoked by now."""
    if _FORM.fullmatch(text) is None:
        return False
    return hmac.compare_digest(text[-8:], _proof(service, text[:-8]))


def hashed(text: str) -> bytes:
    """Return what the database keeps of a key. It is random: a slow hash would guard nothing more."""
    return hashlib.sha256(text.encode()).digest()


async def create_key(
    connection: Connection,
    shard: int,
    key: str,
    name: str,
    *,
    roles: Collection[str],
    tenants: Collection[str] | None = None,
    owner: str | None = None,
    rate: int | None = None,
    expires_at: datetime | None = None,
    actor: str | None = None,
    reason: str | None = None,
) -> tuple[UUID, datetime]:
    """Keep a new key, with its event; return its id and when that was.

    Raises:
        InvalidArgument: name, roles, tenants (1 to 100, or None: every one), owner, rate or end are out of rule, or
            there are 100,000 keys.
        Forbidden: the role is bound to tenants.
    """
    given = (sorted(roles), None if tenants is None else sorted(tenants), owner, rate, expires_at, actor, reason)
    with translated():
        row = await connection.fetchrow(statement("key_create"), shard, hashed(key), key[:PREFIX], name, *given)
    assert row is not None  # noqa: S101 - one row, or an error
    return row["id"], row["created_at"]


async def find_key(connection: Connection, shard: int, *, hash_: bytes | None = None, id_: UUID | None = None) -> Found:
    """Return the key of a hash or an id, if it was neither revoked nor is over."""
    with translated():
        row = await connection.fetchrow(statement("key_find"), shard, hash_, id_)
    assert row is not None  # noqa: S101 - the clock, in any case
    if row["id"] is None:
        return Found(row["at"], None)
    tenants = None if row["tenants"] is None else frozenset(row["tenants"])
    key = FoundKey(
        row["id"], row["name"], frozenset(row["roles"]), tenants, row["owner"], row["rate"], row["expires_at"]
    )
    return Found(row["at"], key)


async def list_keys(
    connection: Connection,
    shard: int,
    *,
    tenants: Collection[str] | None = None,
    owner: str | None = None,
    ended: bool = False,
    after: UUID | None = None,
    limit: int = 100,
) -> tuple[Key, ...]:
    """Return keys, oldest first: of these tenants, and this owner, only; with `ended` also those that count no more.

    Raises:
        InvalidArgument: the limit is not 1 to 1,000.
    """
    given = None if tenants is None else sorted(tenants)
    with translated():
        rows = await connection.fetch(statement("key_list"), shard, given, owner, ended, after, limit)
    return tuple(_key(dict(row)) for row in rows)


async def revoke_key(
    connection: Connection,
    shard: int,
    id_: UUID,
    *,
    tenants: Collection[str] | None = None,
    owner: str | None = None,
    actor: str | None = None,
    reason: str | None = None,
) -> bool:
    """Take a key back, with its event; False: it was before.

    Raises:
        NotFound: no such key, or it is not of these tenants, or this owner, only.
    """
    given = None if tenants is None else sorted(tenants)
    with translated():
        return bool(await connection.fetchval(statement("key_revoke"), shard, id_, given, owner, actor, reason))


async def must_have_room(connection: Connection, shard: int, tenants: Collection[str]) -> None:
    """Raise `InvalidArgument` where one of these tenants has as many keys as it may make itself: 1,000."""
    with translated():
        found = await connection.fetchval(statement("key_count"), shard, sorted(tenants))
    if found >= OF_TENANT_MOST:
        raise InvalidArgument(
            f"The keys of a tenant make {OF_TENANT_MOST} of its keys at most.",
            hint="Revoke those that nobody needs; give browsers tokens; or ask who has a key of every tenant.",
            detail={"limit": OF_TENANT_MOST},
        )


async def standing(connection: Connection, shard: int, ids: Collection[UUID]) -> frozenset[UUID]:
    """Return which of these keys count: neither revoked nor over."""
    with translated():
        return frozenset(await connection.fetchval(statement("key_standing"), shard, list(ids)))


async def clock(connection: Connection) -> datetime:
    """Return the one clock, the database's: by it the ends of keys and tokens are judged."""
    with translated():
        now: datetime = await connection.fetchval(statement("clock"))
    return now


async def note_used(connection: Connection, shard: int, ago_s: Mapping[UUID, float]) -> None:
    """Note how many seconds ago keys were last used, 10,000 of them at most."""
    with translated():
        await connection.fetchval(statement("key_used"), shard, list(ago_s), list(ago_s.values()))


def _proof(service: ServiceKey, body: str) -> str:
    mac = hmac.digest(service.derive(_LABEL), body.encode(), "sha256")
    return base64.urlsafe_b64encode(mac[:6]).decode()


def _key(row: dict[str, object]) -> Key:
    roles, tenants = row.pop("roles"), row.pop("tenants")
    return Key(roles=tuple(roles), tenants=None if tenants is None else tuple(tenants), **row)  # type: ignore[arg-type]
