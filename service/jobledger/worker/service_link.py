"""The worker's way through a service: the calls of `remote.link`, with the app's kinds, and nothing beside the jobs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobledger.remote.link import ServiceCalls
from jobledger.worker.sides import Aside

if TYPE_CHECKING:
    from jobledger.jobs.app import App
    from jobledger.worker.sides import Around

_log = logging.getLogger("jobledger.worker")
_SETTLE_S: Final = 0.3


class ServiceLink(ServiceCalls):
    """What one worker is bound to, and its calls, through a service."""

    def sides(self, around: Around) -> Aside:  # noqa: ARG002 - the service does all of it
        """Make what the worker does beside its jobs: nothing."""
        return Aside(_SETTLE_S)

    async def begin(self, app: App) -> None:
        """See that the service answers, and tell it the app's kinds; one of every tenant's key has to, else."""
        refused = await self.tell(app.stated_kinds())
        if refused:
            _log.warning("this key may not register or change kinds: %s stay as they are", ", ".join(refused))
