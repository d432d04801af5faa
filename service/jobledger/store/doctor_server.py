"""The doctor's look at the server: settings that hurt, what holds vacuum back, dead rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobledger.store.findings import Finding
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.store.pool import Connection

OLDEST_VERSION: Final = 150_000
LONG_TRANSACTION_S: Final = 300.0
VERY_LONG_TRANSACTION_S: Final = 3600.0
DEAD_ROWS_LEAST: Final = 100_000
XID_AGE_MOST: Final = 1_000_000_000
STATEMENT_TIMEOUT_LEAST_S: Final = 30.0
_CONNECTIONS_TIGHT: Final = 0.8
_SLOT_BYTES: Final = 1 << 30


async def settings(connection: Connection) -> list[Finding]:
    """Look at the settings of the server, as they are for this connection."""
    row = await connection.fetchrow(statement("doctor_settings"))
    facts: Mapping[str, Any] = dict(row or {})
    found = [*_of_durability(facts), *_of_upkeep(facts), *_of_sessions(facts)]
    return found or [Finding("good", "settings", "The server's settings are sound.")]


async def held_back(connection: Connection) -> list[Finding]:
    """Look for what keeps dead rows alive: long and prepared transactions, slots that nobody reads."""
    found: list[Finding] = []
    for row in await connection.fetch(statement("doctor_transactions"), LONG_TRANSACTION_S):
        severe = row["age_s"] > VERY_LONG_TRANSACTION_S
        said = (
            f"A transaction of {row['user_name']} ({row['application'] or 'no application name'}, process "
            f"{row['pid']}) is open for {row['age_s'] / 60:.0f} minutes, {row['state']}; dead rows pile up behind it."
        )
        way = f"End it in its program, or by `select pg_terminate_backend({row['pid']})`."
        found.append(Finding("alarm" if severe else "warning", "transactions", said, way, dict(row)))
    for row in await connection.fetch(statement("doctor_prepared")):
        severe = row["age_s"] > VERY_LONG_TRANSACTION_S
        said = (
            f"A prepared transaction of {row['owner']} waits for {row['age_s'] / 60:.0f} minutes; jobs that it has "
            "locked can be neither rescued nor killed."
        )
        way = "`commit prepared` or `rollback prepared` it; its name is in pg_prepared_xacts."
        if row["age_s"] > LONG_TRANSACTION_S:
            found.append(Finding("alarm" if severe else "warning", "prepared", said, way, {"age_s": row["age_s"]}))
    for row in await connection.fetch(statement("doctor_slots")):
        severe = (row["kept_bytes"] or 0) > _SLOT_BYTES
        said = f"Nobody reads the replication slot {row['name']}; it keeps {(row['kept_bytes'] or 0) >> 20} MiB of log."
        way = f"Start its reader, or `select pg_drop_replication_slot('{row['name']}')`."
        found.append(Finding("warning" if severe else "note", "slots", said, way, dict(row)))
    return found or [Finding("good", "transactions", "No transaction or slot holds vacuum back.")]


async def bloat(connection: Connection) -> list[Finding]:
    """Look for tables with more dead rows than vacuum should leave."""
    found: list[Finding] = []
    for row in await connection.fetch(statement("doctor_dead_rows")):
        if row["dead"] > max(DEAD_ROWS_LEAST, 2 * row["live"]):
            said = f"The table jobledger.{row['name']} has {row['dead']} dead rows beside {row['live']} live ones."
            way = f"End long transactions, then `vacuum jobledger.{row['name']}`."
            found.append(Finding("warning", "dead rows", said, way, {"dead": row["dead"], "live": row["live"]}))
    return found or [Finding("good", "dead rows", "Vacuum keeps up with the tables.")]


def _of_durability(facts: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    if facts["version"] < OLDEST_VERSION:
        said = f"The server is version {facts['version'] // 10_000}; jobledger needs 15 or newer."
        found.append(Finding("alarm", "settings", said, "Upgrade it."))
    if facts["fsync"] == "off":
        said = "fsync is off: a crash of the machine can destroy the whole database."
        found.append(Finding("alarm", "settings", said, "Set fsync = on; for speed rather synchronous_commit = off."))
    if facts["full_page_writes"] == "off":
        said = "full_page_writes is off: a crash can leave half-written pages."
        found.append(Finding("alarm", "settings", said, "Set full_page_writes = on."))
    if facts["synchronous_commit"] == "off":
        said = (
            "synchronous_commit is off: a crash can take back what was reported in its last moments, so jobs run twice."
        )
        found.append(Finding("warning", "settings", said, "Set synchronous_commit = on unless you mean it."))
    return found


def _of_upkeep(facts: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    if facts["autovacuum"] == "off" or facts["track_counts"] == "off":
        said = "autovacuum does not run: the queue's dead rows stay, and claims get slower by the hour."
        found.append(Finding("alarm", "settings", said, "Set autovacuum = on and track_counts = on."))
    if facts["oldest_xid_age"] > XID_AGE_MOST:
        said = f"The oldest transaction id is {facts['oldest_xid_age']:,} old; at 2,000,000,000 the database stops."
        found.append(Finding("alarm", "settings", said, "Run `vacuum freeze`; look for what holds vacuum back."))
    return found


def _of_sessions(facts: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    used, allowed = facts["connections_used"] or 0, facts["connections_allowed"]
    if used > allowed * _CONNECTIONS_TIGHT:
        said = f"{used} of {allowed} connections are in use; the next ones may be refused."
        found.append(
            Finding("warning", "settings", said, "Raise max_connections, lower JOBLEDGER_POOL_MAX, or use a pooler.")
        )
    if facts["isolation"] != "read committed":
        said = f"default_transaction_isolation is {facts['isolation']}; claims and repairs need read committed."
        found.append(Finding("alarm", "settings", said, "Set it to read committed for jobledger's role."))
    if 0 < facts["statement_timeout_s"] < STATEMENT_TIMEOUT_LEAST_S:
        said = f"statement_timeout is {facts['statement_timeout_s']:g} s: a rebuild or a large batch would be cut off."
        way = f"Give jobledger's role at least {STATEMENT_TIMEOUT_LEAST_S:.0f} s, or 0."
        found.append(Finding("warning", "settings", said, way))
    if facts["idle_in_transaction_s"] == 0:
        said = "idle_in_transaction_session_timeout is off: a transaction that a program forgot stays open for ever."
        found.append(Finding("note", "settings", said, "Set it to some minutes for the roles of your programs."))
    return found
