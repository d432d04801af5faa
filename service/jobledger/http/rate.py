"""How often a key may ask: a token bucket each, filled at its rate, with room for one second's requests."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from jobledger.http.access import Access

KEYS_MOST: Final = 10_000
"""Buckets that are kept; the one longest unused goes first, and is full when its key comes again."""


class Rates:
    """The buckets of one process."""

    def __init__(self, default: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep the rate of keys without one of their own; 0: no limit."""
        self._default = default
        self._clock = clock
        self._buckets: OrderedDict[UUID | str, tuple[float, float]] = OrderedDict()

    def take(self, access: Access) -> bool:
        """Count one request; False where the bucket is empty."""
        rate = access.rate if access.rate is not None else self._default
        if not rate:
            return True
        whose = access.id or access.name
        now = self._clock()
        left, since = self._buckets.pop(whose, (float(rate), now))
        left = min(float(rate), left + (now - since) * rate)
        allowed = left >= 1
        self._buckets[whose] = (left - 1 if allowed else left, now)
        if len(self._buckets) > KEYS_MOST:
            self._buckets.popitem(last=False)
        return allowed

    def left(self, access: Access) -> tuple[int, int] | None:
        """Return the rate and how many requests are left this second; None without a limit."""
        rate = access.rate if access.rate is not None else self._default
        if not rate:
            return None
        left, since = self._buckets.get(access.id or access.name, (float(rate), self._clock()))
        return rate, int(min(float(rate), left + (self._clock() - since) * rate))
