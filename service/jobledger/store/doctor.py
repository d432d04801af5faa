"""The doctor: looks at a database from all sides and says what is wrong, what that means and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobledger.errors import SchemaError
from jobledger.observations import PartitionsShort, emit, listeners
from jobledger.store.doctor_readers import projections, sealing, subscriptions, webhooks
from jobledger.store.doctor_server import bloat, held_back, settings
from jobledger.store.failures import translated
from jobledger.store.findings import Finding
from jobledger.store.migrate import pending
from jobledger.store.recovery import compare, is_open, repair
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobledger.store.pool import Connection, Store
    from jobledger.store.recovery import Mismatch

PARTITIONS_AHEAD_LEAST: Final = 2
PARTITIONS_ATTACHED_MOST: Final = 32
_GRACE_S: Final = 60.0
_NAMED: Final = 20
_SHARED_KEY: Final = "unique key that another job holds"


async def examine(store: Store, *, repaired: bool = False, compared: bool = True) -> list[Finding]:
    """Return what there is to say, the worst first; a sound database yields findings of severity `good` only.

    `compared` reads the whole log to compare it with the tables (seconds per million events); `repaired` makes what
    differs anew from the log.

    Raises:
        Unreachable: there is no database to look at.
    """
    with translated(store.where):
        async with store.connection() as connection:
            found = await _schema(connection)
            if not any(one.severity == "alarm" for one in found):
                found += await _openness(connection, store.shard)
                found += await _partitions(connection)
                found += await _open_streams(connection, store.shard)
                found += await _clockwork(connection, store.shard)
                found += await sealing(connection, store.shard)
                found += await projections(connection, store.shard)
                found += await subscriptions(connection, store.shard)
                found += await webhooks(connection, store.shard)
            found += await settings(connection)
            found += await held_back(connection)
            found += await bloat(connection)
    sound = not any(one.topic in ("schema", "open") and one.severity == "alarm" for one in found)
    if compared and sound:
        found += await _against_the_log(store, repaired)
    return sorted(found, key=lambda one: one.rank)


async def _schema(connection: Connection) -> list[Finding]:
    try:
        todo = await pending(connection)
    except SchemaError as error:
        return [Finding("alarm", "schema", error.message, error.hint, error.detail)]
    if todo.migrations:
        names = [file.name for file in todo.migrations]
        said = f"{len(names)} migrations are not applied, the first is {names[0]}."
        return [Finding("alarm", "schema", said, "Run `jobledger migrate`.", {"migrations": names})]
    if todo:
        said = f"{len(todo.changed)} files of the projections differ from what is in force."
        return [Finding("warning", "schema", said, "Run `jobledger migrate`.", {"files": sorted(todo.changed)})]
    return [Finding("good", "schema", "The schema is at this version.")]


async def _openness(connection: Connection, shard: int) -> list[Finding]:
    if await is_open(connection, shard):
        return [Finding("good", "open", "The database is open.")]
    said = "The database is not open: its live tables are not rebuilt on this server; only enqueueing works."
    return [Finding("alarm", "open", said, "Run `jobledger open`; a worker does it when it starts.")]


async def _partitions(connection: Connection) -> list[Finding]:
    row = await connection.fetchrow(statement("doctor_partitions"))
    assert row is not None  # noqa: S101 - the statement has no from clause, so it returns one row
    facts: dict[str, Any] = {"ahead": row["ahead"], "attached": row["attached"]}
    found: list[Finding] = []
    if row["ahead"] < PARTITIONS_AHEAD_LEAST:
        if listeners:
            emit(PartitionsShort(ahead=row["ahead"]))
        said = f"{row['ahead']} partitions of the log lie ahead; without one for its month nothing can be enqueued."
        found.append(
            Finding("alarm", "partitions", said, "Run `jobledger tick`; a worker does it all the time.", facts)
        )
    if row["attached"] > PARTITIONS_ATTACHED_MOST:
        said = f"{row['attached']} partitions of the log are attached; every plan and lock grows with them."
        way = "Drop the oldest that have no open jobs: `jobledger partitions drop`."
        found.append(Finding("alarm", "partitions", said, way, facts))
    if row["retiring"]:
        said = f"{len(row['retiring'])} partitions are being given up, and are not dropped yet: {row['retiring'][0]}."
        way = "Run `jobledger partitions drop` again; it goes on where it stood, and names what stands in the way."
        found.append(Finding("warning", "partitions", said, way, facts | {"retiring": row["retiring"]}))
    said = f"{row['attached']} partitions are attached, {row['ahead']} of them ahead of this month."
    return found or [Finding("good", "partitions", said, facts=facts)]


async def _open_streams(connection: Connection, shard: int) -> list[Finding]:
    rows = await connection.fetch(statement("doctor_open_streams"), shard)
    by_partition = {row["partition"]: row["jobs"] for row in rows}
    total = sum(by_partition.values())
    said = f"{total} open jobs lie in {len(by_partition)} partitions" + ("." if not by_partition else ": ")
    said += ", ".join(f"{name} {jobs}" for name, jobs in by_partition.items()) + ("." if by_partition else "")
    return [Finding("good", "open streams", said, facts=by_partition)]


async def _clockwork(connection: Connection, shard: int) -> list[Finding]:
    row = await connection.fetchrow(statement("doctor_clockwork"), shard, _GRACE_S)
    facts: Mapping[str, Any] = dict(row or {})
    found: list[Finding] = []
    if facts["due"] or facts["unrescued"]:
        said = (
            f"Nobody keeps time: {facts['due']} jobs have been due, and {facts['unrescued']} held by workers whose "
            f"lease is over, for more than {_GRACE_S:.0f} s."
        )
        found.append(
            Finding("alarm", "clockwork", said, "Start a worker, or run `jobledger tick` every second.", facts)
        )
    else:
        found.append(Finding("good", "clockwork", f"Time is kept; workers alive: {facts['workers']}.", facts=facts))
    if facts["ready"] and not facts["workers"]:
        said = "Jobs are ready, and no worker is alive."
        found.append(Finding("warning", "workers", said, "Start one: `jobledger worker`.", facts))
    if facts["unknown_kinds"]:
        said = f"{facts['unknown_kinds']} jobs are held back because no live worker can take them."
        way = "Start a worker that has their kinds, queues and tenants: `jobledger jobs --state ready` names them."
        found.append(Finding("warning", "workers", said, way, facts))
    if facts["late"]:
        said = f"{facts['late']} transactions were prepared when the live tables were rebuilt, and are still watched."
        found.append(Finding("warning", "prepared", said, "Commit or roll back the prepared transactions.", facts))
    return found


async def _against_the_log(store: Store, repaired: bool) -> list[Finding]:
    async with store.connection() as connection:
        wrong = await compare(connection, store.shard)
    if not wrong:
        return [Finding("good", "log", "The tables hold what the log says, job by job.")]
    if not repaired:
        said = f"{len({one.job for one in wrong})} jobs are not in the tables as the log has them."
        return [Finding("alarm", "log", said, "Run `jobledger doctor --repair`.", _named(wrong))]
    await repair(store, sorted({one.job for one in wrong}))
    async with store.connection() as connection:
        left = await compare(connection, store.shard, [one.job for one in wrong])
    if left and all(one.found == _SHARED_KEY for one in left):
        said = f"{len(left)} open jobs have a unique key that another open job holds."
        way = "Cancel one job of each key; then `jobledger repair` gives the other the key."
        return [Finding("alarm", "log", said, way, _named(left))]
    if left:
        said = f"{len({one.job for one in left})} jobs could not be repaired; their rows are locked."
        way = "Look for prepared and long transactions, then repair again."
        return [Finding("alarm", "log", said, way, _named(left))]
    said = f"{len({one.job for one in wrong})} jobs were not in the tables as the log has them, and are repaired."
    return [
        Finding(
            "warning", "log", said, "Find out who changed the tables: only jobledger's functions may.", _named(wrong)
        )
    ]


def _named(wrong: Sequence[Mismatch]) -> dict[str, Any]:
    return {
        "jobs": [{"job": str(one.job), "found": one.found, "expected": one.expected} for one in wrong[:_NAMED]],
        "count": len(wrong),
    }
