"""Of what kind jobs are, for readers that want some kinds only."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from jobledger.errors import InvalidArgument
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.store.pool import Connection, Store

_REMEMBERED: Final = 50_000
_NAME_MAX: Final = 1_000


class Kinds:
    """Tells events of jobs of one kind; each job's is asked once, and the last 50,000 are remembered."""

    def __init__(self, store: Store, wanted: str | None) -> None:
        """Begin with nothing known; without `wanted` every event fits.

        Raises:
            InvalidArgument: it can be no kind's name.
        """
        check_kind(wanted)
        self._store = store
        self._wanted = wanted
        self._known: OrderedDict[UUID, str | None] = OrderedDict()

    async def fits(self, event: Event, connection: Connection | None = None) -> bool:
        """Say whether an event is of a job of the wanted kind; who reads inside a transaction gives its connection."""
        return self._wanted is None or await self._of(event, connection) == self._wanted

    async def _of(self, event: Event, connection: Connection | None) -> str | None:
        if not event.type.startswith("job."):
            return None
        job = event.stream_id
        if event.type == "job.enqueued":
            self._keep(job, str((event.data or {}).get("kind")))
        elif job not in self._known:
            if connection is None:
                async with self._store.connection(ours=True, prompt=True) as own:
                    return await self._of(event, own)
            with translated():
                rows = await connection.fetch(statement("order/kinds_of"), self._store.shard, [job])
            self._keep(job, rows[0]["kind"] if rows else None)
        return self._known[job]

    def _keep(self, job: UUID, kind: str | None) -> None:
        self._known[job] = kind
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def check_kind(wanted: str | None) -> None:
    """Raise `InvalidArgument` for what can be no kind's name; None is any kind."""
    if wanted is None:
        return
    try:
        sound = isinstance(wanted, str) and 0 < len(wanted.encode()) <= _NAME_MAX and "\0" not in wanted
    except UnicodeEncodeError:
        sound = False
    if not sound:
        raise InvalidArgument(f"kind is a name of 1 to {_NAME_MAX} bytes.")
