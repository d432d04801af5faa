"""The upkeep of the order by a process that has the database: its sealer, and its runner, which that wakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.order.projections import built_in
from jobledger.order.runner import HINTED_S, IDLE_S, Runner
from jobledger.order.sealer import Sealer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from jobledger.order.projections import Projection
    from jobledger.settings import Settings
    from jobledger.store.pool import Store
    from jobledger.store.tick import TickResult


class Upkeep:
    """Seals and folds as the settings say. While nothing happens the ticks look for both, so that both seldom do."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        projections: Iterable[Projection],
        *,
        reopen: Callable[[], Awaitable[object]],
    ) -> None:
        """Prepare; `projections` are the application's own, beside those of the package."""
        self._settings = settings
        self._runner = Runner(store, [*built_in(), *projections], idle_s=HINTED_S if settings.seal else IDLE_S)
        self._sealer = Sealer(store, reopen=reopen, sealed=self._runner.hint)

    def works(self) -> dict[str, Coroutine[None, None, None]]:
        """Return what is to run until cancelled, by name."""
        works = {"seal": self._sealer.run} if self._settings.seal else {}
        if self._settings.projections:
            works["projections"] = self._runner.run
        return {name: work() for name, work in works.items()}

    def hint(self) -> None:
        """Something was appended: seal it soon."""
        self._sealer.hint()

    def ticked(self, result: TickResult) -> None:
        """Take in whether a tick has seen something to seal."""
        if result.unsealed is not None:
            self._sealer.told(unsealed=result.unsealed)
