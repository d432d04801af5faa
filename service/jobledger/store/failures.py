"""What the database says when it refuses, turned into this package's own errors.

The SQL functions raise SQLSTATEs `JL…` with the way out as HINT and facts as DETAIL. What the driver raises by itself
often quotes the caller's value; such a text is never passed on, only what kind of fault it was.
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
import orjson

from jobledger.errors import (
    BY_SQLSTATE,
    BadInput,
    Forbidden,
    InvalidArgument,
    JobledgerError,
    NotOpen,
    SchemaMissing,
    Unavailable,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

P = ParamSpec("P")
R = TypeVar("R")

_OURS = re.compile(r"\bjobledger\b")
_MISSING = {"42P01", "42883", "3F000", "42704"}
_GONE = {"57P01", "57P02", "57P03", "57P05"}
_REFUSED: dict[str, str] = {
    "08P01": "If a transaction pooler answers there, set JOBLEDGER_POOLER=transaction.",
    "3D000": "Create the database, or name another one.",
    "28P01": "Check the password.",
    "28000": "Check the user, and the server's pg_hba.conf.",
    "53300": "All connections that are allowed are taken: lower pool_max or the number of processes, raise "
    "max_connections or the role's own limit, or put a pooler between. Workers wait and go on by themselves.",
}
# The sequence of positions, which a replicated block uses up until opening sets it.
_USED_UP = "2200H"
_LATER = "Try again later."
# Said of a function that a migration made anew after a call had begun, such as one that it held up.
_MADE_ANEW = "cache lookup failed for "
_WAYS_OUT: dict[str, str] = {
    "53100": "Give it space again; nothing was written. Workers keep what they have to report and go on by themselves.",
    "53200": "Nothing was written; lower work_mem or the number of connections, or try again later.",
}
_WAITING: dict[str, str] = {
    "55P03": "A lock was not free within the time allowed.",
    "57014": "The statement was cancelled; most often statement_timeout is set too low.",
    "25006": "The database is read-only: it is a standby, or set so.",
    "53100": "The server's disk is full.",
    "53200": "The server is out of memory.",
    "XX000": "A migration came between; nothing was written.",
}


class translated:  # noqa: N801 - read as a word: `with translated():`
    """Turn what asyncpg raises inside into the errors of `jobledger.errors`; also a decorator of async functions.

    `where` is the server's place for `Unreachable` (see `place_of`). With `connecting` every OSError and time-out is
    taken as the server's; otherwise the caller's own time-outs pass. `own=False` is for blocks that run other people's
    SQL: only jobledger's SQLSTATEs and lost connections are turned.

    Serialization failures and deadlocks (40001, 40P01) pass unchanged: who holds the transaction repeats it.
    """

    __slots__ = ("_connecting", "_own", "_where")

    def __init__(self, where: str | None = None, *, connecting: bool = False, own: bool = True) -> None:
        """Keep what to say about the server."""
        self._where = where
        self._connecting = connecting
        self._own = own

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Raise the translation, where there is one."""
        if error is None or isinstance(error, JobledgerError):
            return False
        told = translation(error, where=self._where, connecting=self._connecting, own=self._own)
        if told is not None:
            # The driver's text may quote the value that was sent; it goes no further than here.
            raise told from None
        return False

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap an async function."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError("translated() decorates async functions only")

        @functools.wraps(function)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            with self:
                return await function(*args, **kwargs)

        return cast("Callable[P, R]", wrapper)


def translation(
    error: BaseException, *, where: str | None = None, connecting: bool = False, own: bool = True
) -> JobledgerError | None:
    """Return this package's error for what asyncpg raised, or None where there is none."""
    if isinstance(error, asyncpg.PostgresError):
        return _from_server(error, where, own)
    if isinstance(error, asyncpg.exceptions.DataError):
        return InvalidArgument("A value is of the wrong type or out of range.") if own else None
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError) or (connecting and isinstance(error, ValueError)):
        return InvalidArgument("The database's address cannot be read.", hint="postgresql://user@host:5432/database")
    if isinstance(error, asyncpg.InterfaceError):
        return unreachable(where) if connecting or "clos" in str(error) else None
    if isinstance(error, asyncpg.InternalClientError) and not isinstance(error, asyncpg.OutdatedSchemaCacheError):
        # What asyncpg says of a connection between the server's last word and the end of the stream.
        return unreachable(where, type(error).__name__)
    if isinstance(error, ConnectionError) or (connecting and isinstance(error, (OSError, TimeoutError))):
        return unreachable(where, type(error).__name__)
    return None


def unreachable(where: str | None, why: str | None = None, hint: str | None = None) -> Unreachable:
    """Return the error for a server that does not answer; it names the place, never the password."""
    at = f" at {where}" if where else ""
    because = f" ({why})" if why else ""
    return Unreachable(
        f"No connection to the database{at}{because}.",
        hint=hint
        or "Check that the server runs and that JOBLEDGER_DSN or DATABASE_URL names it. The embedded one "
        "starts again with the next command.",
        detail={"where": where} if where else None,
    )


def place_of(dsn: str) -> str:
    """Return host, port and database of a DSN: what may be shown of it."""
    try:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        host = parts.netloc.rpartition("@")[2] or query.get("host", ["the local socket"])[0]
    except ValueError:
        return "an address that cannot be read"
    database = parts.path.lstrip("/") or query.get("dbname", [""])[0]
    return f"{host}/{database}" if database else host


def _from_server(error: asyncpg.PostgresError, where: str | None, own: bool) -> JobledgerError | None:
    state = error.sqlstate or ""
    facts = error.as_dict()
    if state.startswith("JL"):
        kind = BY_SQLSTATE.get(state, JobledgerError)
        return kind(facts.get("message"), hint=facts.get("hint"), detail=_facts(facts.get("detail")))
    if state in _REFUSED:
        return unreachable(where, type(error).__name__, _REFUSED[state])
    if state.startswith("08") or state in _GONE:
        return unreachable(where, type(error).__name__)
    if not own:
        return None
    message = str(facts.get("message") or "")
    if state in _MISSING and _OURS.search(message):
        return SchemaMissing()
    if state == "42501":
        return Forbidden("This role may not do that.", hint="Grant it one of the roles of jobledger.")
    if state in _WAITING and (state != "XX000" or message.startswith(_MADE_ANEW)):
        return Unavailable(_WAITING[state], hint=_WAYS_OUT.get(state, _LATER), detail={"sqlstate": state})
    if state[:2] == "22":
        return _of_value(state)
    if state[:2] == "23":
        constraint = facts.get("constraint_name") or facts.get("column_name") or "a constraint"
        return BadInput(f"The input breaks a rule of the database: {constraint}.", detail={"sqlstate": state})
    return None


def _of_value(state: str) -> JobledgerError:
    if state == _USED_UP:
        return NotOpen(hint="Logical replication wrote here: end the subscription, then run `jobledger open`.")
    detail = {"sqlstate": state}
    if state in {"22P05", "22021"}:
        what = "A text holds a character that Postgres cannot store (U+0000, or half a surrogate pair)."
        return InvalidArgument(what, detail=detail)
    return InvalidArgument("A value is of the wrong type or out of range.", detail=detail)


def _facts(detail: object) -> dict[str, Any] | None:
    """DETAIL is JSON where the SQL function has facts to tell; anything else is kept as a sentence."""
    if not isinstance(detail, str) or not detail:
        return None
    try:
        read = orjson.loads(detail)
    except orjson.JSONDecodeError:
        return {"detail": detail}
    return read if isinstance(read, dict) else {"detail": read}
