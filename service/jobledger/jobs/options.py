"""What can be said about one enqueuing, beside the handler's own arguments."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

from jobledger.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from jobledger.jobs.client import Client
    from jobledger.lifecycle.backoff import Backoff
    from jobledger.store.pool import Connection

META_KEYS: Final = ("client", "conn", "actor")


class EnqueueOptions(TypedDict, total=False):
    """All are optional; what is left out is the kind's default.

    tenant: whose job it is (default: "default")
    conn: an asyncpg connection; the job exists if and only if its transaction commits
    client: the client to enqueue by (default: the app's)
    queue, priority: where it waits; -1000 (first) to 1000 (last), within its tenant
    run_at: not before this moment; kill_at: killed if not finished by then
    timeout: of one attempt, whole seconds or a timedelta, 1 s to 7 days; max_attempts: 1 to 1,000
    backoff: in place of the kind's (Exponential, Linear, Fixed or Table)
    owner: the person it runs for; tags: at most 32; meta: any JSON object of at most 16 KiB
    key: idempotency key, kept for 24 hours: the same key enqueues once
    unique_key: no other open job of the tenant may hold it
    id: a version 7 uuid made by the caller; actor: who enqueues, for the history
    """

    tenant: str
    conn: Connection
    client: Client
    queue: str
    priority: int
    run_at: datetime
    kill_at: datetime
    timeout: int | timedelta
    max_attempts: int
    backoff: Backoff
    owner: str
    tags: Sequence[str]
    meta: Mapping[str, Any]
    key: str
    unique_key: str
    id: UUID
    actor: str


def checked(options: EnqueueOptions) -> EnqueueOptions:
    """Return the options with `timeout` in whole seconds; the ranges are checked by the database.

    Raises:
        InvalidArgument: an option that does not exist, is of the wrong type, or a moment without a time zone.
    """
    found: dict[str, Any] = {**options}
    for name, value in options.items():
        check = _CHECKS.get(name, _unknown)
        if check is not None:
            found[name] = check(name, value)
    return cast("EnqueueOptions", found)


def _unknown(_: str, __: object) -> object:
    raise InvalidArgument("There is no such option.", hint=f"There are: {', '.join(sorted(_CHECKS))}.")


def _text(name: str, value: object) -> object:
    if not isinstance(value, str):
        raise InvalidArgument(f"{name} is a text.")
    return value


def _moment(name: str, value: object) -> object:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise InvalidArgument(f"{name} is a datetime with a time zone.")
    return value


def _number(name: str, value: object) -> object:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**31 - 1):
        raise InvalidArgument(f"{name} is a whole number.")
    return value


def _seconds(name: str, value: object) -> object:
    return _number(name, whole_seconds(name, value) if isinstance(value, timedelta) else value)


_CHECKS: Final[Mapping[str, Callable[[str, object], object] | None]] = {
    **dict.fromkeys(EnqueueOptions.__annotations__),
    **dict.fromkeys(("tenant", "queue", "owner", "key", "unique_key", "actor"), _text),
    **dict.fromkeys(("run_at", "kill_at"), _moment),
    **dict.fromkeys(("priority", "max_attempts"), _number),
    "timeout": _seconds,
}


def whole_seconds(name: str, span: float | timedelta) -> int:
    """Return a span in seconds. Raises `InvalidArgument` for a fraction of a second."""
    seconds: Any = span.total_seconds() if isinstance(span, timedelta) else span
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not -(10**12) < seconds < 10**12 or seconds != int(seconds):
        raise InvalidArgument(f"{name} is whole seconds, or a timedelta of them.")
    return int(seconds)
