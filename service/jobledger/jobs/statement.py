"""Enqueue from synchronous code: SQL and parameters for whatever driver holds the transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from jobledger.store.statements import statement

if TYPE_CHECKING:
    from jobledger.store.enqueue import NewJob

_PLACE = re.compile(r"\$(\d+)")
_NAMES = (
    *("kind", "args", "tenant", "queue", "priority", "run_at", "kill_at", "timeout", "max_attempts", "owner", "tags"),
    *("meta", "key", "unique_key", "backoff", "trace", "id", "actor"),
)


class Statement(NamedTuple):
    """One call of the SQL function `jobledger.enqueue`; its one row and column is the job's id.

    `sql` and `parameters` are in the style `%s` (psycopg, Django): `cursor.execute(*job.statement(…))`. The named form
    is for SQLAlchemy: `session.execute(text(found.named.sql), found.named.parameters)`.
    """

    sql: str
    parameters: tuple[Any, ...]

    @property
    def named(self) -> NamedStatement:
        """The same with `:name` and a dict: SQLAlchemy's `text()`."""
        return NamedStatement(
            _styled(lambda place: f":{_NAMES[place]}"), dict(zip(_NAMES, self.parameters, strict=True))
        )

    @property
    def numeric(self) -> Statement:
        """The same with `$1`, `$2`: the server's own style (asyncpg, node-postgres)."""
        return Statement(_styled(lambda place: f"${place + 1}"), self.parameters)

    def __repr__(self) -> str:
        """Show the SQL only: parameters are the caller's data."""
        return f"Statement({self.sql!r}, …)"


class NamedStatement(NamedTuple):
    """SQL with `:name`, and the parameters by name."""

    sql: str
    parameters: dict[str, Any]

    def __repr__(self) -> str:
        """Show the SQL only: parameters are the caller's data."""
        return f"NamedStatement({self.sql!r}, …)"


def enqueue_statement(new: NewJob, actor: str | None) -> Statement:
    """Return the statement that enqueues `new`."""
    values = {name: getattr(new, name, None) for name in _NAMES} | {"actor": actor}
    for name in ("args", "meta", "backoff", "trace"):
        values[name] = _text(values[name])
    values["tags"] = list(values["tags"]) if values["tags"] else None
    values["id"] = str(values["id"]) if values["id"] else None
    return Statement(_styled(lambda _: "%s"), tuple(values[name] for name in _NAMES))


def _styled(form: Any) -> str:
    return _PLACE.sub(lambda match: str(form(int(match[1]) - 1)), statement("jobs/enqueue_statement"))


def _text(document: Any) -> str | None:
    if document is None or isinstance(document, str):
        return document
    return document.decode() if isinstance(document, bytes) else orjson.dumps(document).decode()
