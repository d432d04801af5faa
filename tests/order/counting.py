"""The counts, folded by hand and counted again from the pure bookkeeping of random lives."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb
from tests.lifecycle.conftest import START, Life

from jobledger.store.statements import sql_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from importlib.resources.abc import Traversable

    import psycopg

    Rows = psycopg.Connection[dict[str, Any]]
    Counts = dict[tuple[str, str, str, str], int]

APPEND = """
insert into jobledger.events (position, xid, at, stream_id, version, type, shard, attempt, worker, tenant, actor, data)
select nextval('jobledger.position'), pg_current_xact_id(), %(at)s, %(id)s, %(version)s, %(type)s, 0, %(attempt)s,
  %(worker)s, %(tenant)s, null, %(data)s
"""
AS_OF = "select * from jobledger.counts_as_of(0::smallint, %s, %s::jobledger.moment)"
AT_PLACE = "select jobledger.moment_of_place(0::smallint, %s, %s, %s)::text as moment"
NOW = """
select row(s.epoch, s.block, null, jobledger.now(), 0, 9223372036854775807, 9223372036854775807, s.snapshot, s.snapshot)
  ::jobledger.moment::text as moment from jobledger.seen(0::smallint) as s
"""
LEVELS = """
select tenant, queue, kind, state::text as state, count as jobs from jobledger_tenants.levels where count <> 0
"""
QUIET = {f"job.{name}" for name in ("progressed", "cancel_requested", "reprioritised", "moved", "redacted")}


def make(connection: Rows, schema: str = "jobledger_tenants") -> None:
    """Make the projection's tables in a schema of their own, as the runner does."""
    folder = sql_folder("projections") / "tenants"
    named = sql.Identifier(schema)
    with connection.transaction():
        connection.execute(sql.SQL("create schema {}").format(named))
        connection.execute(sql.SQL("set local search_path = {}, pg_catalog").format(named))
        for file in sorted(folder.iterdir(), key=_name):
            if file.name.endswith(".sql"):
                connection.execute(file.read_text(encoding="utf-8").encode())


def take_in(connection: Rows, upto: int, schema: str = "jobledger_tenants", after: int | None = None) -> None:
    """Fold the blocks up to one, as the runner does; after the last that was taken in, or after `after`."""
    named = sql.Identifier(schema)
    with connection.transaction():
        connection.execute(sql.SQL("set local search_path = {}, pg_catalog").format(named))
        begin = connection.execute("select block from progress").fetchone()
        low = after if after is not None else begin["block"] if begin else 0
        if upto > low:
            connection.execute("select fold(0::smallint, %s, %s)", [low, upto])


def seal(connection: Rows) -> int:
    """Seal what there is, and return the last block."""
    while True:
        row = connection.execute("select * from jobledger.seal()").fetchone()
        if not row or not row["more"]:
            break
    last = connection.execute("select block from jobledger.log_end()").fetchone()
    assert last
    return int(last["block"])


def append(connection: Rows, tenant: str, life: Life, version: int) -> None:
    """Append one event of a life, as a tenant's."""
    event = life.events[version - 1]
    connection.execute(
        APPEND,
        {
            "at": event.at,
            "id": life.id,
            "version": version,
            "type": event.type,
            "attempt": event.attempt,
            "worker": event.worker,
            "tenant": tenant,
            "data": None if event.data is None else Jsonb(event.data),
        },
    )


def at_clock(moment: str, at: datetime) -> str:
    """Return the moment as another clock names it."""
    parts = moment[1:-1].split(",", 4)
    parts[3] = f'"{at.isoformat()}"'
    return f"({','.join(parts)})"


def recounted(jobs: Iterable[tuple[str, Life, int]], at: datetime | None) -> Counts:
    """Count lives after so many of their events by the bookkeeping; with a clock, who is due later is scheduled."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for tenant, life, version in jobs:
        if version:
            state, _, _, run_at = life.tellings[version - 1]
            step = next(event for event in reversed(life.events[:version]) if event.type not in QUIET)
            if step.type in {"job.interrupted", "job.released"}:
                # These lives claim before they are due, which no claim does: what comes back from a worker was due.
                run_at = step.at
            if at is not None and state == "ready" and run_at > at:
                state = "scheduled"
            moved = [event.data["queue"] for event in life.events[:version] if event.type == "job.moved" and event.data]
            counts[tenant, moved[-1] if moved else "default", "k", state] += 1
    return dict(counts)


def told(rows: Sequence[dict[str, Any]]) -> Counts:
    """Return counts as they were answered."""
    return {(row["tenant"], row["queue"], row["kind"], row["state"]): row["jobs"] for row in rows}


def newest(jobs: Iterable[tuple[str, Life, int]]) -> datetime:
    """Return the time of the last event among them."""
    return max((life.events[version - 1].at for _, life, version in jobs if version), default=START)


def _name(place: Traversable) -> str:
    return place.name
