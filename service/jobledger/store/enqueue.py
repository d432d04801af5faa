"""Enqueue: one job or many, inside whatever transaction the connection is in.

What can be told without the database is checked before anything is sent, and no error repeats a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import orjson

from jobledger.errors import BadInput, InvalidArgument, InvalidTenant, TooLarge
from jobledger.observations import JobsEnqueued, LimitMet, emit, listeners
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobledger.store.pool import Connection

JSON_BYTES_MAX: Final = 64 * 1024 * 1024
"""What is never sent: the highest that can be set. The limit that holds (256 KiB of args) the database checks."""
META_BYTES_MAX: Final = 16 * 1024
BATCH_MAX: Final = 10_000
TAGS_MAX: Final = 32
TAG_CHARACTERS_MAX: Final = 64
TEXT_CHARACTERS_MAX: Final = 256

_TENANT = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}|_global)\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:/-]{0,127}\Z")
_NAMED: Final = "has 1 to 128 of the characters A-Z a-z 0-9 . _ : / -"
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Json = bytes | str | Mapping[str, Any] | list[Any]
"""A JSON document: its text (bytes or str), or what is made into one."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be enqueued. None means: as the kind, queue, tenant or service has it.

    `kind` and `queue` are 1 to 128 of A-Z a-z 0-9 . _ : / -, `tenant` also of @. `priority` -1000 (first) to 1000.
    `run_at` at most 24 h back, `kill_at` after it; both with a time zone. `timeout` seconds of one attempt, 1 to
    604800. `max_attempts` 1 to 1000. `owner`, `key` (idempotency, 24 h) and `unique_key` (one open job) 1 to 256
    characters. `tags` 32 of 64 characters. `args` 256 KiB of JSON unless the service says otherwise, `meta` 16 KiB.
    """

    kind: str
    args: Json | None = field(default=None, repr=False)
    tenant: str = "default"
    queue: str | None = None
    priority: int | None = None
    run_at: datetime | None = None
    kill_at: datetime | None = None
    timeout: int | None = None
    max_attempts: int | None = None
    owner: str | None = field(default=None, repr=False)
    tags: Sequence[str] | None = None
    meta: Json | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    unique_key: str | None = field(default=None, repr=False)
    backoff: Json | None = None
    trace: Json | None = None
    id: UUID | None = None

    def check(self) -> None:
        """Raise what is wrong with the job, as far as it can be told without the database.

        Raises:
            InvalidTenant, InvalidArgument, TooLarge: names the field and the rule, never the value.
        """
        if not isinstance(self.tenant, str) or not _TENANT.match(self.tenant):
            raise InvalidTenant(detail={"field": "tenant"})
        if not isinstance(self.kind, str) or not _NAME.match(self.kind):
            raise _wrong("kind", _NAMED)
        if self.queue is not None and not (isinstance(self.queue, str) and _NAME.match(self.queue)):
            raise _wrong("queue", _NAMED)
        # Each is asked for before its check is called: most jobs state none of them.
        if self.priority is not None:
            _check_number("priority", self.priority, -1000, 1000)
        if self.timeout is not None:
            _check_number("timeout", self.timeout, 1, 604_800)
        if self.max_attempts is not None:
            _check_number("max_attempts", self.max_attempts, 1, 1000)
        rare = _rare(self)
        if _any_said(rare):
            for name, value in zip(_RARE, rare, strict=True):
                if value is not None:
                    _CHECKS[name](name, value)

    def stating(self, max_attempts: int | None, timeout: int | None) -> NewJob:
        """Return the job with these where it says nothing of its own."""
        if (self.max_attempts is not None or max_attempts is None) and (self.timeout is not None or timeout is None):
            return self
        values = list(_all(self))
        if self.max_attempts is None:
            values[_MAX_ATTEMPTS] = max_attempts
        if self.timeout is None:
            values[_TIMEOUT] = timeout
        return NewJob(*values)

    def sent(self) -> dict[str, Any]:
        """Return the job as the arguments of `jobledger.enqueue`, checked; json fields are bytes of JSON text."""
        self.check()
        return {
            "kind": self.kind,
            "args": _document("args", self.args, JSON_BYTES_MAX) or b"{}",
            "tenant": self.tenant,
            "queue": self.queue,
            "priority": self.priority,
            "run_at": self.run_at,
            "kill_at": self.kill_at,
            "timeout": self.timeout,
            "max_attempts": self.max_attempts,
            "owner": self.owner,
            "tags": list(self.tags) if self.tags else None,
            "meta": _document("meta", self.meta, META_BYTES_MAX),
            "key": self.key,
            "unique_key": self.unique_key,
            "backoff": _document("backoff", self.backoff, META_BYTES_MAX),
            "trace": _document("trace", self.trace, META_BYTES_MAX),
            "id": self.id,
        }

    def stated(self) -> dict[str, Any]:
        """Return what the job states as one item of a batch, checked; nothing of what it leaves open."""
        self.check()
        found: dict[str, Any] = {
            "kind": self.kind,
            "args": orjson.Fragment(_document("args", self.args, JSON_BYTES_MAX) or b"{}"),
            "tenant": self.tenant,
        }
        if self.queue is not None:
            found["queue"] = self.queue
        if self.priority:
            found["priority"] = self.priority
        others = _others(self)
        if not _any_said(others):
            return found
        for name, value in zip(_OTHERS, others, strict=True):
            if value is None:
                continue
            if name in _DOCUMENTS:
                # It is JSON text then: it is not parsed and made again.
                found[name] = orjson.Fragment(_document(name, value, META_BYTES_MAX) or b"null")
            elif name != "tags":
                found[name] = value
            elif value:
                found[name] = list(value)
        return found


_FIELDS: Final = tuple(one.name for one in fields(NewJob))
_DOCUMENTS: Final = frozenset({"meta", "backoff", "trace"})
_OTHERS: Final = tuple(name for name in _FIELDS if name not in ("kind", "args", "tenant", "queue", "priority"))
_others: Final = attrgetter(*_OTHERS)
_OFTEN: Final = ("tenant", "queue", "priority", "timeout", "max_attempts", "owner")
_often: Final = attrgetter(*_OFTEN)
_seldom: Final = attrgetter(*(name for name in _OTHERS if name not in _OFTEN))
_MAX_ATTEMPTS: Final = _FIELDS.index("max_attempts")
_TIMEOUT: Final = _FIELDS.index("timeout")
_all: Final = attrgetter(*_FIELDS)


def _any_said(values: tuple[object, ...]) -> bool:
    """Tell whether any of them is not None. Without a line of Python for each: most jobs say nothing of most."""
    return values.count(None) != len(values)


class Enqueued(NamedTuple):
    """A job's id, and whether this call made it (an idempotency key may name one that was there before)."""

    id: UUID
    created: bool


