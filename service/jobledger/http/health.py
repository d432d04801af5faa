"""Whether the service lives, and whether it is ready to serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobledger import __version__
from jobledger.errors import NotOpen, Unavailable
from jobledger.http.route import Document, Routes
from jobledger.store.recovery import is_open

if TYPE_CHECKING:
    from jobledger.http.route import Call

routes = Routes("Health")


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

    They can while the database answers, its live tables are rebuilt, and the service is not ending.
    """
    if call.service.ending or call.service.draining.is_set():
        raise Unavailable("The service is ending.")
    async with call.service.store.connection(ours=True) as connection:
        if not await is_open(connection, call.service.store.shard):
            raise NotOpen
    return Health(status="ok", version=__version__)
