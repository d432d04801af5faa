"""What a statement may cost: shared buffers for each row it handles, whatever the state of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.plans.hot import Run

CLAIM_AND_REPORT = 50
"""Buffers a job, of a claim and its report together, in batches of 500."""

WAL_BYTES = 1500
"""Bytes of WAL a job from enqueued to finished, live tables unlogged, in batches of 500, full-page images apart."""

BUFFERS: dict[str, int] = {
    "enqueue": 120,
    "enqueue_many": 20,
    "enqueue_many, few": 45,
    "enqueue_many, with keys": 32,
    "claim": 35,
    "claim, the first": 150,
    "claim_hinted": 280,
    "report": 25,
    "report, failed": 25,
    "report, unique keys": 40,
    "report, repeated": 260,
    "report, of lost jobs": 260,
    "heartbeat": 3,
    "heartbeat, releasing": 45,
    "list": 60,
    "show": 60,
    "history": 40,
    "repair": 60,
    "act, reprioritise": 45,
    "act, cancel": 45,
    "act, retry": 75,
    "promote": 40,
    "kill_due": 60,
    "time_out": 70,
    "rescue": 30,
    "place_streams": 40,
    "hold": 35,
    "hold_untakeable": 30,
    "unhold": 40,
    "tick": 4,
    "seal": 2,
    "seal, a little": 300,
    "open_epoch": 300,
    "read_log": 3,
    "read_log, filtered": 3,
}
"""About one and a half times what was measured; a plan gone wrong costs ten times and more."""

SMALL = 4000
"""Rows of a table that a statement which Python sends may read from end to end: it was small when it was planned."""

READS = ("list", "show", "history")


def faults(runs: Iterable[Run], rows: int) -> list[str]:
    """Return what is wrong with the runs in a database with so many rows: nothing, one hopes."""
    return [fault for run in runs for fault in _faults(run, rows)]


def _faults(run: Run, rows: int) -> list[str]:
    wrong = []
    if run.per_job > BUFFERS[run.name]:
        wrong.append(f"{run.name}: {run.per_job:.1f} buffers a row, at most {BUFFERS[run.name]}")
    seen = [line for most, line in run.call.whole_tables() if most > (SMALL if run.name in READS else 0)]
    wrong += [f"{run.name} reads a whole table: {line}" for line in sorted(set(seen))[:3]]
    wrong += [f"{run.name} compiles: {said.begins}" for said in run.call.statements if said.compiled]
    most, where = run.call.busiest()
    # One look at all rows is the planner's good right where it compares a thousand jobs; one for each job is not.
    # A list looks at each of ten states.
    allowed = 10 * SMALL if run.name in READS else 6 * run.batch + 2500 + (rows if run.name == "repair" else 0)
    if most > allowed:
        wrong.append(f"{run.name}: {most:.0f} rows through {where}")
    return wrong