async def enqueue(
    connection: Connection, job: NewJob, *, actor: str | None = None, strict: bool = False, shard: int = 0
) -> UUID:
    """Enqueue one job and return its id: as `enqueue_job`, for who need not know whether this call made it."""
    return (await enqueue_job(connection, job, actor=actor, strict=strict, shard=shard)).id


async def enqueue_job(
    connection: Connection, job: NewJob, *, actor: str | None = None, strict: bool = False, shard: int = 0
) -> Enqueued:
    """Enqueue one job; return its id, and whether this call made it (an idempotency key may have been used before).

    It exists when the connection's transaction commits.

    With `strict` the kind must have been registered by a worker.

    Raises:
        BadInput: the job is out of rule; nothing was written.
        Conflict: a key or id is taken; nothing was written.
        Forbidden: this role may not enqueue for the tenant.
        SchemaMissing, Unreachable: the database cannot take it.
    """
    if actor is not None:
        _check_text("actor", actor)
    if _any_said(_seldom(job)):
        sent = [value.decode() if isinstance(value, bytes) else value for value in job.sent().values()]
        with translated():
            row = await connection.fetchrow(statement("enqueue"), *sent, actor, strict, shard)
        assert row is not None  # noqa: S101 - a function with out parameters always returns one row
        done = Enqueued(row["job"], row["created"])
    else:
        # Without an idempotency key it is always new. What is not sent need not be read: a tenth of the call.
        job.check()
        args = (_document("args", job.args, JSON_BYTES_MAX) or b"{}").decode()
        with translated():
            made = await connection.fetchval(
                statement("enqueue_plain"), job.kind, args, *_often(job), actor, strict, shard
            )
        done = Enqueued(made, created=True)
    if done.created and listeners:
        emit(JobsEnqueued(count=1, tenant=job.tenant))
    return done


async def enqueue_many(
    connection: Connection, jobs: Sequence[NewJob], *, actor: str | None = None, strict: bool = False, shard: int = 0
) -> list[Enqueued]:
    """Enqueue up to 10,000 jobs in one statement, all or nothing, and return them in the order given.

    Raises:
        The same as `enqueue`; `detail["items"]` lists the places (from 0) of the offending jobs.
        TooLarge: more than 10,000 jobs.
    """
    _check_text("actor", actor)
    if not jobs:
        return []
    return await enqueue_stated(connection, _stated(jobs), actor=actor, strict=strict, shard=shard)


async def enqueue_stated(
    connection: Connection,
    items: Sequence[Mapping[str, Any]],
    *,
    actor: str | None,
    strict: bool,
    shard: int,
    patience_ms: int | None = None,
) -> list[Enqueued]:
    """Enqueue what jobs stated (`NewJob.stated`), at least one; as `enqueue_many`, which checks and states them.

    With `patience_ms` it waits no longer for a key that another transaction holds: `Unavailable`, nothing was written.
    """
    sent = (_text(items).decode(), actor, strict, shard)
    with translated():
        if patience_ms is None:
            rows = await connection.fetch(statement("enqueue_many"), *sent)
        else:
            rows = await connection.fetch(statement("enqueue_together"), *sent, f"{patience_ms}ms")
    if listeners:
        tenants = {item["tenant"] for item in items}
        emit(
            JobsEnqueued(count=sum(row["created"] for row in rows), tenant=tenants.pop() if len(tenants) == 1 else None)
        )
    return [Enqueued(row["id"], row["created"]) for row in rows]


