"""Whether the service lives, and whether it is ready to serve."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from jobledger import __version__
from jobledger.errors import NotOpen, Unavailable
from jobledger.http.route import Document, Routes
from jobledger.store.recovery import is_open

if TYPE_CHECKING:
    from jobledger.http.route import Call

routes = Routes("Health")

READY_S: Final = 3.0
"""Seconds in which it is known whether requests can be served: whoever spreads them asks every few seconds."""
_ANSWER_S: Final = 2.0


class Health(Document):
    """That it answers, and which version it is."""

    status: str
    version: str


@routes.get("/livez", public=True, answer=Health)
async def livez(_: Call[Any, Any]) -> Health:
    """Say that the process answers. Looks at nothing else."""
    return Health(status="ok", version=__version__)


@routes.get("/readyz", public=True, answer=Health, errors=(NotOpen, Unavailable))
async def readyz(call: Call[Any, Any]) -> Health:
    """Say whether requests can be served.

    They can while the database answers within 3 seconds, its live tables are rebuilt, and the service is not ending.
    """
    if call.service.ending or call.service.draining.is_set():
        raise Unavailable("The service is ending.")
    store = call.service.store
    try:
        # The timeout is for having a connection; one that does not answer is closed before, so that it goes.
        async with asyncio.timeout(READY_S), store.connection(ours=True, answer_s=_ANSWER_S) as connection:
            if not await is_open(connection, store.shard):
                raise NotOpen
    except TimeoutError:
        raise Unavailable(f"The database did not answer within {READY_S:g} seconds.") from None
    return Health(status="ok", version=__version__)
