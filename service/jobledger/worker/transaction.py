"""`transaction=True`: the handler's writes and the record of its success are one transaction.

The handler gets a connection; when it returns, its report is written on the same connection and both commit together.
When it raises, times out, is cancelled, killed, stopped or loses its lease, all of it is rolled back, with every job it
enqueued there. The outcome is recorded in every case: what could not be recorded inside goes out with the other
reports. If the answer to a commit is lost nobody here can know how it ended, and nobody has to: the report of failure
that follows is accepted if it was rolled back, and rejected by the fence if it was not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import asyncpg
import orjson

from jobledger.errors import InvalidArgument
from jobledger.store.reports import Report
from jobledger.worker.conclude import failed_with
from jobledger.worker.execute import Ended, Host, handled, traced

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from asyncpg.transaction import Transaction

    from jobledger.jobs.kind import Job
    from jobledger.store.claim import ClaimedJob
    from jobledger.store.pool import Connection, Store
    from jobledger.store.reports import Verdict
    from jobledger.worker.slots import Outcome, Runner, Slot

    class TransactionHost(Host, Protocol):
        """What a transactional runner needs of the worker beside."""

        patience_s: float

        @property
        def store(self) -> Store:
            """The database."""

        async def report_on(self, connection: Connection, slot: Slot, reports: list[Report], /) -> Sequence[Verdict]:
            """Send reports on the given connection, inside its transaction."""


_log = logging.getLogger("jobledger.worker")


def transaction_runner(kind: Job[..., Any], host: TransactionHost) -> Runner:
    """Return the runner of a kind that is declared with `transaction=True`."""

    async def run(job: ClaimedJob, slot: Slot, /) -> Outcome:
        try:
            async with host.store.connection() as connection:
                return await _run_on(connection, kind, host, job, slot)
        except Ended as ended:
            return ended.outcome
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - no connection, or no commit: the outcome is recorded all the same
            return failed_with(job, kind.declaration.policy, error)

    return traced(run) if host.tracing else run


async def _run_on(
    connection: Connection, kind: Job[..., Any], host: TransactionHost, job: ClaimedJob, slot: Slot
) -> Outcome:
    transaction = connection.transaction()
    await _begin(connection, transaction, host.patience_s)
    try:
        outcome = await handled(kind, host, job, slot, connection)
        if slot.ending is not None:
            # It swallowed its cancellation and returned: what it wrote is rolled back all the same.
            raise asyncio.CancelledError
        if not connection.is_in_transaction():
            raise InvalidArgument(
                "The handler ended its transaction itself.", hint="Leave commit and rollback to the worker."
            )
    except BaseException:
        await _undo(connection, transaction, host.patience_s)
        raise
    return await _finish(connection, transaction, host, job, slot, outcome)


async def _begin(connection: Connection, transaction: Transaction, patience_s: float) -> None:
    """Begin; a line that does not answer is closed, or the slot would wait on it for as long as the job may take."""
    work = asyncio.ensure_future(transaction.start())
    try:
        await asyncio.wait([work], timeout=patience_s)
    finally:
        if not work.done():
            connection.terminate()
            await asyncio.wait([work])
            work.exception()
    work.result()


async def _finish(
    connection: Connection,
    transaction: Transaction,
    host: TransactionHost,
    job: ClaimedJob,
    slot: Slot,
    outcome: Outcome,
) -> Outcome:
    """Record and commit. From here on a cancellation comes too late, and is not let in between."""
    work = asyncio.ensure_future(_record(connection, transaction, host, job, slot, outcome))
    late = False
    while not work.done():
        try:
            await asyncio.wait([work], timeout=host.patience_s)
        except asyncio.CancelledError:
            late = True
            continue
        if not work.done():
            connection.terminate()
    if late and not slot.recorded and slot.ending is not None:
        raise asyncio.CancelledError
    return work.result()


async def _record(
    connection: Connection,
    transaction: Transaction,
    host: TransactionHost,
    job: ClaimedJob,
    slot: Slot,
    outcome: Outcome,
) -> Outcome:
    name, data = outcome
    ran = time.monotonic() - slot.started
    if ran >= 0.001:
        data = {**(data or {}), "ran": round(ran, 6)}
    report = Report(job.id, job.claim, name, orjson.dumps(data) if data else None)
    try:
        verdicts = await host.report_on(connection, slot, [report])
        if any(verdict.verdict == "rejected" for verdict in verdicts):
            # Not ours any more. Rolled back, and reported again outside, where the rejection stays on record.
            await transaction.rollback()
            return outcome
        await transaction.commit()
    except BaseException:
        await _undo(connection, transaction, host.patience_s)
        raise
    slot.recorded = True
    return outcome


async def _undo(connection: Connection, transaction: Transaction, patience_s: float) -> None:
    """Roll back what is open; a connection that cannot is closed, and the server rolls back."""
    if connection.is_closed() or not connection.is_in_transaction():
        return
    undone = asyncio.ensure_future(_rollback(connection, transaction))
    while not undone.done():
        try:
            await asyncio.wait([undone], timeout=patience_s)
        except asyncio.CancelledError:
            continue
        if not undone.done():
            connection.terminate()


async def _rollback(connection: Connection, transaction: Transaction) -> None:
    try:
        await transaction.rollback()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        _log.warning("a rollback failed; its connection is closed, which has the same effect")
        connection.terminate()