def batch_text(jobs: Sequence[NewJob]) -> bytes:
    """Return a batch as a JSON list of what each job states. Raises what `enqueue_many` does."""
    return _text(_stated(jobs))


def _stated(jobs: Sequence[NewJob]) -> list[dict[str, Any]]:
    if len(jobs) > BATCH_MAX:
        emit(LimitMet(limit="batch", value=len(jobs), allowed=BATCH_MAX))
        raise TooLarge(
            f"The batch has {len(jobs)} jobs; the limit is {BATCH_MAX}.",
            hint="Send several batches.",
            detail={"limit": BATCH_MAX, "count": len(jobs)},
        )
    return list(_items(jobs))


def _text(items: Sequence[Mapping[str, Any]]) -> bytes:
    # The driver gives ids as a class of its own, which the serializer does not take for a UUID.
    return orjson.dumps(items, default=str)


def _items(jobs: Sequence[NewJob]) -> Iterator[dict[str, Any]]:
    faults: list[tuple[int, BadInput]] = []
    for place, job in enumerate(jobs):
        try:
            stated = job.stated()
        except BadInput as found:
            faults.append((place, found))
            continue
        if not faults:
            yield stated
    if faults:
        first, fault = faults[0]
        raise type(fault)(
            f"Item {first}: {fault.message}",
            hint="All or nothing: nothing was sent.",
            detail={**fault.detail, "items": [place for place, _ in faults]},
        )


def _document(name: str, value: Json | None, limit: int) -> bytes | None:
    """Return the JSON text of a document, checked for what jsonb cannot hold."""
    if value is None:
        return None
    try:
        if isinstance(value, (bytes, str)):
            text = value if isinstance(value, bytes) else value.encode()
            orjson.loads(text)
        else:
            text = json_text(value)
    except (ValueError, TypeError, RecursionError):
        raise _wrong(name, "is not JSON") from None
    if len(text) > limit:
        emit(LimitMet(limit=f"{name}_bytes", value=len(text), allowed=limit))
        raise TooLarge(
            f"{name} has {len(text)} bytes of JSON; the limit is {limit}.",
            hint="Store the payload elsewhere and pass a reference.",
            detail={"field": name, "limit": limit, "bytes": len(text)},
        )
    if b"\\u0000" in text and _NUL.search(text):
        raise _wrong(name, "holds the character U+0000, which Postgres cannot store")
    return text


def json_text(value: object) -> bytes:
    """Return the JSON text of an object or list. Raises `ValueError` or `TypeError` where it has none."""
    if not isinstance(value, (Mapping, list)):
        raise TypeError("neither an object nor a list")
    text: bytes = orjson.dumps(dict(value) if isinstance(value, Mapping) else value)
    # The serializer writes null for them, which would change what was said without a word.
    if b"null" in text and has_no_number(value):
        raise ValueError("NaN or infinite")
    return text


def has_no_number(value: object) -> bool:
    """Tell whether a float in it is none that JSON has."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(has_no_number, value.values()))
    return isinstance(value, (list, tuple)) and any(map(has_no_number, value))


def _wrong(name: str, rule: str) -> InvalidArgument:
    return InvalidArgument(f"{name} {rule}.", detail={"field": name})


def _check_text(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_CHARACTERS_MAX:
        raise _wrong(name, f"has 1 to {TEXT_CHARACTERS_MAX} characters")
    if not _storable(value):
        raise _wrong(name, "holds a character that Postgres cannot store")


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(name, f"is a whole number from {least} to {most}")


def _check_moment(name: str, value: object) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _wrong(name, "is a datetime with a time zone")


def _check_id(name: str, value: object) -> None:
    if not isinstance(value, UUID):
        raise _wrong(name, "is a version 7 uuid")


def _check_tags(name: str, tags: object) -> None:
    if isinstance(tags, str) or not isinstance(tags, Sequence) or len(tags) > TAGS_MAX:
        raise _wrong(name, f"is a list of at most {TAGS_MAX}")
    for tag in tags:
        if not isinstance(tag, str) or not 1 <= len(tag) <= TAG_CHARACTERS_MAX or not _storable(tag):
            raise _wrong(name, f"holds one that has not 1 to {TAG_CHARACTERS_MAX} characters")


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


_RARE: Final = ("owner", "key", "unique_key", "run_at", "kill_at", "id", "tags")
_rare: Final = attrgetter(*_RARE)
_CHECKS: Final[Mapping[str, Callable[[str, object], None]]] = {
    "owner": _check_text,
    "key": _check_text,
    "unique_key": _check_text,
    "run_at": _check_moment,
    "kill_at": _check_moment,
    "id": _check_id,
    "tags": _check_tags,
}
