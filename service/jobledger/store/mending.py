"""Mending on the way: a live row that contradicts its job's history fails the call that meets it, and is repaired."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

import asyncpg

from jobledger.errors import JobledgerError
from jobledger.store.failures import translation
from jobledger.store.recovery import repair

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobledger.errors import BadInput
    from jobledger.store.claim import ClaimedJob, Ticking
    from jobledger.store.pool import Store

T = TypeVar("T")

_log = logging.getLogger("jobledger.worker")
_POISONED_MOST: Final = 32
"""Rows at most that one claim repairs on its way; the next one goes on."""
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def claim_mending(
    store: Store,
    n: int,
    ticking: Ticking | None,
    claim: Callable[[int, Ticking | None], Awaitable[Sequence[ClaimedJob]]],
) -> Sequence[ClaimedJob]:
    """Claim up to n jobs by `claim`, which gets their number, mending what it meets.

    A row that contradicts its job's history fails the whole claim: it is repaired, and half as many are claimed at
    once, so that the others go on after a few such tries, however many such rows there are.
    """
    met: set[UUID] = set()
    for _ in range(_POISONED_MOST):
        try:
            return await claim(n, ticking)
        except asyncpg.UniqueViolationError as error:
            await mend(store, error, met)
            n, ticking = max(1, n // 2), None
        except asyncpg.InsufficientResourcesError as error:
            # A full disk and its like: not the worker's fault, and waited out like a lost connection.
            raise translation(error) or error from None
    return []


async def mend(store: Store, error: asyncpg.UniqueViolationError | BadInput, met: set[UUID]) -> None:
    """Repair the job whose row contradicts its stream, which the error names, so that it stops nobody any more.

    Where nothing is amiss with it any more, another claim has repaired it: the caller may try again, once, which is
    noted in `met`. Raises the error again where that did not help, or this role may not repair.
    """
    # What a function of the store sends is translated there; the server's own error is then the context of it.
    told = error if isinstance(error, asyncpg.UniqueViolationError) else error.__context__
    ids = {UUID(found) for found in _ID.findall(str(getattr(told, "detail", "")))}
    try:
        mended = await repair(store, list(ids))
    except (JobledgerError, asyncpg.PostgresError):
        raise error from None
    for job in {one.job for one in mended}:
        _log.warning("the row of job %s contradicted its history and was repaired", job)
    if not mended and ids <= met:
        raise error
    met |= ids
