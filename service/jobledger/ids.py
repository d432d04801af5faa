"""Ids: version 7 uuids that carry their creation time, and the fixed ids of control streams.

The same construction exists in SQL (`jobledger.new_id`, `jobledger.control_id`); a test compares the two.
Algorithm: RFC 9562, section 5.7, with method 3 of section 6.2 (12 more bits of the clock in `rand_a`).
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_lock = threading.Lock()
_last_tick = 0


def new_id(at: datetime | None = None) -> UUID:
    """Return a new version 7 uuid for the moment `at` (default: this machine's clock), ascending within the process.

    The time has a resolution of 1/4096 ms; ids made faster than that run ahead of the clock by as much.
    """
    global _last_tick  # noqa: PLW0603 - one counter a process is what makes the ids ascend
    micros = time.time_ns() // 1000 if at is None else (at - _EPOCH) // timedelta(microseconds=1)
    tick = micros * 4096 // 1000
    if at is None:
        with _lock:
            tick = _last_tick = max(tick, _last_tick + 1)
    return _assemble(tick, secrets.randbits(62))


def first_id_at(at: datetime) -> UUID:
    """Return the least uuid whose own time is `at` in whole milliseconds: the bound of a range over time."""
    millis = (at - _EPOCH) // timedelta(milliseconds=1)
    return UUID(int=millis << 80)


def time_of(id: UUID) -> datetime:  # noqa: A002 - the domain's word
    """Return the creation time that a version 7 uuid carries, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=id.int >> 80)


def control_id(tenant: str, what: str, name: str) -> UUID:
    """Return the fixed stream id of a thing that lives for years: a queue, kind, tenant, schedule, key.

    Its first 32 bits are `ffffffff`, so all of them lie in one partition of their own; the other 96 are a hash.
    """
    digest = hashlib.sha256(b"\0".join(part.encode() for part in (tenant, what, name))).digest()
    return UUID(bytes=b"\xff\xff\xff\xff" + digest[:12])


def _assemble(tick: int, random: int) -> UUID:
    return UUID(int=(tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | random)
