"""A moment of the past, in one of three ways: the token of a live answer, a cursor of the feed, or a time.

A token says what a live answer saw, so that the same is answered again, exactly. A cursor names a place in the order
of the log. A time means the last block that was sealed at or before it. Tokens of tenants are encrypted and padded like
their cursors: a snapshot tells how much everybody does.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from jobledger.errors import BadCursor, InvalidArgument
from jobledger.order.cursor import Cursors, Place
from jobledger.order.filters import EventFilter
from jobledger.store import opaque
from jobledger.store.failures import translated
from jobledger.store.seen import AsOf, Seen
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.store.pool import Connection

_PLAIN: Final = "t"
_SEALED: Final = "u"
_FORM: Final = struct.Struct(">IqQQqQQH")
_SIZES: Final = (256, 1_024, 4_096, 16_384, 65_536)
_LONGEST: Final = 100_000
_HIGHEST: Final = 2**63 - 1
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_HINT: Final = "Give an answer's token, a cursor of the feed, or a time with its zone: 2026-05-01T12:00:00Z."


class Resolved(NamedTuple):
    """A moment as the database takes it: `row` is a `jobledger.moment` as JSON, the same by any settings."""

    row: str
    as_of: AsOf


class Moments:
    """Writes and reads the moments of answers to one tenant, or to operators.

    With a tenant only encrypted tokens and cursors are read, each bound to that tenant.
    """

    def __init__(self, key: bytes | None = None, tenant: str | None = None) -> None:
        """Keep the key (64 bytes), which a tenant's tokens need.

        Raises:
            Forbidden: there is a tenant and no key.
        """
        self._cursors = Cursors(key, tenant)
        self.tenant = tenant
        self._cipher = AESSIV(key) if key is not None and tenant is not None else None
        self._bound = [b"as of", (tenant or "").encode()]

    def token(self, seen: Seen | None) -> AsOf | None:
        """Return the token of a live answer; None where it saw nothing that can be told."""
        if seen is None:
            return None
        packed = _packed(seen)
        if self._cipher is None:
            return AsOf(_PLAIN + opaque.written(packed), seen.at)
        size = next((size for size in _SIZES if len(packed) <= size), len(packed))
        return AsOf(_SEALED + opaque.written(self._cipher.encrypt(packed.ljust(size, b"\0"), self._bound)), seen.at)

    def read(self, moment: str | datetime) -> Seen | Place | datetime:
        """Return what a moment names.

        Raises:
            InvalidArgument: it is none of this service's, or another tenant's; the value is not told.
        """
        try:
            if isinstance(moment, datetime):
                return _with_zone(moment)
            if not isinstance(moment, str) or not 0 < len(moment) <= _LONGEST:
                raise ValueError
            if moment[0] in _PLAIN + _SEALED:
                return self._read_token(moment)
            return _with_zone(datetime.fromisoformat(moment)) if moment[0].isdigit() else self._cursors.read(moment)
        except (ValueError, OverflowError, struct.error, InvalidTag, IndexError, BadCursor):
            raise InvalidArgument("This is no moment that can be asked for.", hint=_HINT) from None

    def named(self, moment: str | datetime, wanted: Seen | Place | datetime, row: Mapping[str, Any]) -> AsOf:
        """Return what an answer says of its moment; a tenant is told no block, nor when one was sealed."""
        text = moment.astimezone(UTC).isoformat() if isinstance(moment, datetime) else moment
        if self.tenant is not None:
            return AsOf(text, None if isinstance(wanted, Place) else row["at"])
        return AsOf(text, row["at"], row["block"], row["sealed_at"])

    def _read_token(self, text: str) -> Seen:
        if text[0] != (_PLAIN if self._cipher is None else _SEALED):
            raise ValueError
        packed = opaque.read(text[1:])
        return _seen(packed if self._cipher is None else self._cipher.decrypt(packed, self._bound))


async def moments_for(connection: Connection, tenant: str | None = None) -> Moments:
    """Return what writes and reads the moments of answers to one tenant, or to operators.

    Raises:
        Forbidden: a tenant's were asked for, and the role is bound to tenants.
        InvalidArgument: the tenant is no name.
    """
    if tenant is None:
        return Moments()
    EventFilter(tenant=tenant)
    with translated():
        return Moments(await connection.fetchval(statement("order/cursor_key")), tenant)


async def moment_of(connection: Connection, shard: int, tenant: str | None, moment: str | datetime) -> Resolved:
    """Return a moment of a tenant's (None: of operators') as the database takes it. Raises what `resolve` does."""
    return await resolve(connection, shard, await moments_for(connection, tenant), moment)


async def resolve(connection: Connection, shard: int, moments: Moments, moment: str | datetime) -> Resolved:
    """Return a moment as the database takes it.

    Raises:
        InvalidArgument: it is none, or still to come.
        MomentLost: the log cannot answer for it; never a guess.
        Forbidden: the role is bound to tenants.
    """
    wanted = moments.read(moment)
    with translated():
        if isinstance(wanted, Seen):
            row = await connection.fetchrow(statement("order/moment_of_token"), shard, *wanted)
        elif isinstance(wanted, Place):
            row = await connection.fetchrow(
                statement("order/moment_of_place"), shard, wanted.epoch, wanted.block, wanted.position
            )
        else:
            row = await connection.fetchrow(statement("order/moment_of_time"), shard, wanted)
    assert row is not None  # noqa: S101 - a function that returns one row
    return Resolved(row["moment"], moments.named(moment, wanted, dict(row)))


def _packed(seen: Seen) -> bytes:
    low, high, under_way = seen.snapshot.split(":")
    ids = [int(one) for one in under_way.split(",")] if under_way else []
    at = (seen.at - _BEGIN) // _MICROSECOND
    first = int(low)
    begin = _FORM.pack(seen.epoch, seen.mark, seen.block, seen.position, at, first, int(high), len(ids))
    return begin + b"".join(_number(one - before) for before, one in zip([first, *ids], ids, strict=False))


def _seen(packed: bytes) -> Seen:
    epoch, mark, block, position, at, low, high, count = _FORM.unpack_from(packed)
    place, last, ids = _FORM.size, low, []
    for _ in range(count):
        more, shift = 0x80, 0
        while more & 0x80:
            more = packed[place]
            last += (more & 0x7F) << shift
            place, shift = place + 1, shift + 7
        ids.append(last)
    if (
        not 0 < low <= high <= _HIGHEST
        or max(block, position) > _HIGHEST
        or epoch > 2**31 - 1
        or (ids and ids[-1] >= high)
    ):
        raise ValueError
    if sorted(set(ids)) != ids or packed[place:].strip(b"\0"):
        raise ValueError
    return Seen(epoch, mark, block, position, f"{low}:{high}:{','.join(map(str, ids))}", _BEGIN + at * _MICROSECOND)


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _with_zone(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError
    return at
