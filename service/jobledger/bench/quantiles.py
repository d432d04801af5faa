"""Quantiles and medians, as the results give them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def spread(values: Sequence[float], digits: int = 3) -> Mapping[str, float] | None:
    """Return mean, p50, p95, p99 and the greatest of the values; None of none."""
    if not values:
        return None
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else list(values) * 99
    named = {
        "mean": statistics.fmean(values),
        "p50": cuts[49],
        "p95": cuts[94],
        "p99": cuts[98],
        "max": max(values),
    }
    return {name: round(value, digits) for name, value in named.items()}


def ratio(one: float, other: float) -> float | None:
    """Return one value over the other to four digits; None where there is no other."""
    return round(one / other, 4) if other else None
